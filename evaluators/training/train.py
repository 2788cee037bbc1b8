"""Brief training of one candidate, top to bottom: data on the device, augmentation inside the compiled step."""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from evaluators.datasets import Dataset
from evaluators.datasets.metrics import ACCURACY, METRICS
from evaluators.evaluator import Diverged, Fidelity, Score
from evaluators.machine.locks import training_turn
from evaluators.machine.memory import give_memory_back, keep_memory
from evaluators.networks.weights import Weights, initial_weights
from evaluators.recipe import AUTO, NETWORK, Recipe
from evaluators.training import side_by_side
from evaluators.training.adamw import coefficients
from evaluators.training.augmentation import Drawing, augmented, weights_of_classes
from evaluators.training.compile_choice import UNSEEN, choice
from evaluators.training.data_parallel import sharing
from evaluators.training.distillation import Draw, taught
from evaluators.training.executables import Executable
from evaluators.training.partition import cut
from evaluators.training.step import (
    OF_IMAGES,
    Inference,
    States,
    Step,
    averaged,
    inference,
    pack,
    settling,
    training_step,
    unpack,
    unpack_moments,
)
from evaluators.training.stochastic_depth import keeping, with_stochastic_depth
from evaluators.training.teacher import Teacher
from search_spaces.architecture import Architecture
from search_spaces.errors import require
from search_spaces.program import Program

SIDE_BY_SIDE = "side by side"  # in the place of what was compiled at a time
EVALUATION_BATCH = 500  # of what is one program; pieces are compiled for the batch of training
SETTLING_BATCHES = 50  # after which 0.9^50, or 0.5 %, is left of the statistics from before


@dataclass(frozen=True)
class Trained:
    """A network trained for some epochs: its arrays by name, and its score on the validation images.

    Attributes:
        arrays: weights, averaged where the recipe says so, and running statistics.
        checkpoint: the state that further epochs need, as arrays by name.
        accuracy: that on the validation images, or what the metric of the data says; 0 without any.
        total: of how many images that is a share, as `Score` has it.
        log_loss: of the validation images, as `Score` has it.
    """

    arrays: Weights
    checkpoint: Weights
    accuracy: float
    total: int
    log_loss: float | None
    epochs: int
    duration_s: float
    images_per_s: float
    compiled: str


@dataclass(frozen=True)
class Images:
    """Images and labels on the device, with their normalisation and the metric of the data."""

    images: jax.Array
    labels: jax.Array
    mean: tuple[float, ...]
    std: tuple[float, ...]
    metric: str = ACCURACY

    @classmethod
    def put(cls, images: np.ndarray, labels: np.ndarray, dataset: Dataset) -> "Images":
        """Puts uint8 images `[N, H, W, C]` and labels `[N]` on the device."""
        return cls(jax.device_put(images), jax.device_put(labels), tuple(map(float, dataset.mean)),
                   tuple(map(float, dataset.std)), dataset.metric)

    def batches(self, resolution: int) -> Executable:
        """Returns `(images, labels, chosen [B], seed) -> (images, labels)`: prepared, and as they are otherwise."""
        return _executable(Drawing(self.mean, self.std, resolution))

    def training_batches(self, resolution: int, recipe: Recipe, classes: int) -> Executable:
        """Returns the function of `batches` for images that are augmented and blended as a recipe says."""
        return _executable(Drawing(
            self.mean, self.std, resolution, recipe.augmentation, recipe.magnitude, recipe.operations, recipe.mixup,
            recipe.cutmix, weights_of_classes(recipe, np.asarray(self.labels), classes)))


def _executable(drawing: Drawing) -> Executable:
    def draw(images: jax.Array, labels: jax.Array, chosen: jax.Array, seed: jax.Array) -> tuple[jax.Array, jax.Array]:
        return augmented(images, labels, chosen, seed, drawing)

    return Executable(draw, drawing)


