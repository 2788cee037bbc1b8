"""Brief training of one candidate, top to bottom: data on the device, augmentation inside the compiled step."""

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from evaluators.compilation import BlockState, Optimizer, inference, training_step, use_persistent_cache
from evaluators.datasets import Dataset
from evaluators.evaluator import AUGMENTATIONS, Fidelity, Score
from evaluators.turns import training_turn
from evaluators.weights import Weights, initial_weights
from search_spaces.architecture import Architecture
from search_spaces.errors import unknown

EVALUATION_BATCH = 500


class Diverged(RuntimeError):
    """The loss of a candidate is not a number."""


@dataclass(frozen=True)
class Recipe:
    """How candidates are trained: AdamW, one cycle of the learning rate, augmentation by shifts and mirror images."""

    batch: int = 64
    peak_rate: float = 6e-3
    warm_up: float = 0.25
    augmentation: str = "shift-flip"
    optimizer: Optimizer = Optimizer()

    def __post_init__(self) -> None:
        if self.augmentation not in AUGMENTATIONS:
            raise unknown("augmentation", self.augmentation, AUGMENTATIONS)

    def rate(self, progress: float) -> float:
        """Returns the learning rate after a share of the steps: linear up, cosine down (Smith 2018, one cycle)."""
        if progress < self.warm_up:
            return self.peak_rate * (progress / self.warm_up)
        return self.peak_rate * 0.5 * (1 + math.cos(math.pi * (progress - self.warm_up) / (1 - self.warm_up)))


@dataclass(frozen=True)
class Trained:
    """A trained network: its arrays by name, and how many validation images it gets right."""

    arrays: Weights
    correct: int
    total: int
    epochs: int
    duration_s: float
    images_per_s: float

    @property
    def accuracy(self) -> float:
        """The share of validation images that it gets right."""
        return self.correct / self.total


@dataclass(frozen=True)
class Images:
    """Images and labels on the device, with what normalises them."""

    images: jax.Array
    labels: jax.Array
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def put(cls, images: np.ndarray, labels: np.ndarray, dataset: Dataset) -> "Images":
        """Puts uint8 images `[N, H, W, C]` and labels `[N]` on the device."""
        return cls(jnp.asarray(images), jnp.asarray(labels), tuple(map(float, dataset.mean)),
                   tuple(map(float, dataset.std)))


def train(architecture: Architecture, training: Images, validation: Images | None, recipe: Recipe, *, epochs: int,
          seed: int, on_epoch: Callable[[int], None] = lambda epoch: None) -> Trained:
    """Returns the architecture trained from scratch for some epochs, scored on the validation images if there are any.

    Raises:
        Diverged: the loss became infinite or not a number.
    """
    use_persistent_cache()
    start = time.perf_counter()
    whole = jax.default_backend() != "cpu"
    programs, resolution = architecture.block_programs, architecture.input.resolution
    step = training_step(programs, recipe.optimizer, whole)
    states = _initial_states(architecture, recipe.optimizer, seed)
    generator = np.random.default_rng((seed, 1))
    batch = min(recipe.batch, len(training.labels))
    per_epoch = len(training.labels) // batch
    for epoch in range(epochs):
        losses = []
        with training_turn():
            order = generator.permutation(len(training.labels))[:per_epoch * batch].reshape(per_epoch, batch)
            for index, chosen in enumerate(order):
                key = jax.random.key(generator.integers(2**32))
                images, labels = _training_batch(training, jnp.asarray(chosen), key, resolution, recipe.augmentation)
                rate = recipe.rate((epoch * per_epoch + index) / (epochs * per_epoch))
                states, loss = step(states, images, labels, jnp.float32(rate))
                losses.append(loss)
            if not math.isfinite(float(jnp.stack(losses).sum())):
                raise Diverged(f"the loss became infinite or not a number in epoch {epoch + 1}")
        on_epoch(epoch + 1)
    with training_turn():
        correct = _correct(architecture, states, validation, whole) if validation else 0
    duration_s = time.perf_counter() - start
    return Trained(_arrays(architecture, states), correct, len(validation.labels) if validation else 0, epochs, duration_s,
                   epochs * per_epoch * batch / duration_s)


def count_correct(architecture: Architecture, arrays: Weights, images: Images) -> int:
    """Returns how many images a network with the given arrays classifies rightly."""
    states = [BlockState({name: jnp.asarray(arrays[f"{prefix}/{name}"]) for name in weights},
                         {name: jnp.asarray(arrays[f"{prefix}/{name}"]) for name in statistics}, None)
              for prefix, weights, statistics in _names(architecture)]
    return _correct(architecture, states, images, jax.default_backend() != "cpu")


