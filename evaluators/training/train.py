"""Brief training of one candidate, top to bottom: data on the device, augmentation inside the compiled step."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from evaluators.datasets import Dataset
from evaluators.evaluator import Fidelity, Score
from evaluators.machine.locks import training_turn
from evaluators.machine.memory import give_memory_back, keep_memory
from evaluators.networks.weights import Weights, initial_weights
from evaluators.recipe import AUTO, NETWORK
from evaluators.training.adamw import coefficients
from evaluators.training.compile_choice import UNSEEN, choice
from evaluators.training.executables import Executable
from evaluators.training.step import States, inference, pack, training_step, unpack, unpack_moments
from search_spaces.architecture import Architecture
from search_spaces.errors import require
from search_spaces.program import Program

EVALUATION_BATCH = 500


class Diverged(RuntimeError):
    """The loss of a candidate is not a number."""


@dataclass(frozen=True)
class Trained:
    """A network trained for some epochs: its arrays by name, and the number of validation images it gets right.

    The optimizer's moments are by the names of the weights; with the arrays they are all that further epochs need.
    """

    arrays: Weights
    moments: tuple[Weights, Weights]
    correct: int
    total: int
    epochs: int
    duration_s: float
    images_per_s: float
    compiled: str

    @property
    def accuracy(self) -> float:
        """The share of validation images that it gets right."""
        return self.correct / self.total

    @property
    def checkpoint(self) -> Weights:
        """The state that further epochs need, as arrays by name."""
        kinds = zip(_CHECKPOINT_KINDS, (self.arrays, *self.moments), strict=True)
        return {"epochs": np.array(self.epochs)} | {
            f"{kind}/{name}": array for kind, arrays in kinds for name, array in arrays.items()}


@dataclass(frozen=True)
class Images:
    """Images and labels on the device, with their normalisation."""

    images: jax.Array
    labels: jax.Array
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def put(cls, images: np.ndarray, labels: np.ndarray, dataset: Dataset) -> "Images":
        """Puts uint8 images `[N, H, W, C]` and labels `[N]` on the device."""
        return cls(jax.device_put(images), jax.device_put(labels), tuple(map(float, dataset.mean)),
                   tuple(map(float, dataset.std)))

    def batches(self, resolution: int, augmentation: str) -> Executable:
        """Returns `(images, labels, chosen [B], seed) -> (images, labels)`: `augmented` with the rest given."""
        given = self.mean, self.std, resolution, augmentation

        def draw(images: jax.Array, labels: jax.Array, chosen: jax.Array, seed: jax.Array
                 ) -> tuple[jax.Array, jax.Array]:
            return augmented(images, labels, chosen, seed, *given)

        return Executable(draw, *given)


def train(architecture: Architecture, training: Images, validation: Images | None, fidelity: Fidelity, *,
          initial: Weights | None = None, unseen: float = 1.0, on_epoch: Callable[[int], None] = lambda epoch: None
          ) -> Trained:
    """Returns the architecture trained for some epochs, scored on the validation images if there are any.

    Args:
        architecture: what to train.
        training: images to train on.
        validation: images to score on.
        fidelity: how, and how far; from `Trained.checkpoint` after fewer epochs, the result is the same as without.
        initial: arrays by name to begin with, such as pretrained ones; what is missing is drawn.
        unseen: the share of its pieces that have to be compiled for it, as far as one knows.
        on_epoch: is told each epoch when it has ended.

    Raises:
        Diverged: the loss became infinite or not a number.
    """
    keep_memory()
    start = time.perf_counter()
    program, recipe, epochs = architecture.program, fidelity.recipe, fidelity.epochs
    draw = training.batches(architecture.input.resolution, recipe.augmentation)
    weights, statistics = ({name: (initial or {}).get(name, array) for name, array in part.items()}
                           for part in initial_weights(program, recipe.seed))
    first, states = _restored(program, fidelity) if fidelity.checkpoint else (0, pack(program, weights, statistics))
    batch = min(recipe.batch, len(training.labels))
    per_epoch = len(training.labels) // batch
    scheduled = recipe.epochs * per_epoch
    compiled = recipe.compile
    if compiled == AUTO:
        with training_turn():
            compiled = choice((training.images.shape, batch, scheduled), program, recipe.optimizer,
                              lambda: draw(training.images, training.labels, np.arange(batch), np.int64(0)),
                              (epochs - first) * per_epoch, unseen)
    whole = compiled == NETWORK
    step = training_step(program, recipe.optimizer, whole)
    for epoch in range(first, epochs):
        # of its own, so that a training can go on from any epoch
        generator = np.random.default_rng((recipe.seed, 1, epoch))
        losses = []
        with training_turn() as turn:
            order = generator.permutation(len(training.labels))[:per_epoch * batch].reshape(per_epoch, batch)
            for index, chosen in enumerate(order):
                images, labels = draw(training.images, training.labels, chosen, generator.integers(2**32))
                done = epoch * per_epoch + index
                rate = recipe.rate(done / scheduled)
                states, loss = step(states, images, labels, coefficients(recipe.optimizer, rate, done + 1))
                losses.append(loss)
                if turn.over:
                    jax.block_until_ready(states)
                    turn.renew()
            if not np.all(np.isfinite(jax.device_get(losses))):
                raise Diverged(f"the loss became infinite or not a number in epoch {epoch + 1}")
        on_epoch(epoch + 1)
    with training_turn():
        correct = _correct(architecture, states, validation, batch, whole) if validation else 0
    arrays, moments = unpack(program, states), unpack_moments(program, states)
    give_memory_back()
    duration_s = time.perf_counter() - start
    return Trained(arrays, moments, correct, len(validation.labels) if validation else 0, epochs, duration_s,
                   (epochs - first) * per_epoch * batch / duration_s, compiled)


_CHECKPOINT_KINDS = ("arrays", "first moments", "second moments")


def _restored(program: Program, fidelity: Fidelity) -> tuple[int, States]:
    """Returns the epochs that the checkpoint of a fidelity has behind it, and the state of the training."""
    checkpoint, epochs = fidelity.checkpoint, int(fidelity.checkpoint["epochs"])
    require(epochs <= fidelity.epochs,
            f"a training goes on to more epochs, but got a checkpoint of {epochs} for {fidelity.epochs}")
    arrays, *moments = ({name.removeprefix(f"{kind}/"): array for name, array in checkpoint.items()
                         if name.startswith(f"{kind}/")} for kind in _CHECKPOINT_KINDS)
    return epochs, pack(program, arrays, arrays, (moments[0], moments[1]))


def prepare(images: jax.Array, mean: tuple[float, ...], std: tuple[float, ...], resolution: int) -> jax.Array:
    """Returns uint8 images `[B, H, W, C]` normalised and resized (bilinear, antialiased) to `resolution`, float32."""
    x = (images.astype(jnp.float32) / 255 - jnp.asarray(mean)) / jnp.asarray(std)
    if images.shape[1] == resolution:
        return x
    return jax.image.resize(x, (x.shape[0], resolution, resolution, x.shape[3]), "linear")


def compute_type() -> jnp.dtype:
    """Returns the type that layers compute in: bfloat16 on accelerators, float32 on CPU."""
    return jnp.dtype(jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16)


def augmented(images: jax.Array, labels: jax.Array, chosen: jax.Array, seed: jax.Array, mean: tuple[float, ...],
              std: tuple[float, ...], resolution: int, augmentation: str) -> tuple[jax.Array, jax.Array]:
    """Returns the chosen uint8 images `[N, H, W, C]`, augmented and prepared, and their labels `[B]`."""
    x = images[chosen]
    count, height, width, _ = x.shape
    if augmentation != "none":
        shift_key, flip_key = jax.random.split(jax.random.key(seed))
        reach = max(1, round(0.04 * height))
        padded = jnp.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
        corners = jax.random.randint(shift_key, (count, 2), 0, 2 * reach + 1)
        x = jax.vmap(lambda image, corner: jax.lax.dynamic_slice(
            image, (corner[0], corner[1], 0), (height, width, image.shape[2])))(padded, corners)
        if augmentation == "shift-flip":
            mirrored = jax.random.bernoulli(flip_key, shape=(count, 1, 1, 1))
            x = jnp.where(mirrored, x[:, :, ::-1], x)
    return prepare(x, mean, std, resolution).astype(compute_type()), labels[chosen]


def _correct(architecture: Architecture, states: States, data: Images, batch: int, whole: bool) -> int:
    """Evaluates in batches of one size, the last one filled up with its first image, so that one program serves all.

    Pieces are compiled for the batch of training; a whole network takes large batches.
    """
    infer, predict = inference(architecture.program, whole), Executable(_predicted)
    draw = data.batches(architecture.input.resolution, "none")
    total = len(data.labels)
    size = min(EVALUATION_BATCH, total) if whole else batch
    predicted = []
    for start in range(0, total, size):
        chosen = np.arange(start, start + size)
        images, _ = draw(data.images, data.labels, np.where(chosen < total, chosen, start), np.uint32(0))
        predicted.append(predict(infer(states, images)))
    return int(np.sum(np.concatenate(predicted)[:total] == np.asarray(data.labels)))


def _predicted(logits: jax.Array) -> jax.Array:
    return jnp.argmax(logits, -1)


def evaluate(architecture: Architecture, data: Dataset, fidelity: Fidelity) -> Score:
    """Returns the validation accuracy of the architecture after a brief training, with its arrays and checkpoint."""
    training, validation = _on_device(data)
    trained = train(architecture, training, validation, fidelity, unseen=UNSEEN)
    return Score(trained.accuracy, trained.total, trained.arrays, trained.checkpoint, trained.compiled)


@functools.lru_cache(maxsize=1)
def _on_device(data: Dataset) -> tuple[Images, Images]:
    return (Images.put(data.train.images, data.train.labels, data),
            Images.put(data.validation.images, data.validation.labels, data))