def train(architecture: Architecture, training: Images, validation: Images | None, fidelity: Fidelity, *,
          initial: Weights | None = None, teachers: Sequence[Teacher] = (), unseen: float = 1.0,
          on_epoch: Callable[[int, Callable[[], Weights]], None] = lambda epoch, checkpoint: None) -> Trained:
    """Returns the architecture trained for some epochs, scored on the validation images if there are any.

    Args:
        architecture: what to train.
        training: images to train on.
        validation: images to score on.
        fidelity: how, and how far; from `Trained.checkpoint` after fewer epochs, the result is the same as without.
        initial: arrays by name to begin with, such as pretrained ones; what is missing is drawn.
        teachers: trained networks that it learns from, as far as the recipe says.
        unseen: the share of its pieces that have to be compiled for it, as far as one knows.
        on_epoch: is told each epoch when it has ended, and what gives the checkpoint of that moment.

    Raises:
        Diverged: the loss became infinite or not a number.
    """
    keep_memory()
    start = time.perf_counter()
    recipe, epochs = fidelity.recipe, fidelity.epochs
    program, branches = _program(architecture, recipe)
    draw = training.training_batches(architecture.input.resolution, recipe, architecture.classes)
    with_teachers = taught(draw, teachers, recipe, (training.mean, training.std)) if teachers else draw
    first, states = _begun(architecture, program, fidelity, initial or {})
    batch = _batch(training, fidelity)
    per_epoch = len(training.labels) // batch
    scheduled = recipe.epochs * per_epoch
    compiled = recipe.compile
    if compiled == AUTO:
        first_batch = functools.partial(with_teachers, training.images, training.labels, np.arange(batch),
                                        np.int64(0))
        with training_turn():
            compiled = choice((training.images.shape, batch, scheduled), architecture.program, recipe.optimizer,
                              first_batch, (epochs - first) * per_epoch, unseen)
    whole = compiled == NETWORK
    shared = sharing(batch, OF_IMAGES) if recipe.compile == NETWORK else None
    step = training_step(program, recipe.optimizer, whole, shared)
    states = _course(step, states, training, with_teachers, fidelity, first, branches, _require_finite,
                     lambda epoch, states: on_epoch(epoch, functools.partial(_checkpoint, program, states, epoch)))
    if shared is not None:
        states, compiled = jax.device_put(jax.device_get(states)), f"{compiled} on {len(shared.devices)} devices"
    with training_turn():
        final = _settled(settling(program, whole), states, training, draw, fidelity) if recipe.average else states
        measured, = _measured(
            inference(program, whole), final, validation, architecture.input.resolution,
            min(EVALUATION_BATCH, len(validation.labels)) if whole else batch) if validation else [(0.0, 0, None)]
    arrays, checkpoint = unpack(program, final), _checkpoint(program, states, epochs)
    give_memory_back()
    duration_s = time.perf_counter() - start
    return Trained(arrays, checkpoint, *measured, epochs, duration_s,
                   (epochs - first) * per_epoch * batch / duration_s, compiled)


def train_side_by_side(architectures: Sequence[Architecture], training: Images, validation: Images,
                       fidelities: Sequence[Fidelity]) -> list[Trained | Diverged]:
    """Returns the result or error of `train` for each of several architectures, but for rounding, by one program.

    All have one input and one recipe without stochastic depth, and are as far as each other and go as far.
    """
    keep_memory()
    start = time.perf_counter()
    programs, fidelity = tuple(architecture.program for architecture in architectures), fidelities[0]
    recipe, resolution = fidelity.recipe, architectures[0].input.resolution
    draw = training.training_batches(resolution, recipe, architectures[0].classes)
    begun = [_begun(architecture, architecture.program, each, {})
             for architecture, each in zip(architectures, fidelities, strict=True)]
    first, lost = begun[0][0], dict[int, Diverged]()

    def note_diverged(epoch: int, losses: list[jax.Array]) -> None:
        for network in np.flatnonzero(~np.isfinite(jax.device_get(losses)).all(0)):
            lost.setdefault(int(network), _diverged(epoch))

    states = _course(side_by_side.training_step(programs, recipe.optimizer),
                     side_by_side.joined(programs, [states for _, states in begun]), training, draw, fidelity, first, 0,
                     note_diverged)
    with training_turn():
        final = (_settled(side_by_side.settling(programs), states, training, draw, fidelity) if recipe.average
                 else states)
        measured = _measured(side_by_side.inference(programs), final, validation, resolution,
                             min(EVALUATION_BATCH, len(validation.labels)))
    apart, finals = (side_by_side.parted(programs, together) for together in (states, final))
    give_memory_back()
    duration_s = time.perf_counter() - start
    images = (fidelity.epochs - first) * len(training.labels)
    return [lost.get(network) or Trained(
        unpack(program, finals[network]), _checkpoint(program, apart[network], fidelity.epochs), *measured[network],
        fidelity.epochs, duration_s, images / duration_s, SIDE_BY_SIDE)
        for network, program in enumerate(programs)]