def prepare(images: jax.Array, mean: tuple[float, ...], std: tuple[float, ...], resolution: int) -> jax.Array:
    """Returns uint8 images `[B, H, W, C]` normalised and resized (bilinear, antialiased) to `resolution`, float32."""
    x = (images.astype(jnp.float32) / 255 - jnp.asarray(mean)) / jnp.asarray(std)
    if images.shape[1] == resolution:
        return x
    return jax.image.resize(x, (x.shape[0], resolution, resolution, x.shape[3]), "linear")


def compute_type() -> jnp.dtype:
    """Returns the type that layers compute in: bfloat16 on accelerators, float32 on CPU."""
    return jnp.dtype(jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16)


@functools.partial(jax.jit, static_argnames=("mean", "std", "resolution", "augmentation"))
def _augmented(images: jax.Array, labels: jax.Array, chosen: jax.Array, key: jax.Array, mean: tuple[float, ...],
               std: tuple[float, ...], resolution: int, augmentation: str) -> tuple[jax.Array, jax.Array]:
    x = images[chosen]
    count, height, width, _ = x.shape
    if augmentation != "none":
        shift_key, flip_key = jax.random.split(key)
        reach = max(1, round(0.1 * height))
        padded = jnp.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
        corners = jax.random.randint(shift_key, (count, 2), 0, 2 * reach + 1)
        x = jax.vmap(lambda image, corner: jax.lax.dynamic_slice(
            image, (corner[0], corner[1], 0), (height, width, image.shape[2])))(padded, corners)
        if augmentation == "shift-flip":
            mirrored = jax.random.bernoulli(flip_key, shape=(count, 1, 1, 1))
            x = jnp.where(mirrored, x[:, :, ::-1], x)
    return prepare(x, mean, std, resolution).astype(compute_type()), labels[chosen]


def _training_batch(data: Images, chosen: jax.Array, key: jax.Array, resolution: int, augmentation: str
                    ) -> tuple[jax.Array, jax.Array]:
    return _augmented(data.images, data.labels, chosen, key, data.mean, data.std, resolution, augmentation)


@functools.partial(jax.jit, static_argnames=("mean", "std", "resolution"))
def _prepared(images: jax.Array, mean: tuple[float, ...], std: tuple[float, ...], resolution: int) -> jax.Array:
    return prepare(images, mean, std, resolution).astype(compute_type())


def _correct(architecture: Architecture, states: list[BlockState], data: Images, whole: bool) -> int:
    """Evaluates in batches of one size, the last one filled up with its first image, so that one program serves all."""
    infer = inference(architecture.block_programs, whole)
    total = len(data.labels)
    size = min(EVALUATION_BATCH, total)
    correct = 0
    for start in range(0, total, size):
        chosen = np.arange(start, start + size)
        real = chosen < total
        chosen = np.where(real, chosen, start)
        x = _prepared(data.images[chosen], data.mean, data.std, architecture.input.resolution)
        right = jnp.argmax(infer(states, x), -1) == data.labels[chosen]
        correct += int(jnp.sum(right & jnp.asarray(real)))
    return correct


def _names(architecture: Architecture) -> list[tuple[str, list[str], list[str]]]:
    """Returns for each block its name and the names of its weights and statistics within it."""
    return [(prefix,
             [name for operation in program.operations for name in operation.weights],
             [name for operation in program.operations for name in operation.statistics])
            for prefix, program in zip(architecture.block_names, architecture.block_programs, strict=True)]


def _initial_states(architecture: Architecture, optimizer: Optimizer, seed: int) -> list[BlockState]:
    weights, statistics = initial_weights(architecture.program, seed)
    states = []
    for prefix, own, running in _names(architecture):
        block = {name: jnp.asarray(weights[f"{prefix}/{name}"]) for name in own}
        states.append(BlockState(block, {name: jnp.asarray(statistics[f"{prefix}/{name}"]) for name in running},
                                 optimizer.init(block)))
    return states


def _arrays(architecture: Architecture, states: list[BlockState]) -> Weights:
    return {f"{prefix}/{name}": np.asarray(array)
            for prefix, state in zip(architecture.block_names, states, strict=True)
            for name, array in {**state.weights, **state.statistics}.items()}


def evaluate(architecture: Architecture, data: Dataset, fidelity: Fidelity) -> Score:
    """Returns the validation accuracy of the architecture after a brief training, with its arrays."""
    recipe = Recipe(batch=fidelity.batch, augmentation=fidelity.augmentation)
    training, validation = _on_device(data)
    trained = train(architecture, training, validation, recipe, epochs=fidelity.epochs, seed=fidelity.seed)
    return Score(trained.accuracy, trained.total, trained.arrays)


@functools.lru_cache(maxsize=1)
def _on_device(data: Dataset) -> tuple[Images, Images]:
    return (Images.put(data.train.images, data.train.labels, data),
            Images.put(data.validation.images, data.validation.labels, data))
