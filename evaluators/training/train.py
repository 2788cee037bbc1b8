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
from evaluators.recipe import AUTO, NETWORK, Recipe
from evaluators.training.adamw import coefficients
from evaluators.training.augmentation import Drawing, augmented, weights_of_classes
from evaluators.training.compile_choice import UNSEEN, choice
from evaluators.training.executables import Executable
from evaluators.training.partition import cut
from evaluators.training.step import (
    States,
    averaged,
    inference,
    pack,
    settling,
    training_step,
    unpack,
    unpack_moments,
)
from evaluators.training.stochastic_depth import keeping, with_stochastic_depth
from search_spaces.architecture import Architecture
from search_spaces.errors import require
from search_spaces.program import Program

EVALUATION_BATCH = 500
SETTLING_BATCHES = 50  # after which 0.9^50, or 0.5 %, is left of the statistics from before


class Diverged(RuntimeError):
    """The loss of a candidate is not a number."""


@dataclass(frozen=True)
class Trained:
    """A network trained for some epochs: its arrays by name, and the number of validation images it gets right.

    Attributes:
        arrays: weights, averaged where the recipe says so, and running statistics.
        checkpoint: the state that further epochs need, as arrays by name.
    """

    arrays: Weights
    checkpoint: Weights
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

    def batches(self, resolution: int) -> Executable:
        """Returns `(images, labels, chosen [B], seed) -> (images, labels)`: prepared, and as they are otherwise."""
        return _executable(Drawing(self.mean, self.std, resolution))

    def training_batches(self, resolution: int, recipe: Recipe, classes: int) -> Executable:
        """Returns the same for images that are augmented and blended as a recipe says."""
        return _executable(Drawing(
            self.mean, self.std, resolution, recipe.augmentation, recipe.magnitude, recipe.operations, recipe.mixup,
            recipe.cutmix, weights_of_classes(recipe, np.asarray(self.labels), classes)))


def _executable(drawing: Drawing) -> Executable:
    def draw(images: jax.Array, labels: jax.Array, chosen: jax.Array, seed: jax.Array) -> tuple[jax.Array, jax.Array]:
        return augmented(images, labels, chosen, seed, drawing)

    return Executable(draw, drawing)


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
    recipe, epochs = fidelity.recipe, fidelity.epochs
    program, branches = _program(architecture, recipe)
    draw = training.training_batches(architecture.input.resolution, recipe, architecture.classes)
    first, states = _begun(architecture, program, fidelity, initial or {})
    batch = min(recipe.batch, len(training.labels))
    per_epoch = len(training.labels) // batch
    scheduled = recipe.epochs * per_epoch
    compiled = recipe.compile
    if compiled == AUTO:
        first_batch = functools.partial(draw, training.images, training.labels, np.arange(batch), np.int64(0))
        with training_turn():
            compiled = choice((training.images.shape, batch, scheduled), architecture.program, recipe.optimizer,
                              first_batch, (epochs - first) * per_epoch, unseen)
    whole = compiled == NETWORK
    step = training_step(program, recipe.optimizer, whole)
    for epoch in range(first, epochs):
        # of its own, so that a training can go on from any epoch
        generator, losses = np.random.default_rng((recipe.seed, 1, epoch)), []
        with training_turn() as turn:
            order = generator.permutation(len(training.labels))[:per_epoch * batch].reshape(per_epoch, batch)
            for index, chosen in enumerate(order):
                images, labels = draw(training.images, training.labels, chosen, generator.integers(2**32))
                done = epoch * per_epoch + index
                of_step = coefficients(recipe.optimizer, recipe.rate(done / scheduled), done + 1)
                kept = np.float32(recipe.kept(done + 1)) if recipe.average else None
                factors = keeping(branches, recipe.stochastic_depth, batch, generator) if branches else ()
                states, loss = step(states, images, labels, of_step, kept, factors)
                losses.append(loss)
                if turn.over:
                    _require_finite(jax.block_until_ready((losses[-1:], states))[0], epoch)  # diverged once is for ever
                    turn.renew()
            _require_finite(losses, epoch)
        on_epoch(epoch + 1)
    with training_turn():
        final = _settled(program, states, training, draw, fidelity, batch, whole) if recipe.average else states
        correct = _correct(program, final, validation, architecture.input.resolution, batch, whole) if validation else 0
    arrays, checkpoint = unpack(program, final), _checkpoint(program, states, epochs)
    give_memory_back()
    duration_s = time.perf_counter() - start
    return Trained(arrays, checkpoint, correct, len(validation.labels) if validation else 0, epochs, duration_s,
                   (epochs - first) * per_epoch * batch / duration_s, compiled)