def _course(step: Step, states: States, training: Images, draw: Draw, fidelity: Fidelity, first: int,
            branches: int, check: Callable[[int, list[jax.Array]], None],
            on_epoch: Callable[[int, States], None] = lambda epoch, states: None) -> States:
    """Returns the states after the epochs from `first` on; losses are checked before others have their turn."""
    recipe, batch = fidelity.recipe, _batch(training, fidelity)
    per_epoch = len(training.labels) // batch
    scheduled = recipe.epochs * per_epoch
    for epoch in range(first, fidelity.epochs):
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
                    check(epoch, jax.block_until_ready((losses[-1:], states))[0])  # diverged once is for ever
                    turn.renew()
            check(epoch, losses)
        on_epoch(epoch + 1, states)
    return states


def _batch(training: Images, fidelity: Fidelity) -> int:
    return min(fidelity.recipe.batch, len(training.labels))


def _require_finite(epoch: int, losses: list[jax.Array]) -> None:
    if not np.all(np.isfinite(jax.device_get(losses))):
        raise _diverged(epoch)


def _diverged(epoch: int) -> Diverged:
    return Diverged(f"the loss became infinite or not a number in epoch {epoch + 1}")


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


def _settled(settle: Callable[[States, jax.Array], States], states: States, training: Images, draw: Draw,
             fidelity: Fidelity) -> States:
    """Returns the states with averaged weights, and running statistics of training images that pass through them."""
    generator, states = np.random.default_rng((fidelity.recipe.seed, 2, fidelity.epochs)), averaged(states)
    for _ in range(SETTLING_BATCHES):
        chosen = generator.permutation(len(training.labels))[:_batch(training, fidelity)]
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


def _measured(infer: Inference, states: States, data: Images, resolution: int, size: int
              ) -> list[tuple[float, int, float | None]]:
    """Returns `Score.accuracy`, `total` and `log_loss` of each network.

    Evaluates in batches of one size, the last one filled up with its first image, so that one program serves all.
    """
    draw, total, found = data.batches(resolution), len(data.labels), []
    for start in range(0, total, size):
        chosen = np.arange(start, start + size)
        images, _ = draw(data.images, data.labels, np.where(chosen < total, chosen, start), np.uint32(0))
        found.append(infer(states, images))
    logits, labels = np.concatenate(found, -2)[..., :total, :], np.asarray(data.labels)
    each = logits if logits.ndim == 3 else logits[None]  # of several networks side by side, or of one
    metric = METRICS[data.metric]
    return [(*metric.measured(one, labels), metric.log_loss(one, labels)) for one in each]


def evaluate(architecture: Architecture, data: Dataset, fidelity: Fidelity) -> Score:
    """Returns the score of the architecture on validation images after a brief training, its arrays and checkpoint."""
    training, validation = _on_device(data)
    return _score(train(architecture, training, validation, fidelity, unseen=UNSEEN))


def evaluate_side_by_side(candidates: Sequence[tuple[Architecture, Fidelity]], data: Dataset) -> list[Score | Diverged]:
    """Returns the result or error of `evaluate` for each candidate, trained as `train_side_by_side` says."""
    architectures, fidelities = zip(*candidates, strict=True)
    return [trained if isinstance(trained, Diverged) else _score(trained)
            for trained in train_side_by_side(architectures, *_on_device(data), fidelities)]


def _score(trained: Trained) -> Score:
    return Score(trained.accuracy, trained.total, trained.arrays, trained.checkpoint, trained.compiled,
                 log_loss=trained.log_loss)


@functools.lru_cache(maxsize=1)
def _on_device(data: Dataset) -> tuple[Images, Images]:
    return (Images.put(data.train.images, data.train.labels, data),
            Images.put(data.validation.images, data.validation.labels, data))