def _require_finite(losses: list[jax.Array], epoch: int) -> None:
    if not np.all(np.isfinite(jax.device_get(losses))):
        raise Diverged(f"the loss became infinite or not a number in epoch {epoch + 1}")


def _program(architecture: Architecture, recipe: Recipe) -> tuple[Program, int]:
    """Returns the program that a recipe trains, and how many of its branches images skip at random."""
    if not recipe.stochastic_depth:
        return architecture.program, 0
    program = with_stochastic_depth(architecture.program)
    return program, sum(use.piece.drops for use in cut(program))


def _begun(architecture: Architecture, program: Program, fidelity: Fidelity, initial: Weights) -> tuple[int, States]:
    """Returns the epochs that a training has behind it, by its checkpoint, and its state."""
    if fidelity.checkpoint:
        return _restored(program, fidelity)
    weights, statistics = ({name: initial.get(name, array) for name, array in part.items()}
                           for part in initial_weights(architecture.program, fidelity.recipe.seed))
    return 0, pack(program, weights, statistics, average=weights if fidelity.recipe.average else None)


def _settled(program: Program, states: States, training: Images, draw: Executable, fidelity: Fidelity, batch: int,
             whole: bool) -> States:
    """Returns the states with averaged weights, and running statistics of training images that pass through them."""
    generator = np.random.default_rng((fidelity.recipe.seed, 2, fidelity.epochs))
    settle, states = settling(program, whole), averaged(states)
    for _ in range(SETTLING_BATCHES):
        chosen = generator.permutation(len(training.labels))[:batch]
        images, _ = draw(training.images, training.labels, chosen, generator.integers(2**32))
        states = settle(states, images)
    return states


_KINDS = "arrays", "first moments", "second moments", "averages"  # of arrays in a checkpoint


def _checkpoint(program: Program, states: States, epochs: int) -> Weights:
    averages = [unpack(program, averaged(states))] if any(state.average is not None for state in states) else []
    kinds = zip(_KINDS, (unpack(program, states), *unpack_moments(program, states), *averages), strict=False)
    return {"epochs": np.array(epochs)} | {
        f"{kind}/{name}": array for kind, arrays in kinds for name, array in arrays.items()}


def _restored(program: Program, fidelity: Fidelity) -> tuple[int, States]:
    """Returns the epochs that the checkpoint of a fidelity has behind it, and the state of the training."""
    checkpoint, epochs = fidelity.checkpoint, int(fidelity.checkpoint["epochs"])
    require(epochs <= fidelity.epochs,
            f"a training goes on to more epochs, but got a checkpoint of {epochs} for {fidelity.epochs}")
    arrays, first, second, averages = ({name.removeprefix(f"{kind}/"): array for name, array in checkpoint.items()
                                        if name.startswith(f"{kind}/")} for kind in _KINDS)
    return epochs, pack(program, arrays, arrays, (first, second), averages or None)


def _correct(program: Program, states: States, data: Images, resolution: int, batch: int, whole: bool) -> int:
    """Evaluates in batches of one size, the last one filled up with its first image, so that one program serves all.

    Pieces are compiled for the batch of training; a whole network takes large batches.
    """
    infer, predict = inference(program, whole), Executable(_predicted)
    draw = data.batches(resolution)
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
