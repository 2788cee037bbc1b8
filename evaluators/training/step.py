"""The training step, compiled once per distinct piece of a network and used in every candidate.

A training step is a chain of small compiled functions, two for each piece (see `evaluators.training.partition`): the
forward pass leaves the piece's output; the backward pass computes from the piece's inputs again what it needs, and
applies the optimizer's update to the piece's own weights. A candidate made of pieces that were seen before compiles
nothing. The same step compiled as one program (`whole=True`) gives the same numbers; accelerators, where launching
small pieces costs more than compiling, use that.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evaluators.networks.network import Moments, batch_moments, execute, moved
from evaluators.networks.weights import Weights
from evaluators.recipe import Optimizer
from evaluators.training.adamw import update
from evaluators.training.data_parallel import Sharing
from evaluators.training.distillation import Taught, divergence
from evaluators.training.executables import Executable
from evaluators.training.partition import Piece, Shapes, Use, cut, is_kernel
from search_spaces.program import Operation, Program


class PieceState(NamedTuple):
    """The state of a piece in training, all arrays flat: `weights`, `average [n]`, `moments [2, n]`, `statistics [m]`.

    Pieces without weights or without batch norm have None in their place, and all where weights are not averaged.
    """

    weights: jax.Array | None
    moments: jax.Array | None
    statistics: jax.Array | None
    average: jax.Array | None = None


# XLA's older emitters of loops make code of shifted sums that is up to twice as fast as that of the newer ones; of
# nearly all else it is slower
OLDER_EMITTERS = {"xla_cpu_use_fusion_emitters": False}

States = list[PieceState]
OF_IMAGES = 1, 2  # arguments of a step: images and labels
Step = Callable[..., tuple[States, jax.Array]]
Inference = Callable[[States, jax.Array], jax.Array]


def pack(program: Program, weights: Weights, statistics: Weights, moments: tuple[Weights, Weights] | None = None,
         average: Weights | None = None) -> States:
    """Returns the state of a training, from arrays by name; without moments, those of an untrained optimizer.

    With averages of the weights, these go on being averaged.
    """
    def flat(arrays: Weights, names: tuple[str, ...]) -> np.ndarray:
        return np.concatenate([arrays[name].ravel() for name in names])

    states = []
    for use in cut(program):  # in numpy: JAX would compile programs for each shape, and keep them
        arrays: list[np.ndarray | None] = [None, None, None, None]
        if use.weights:
            own = flat(weights, use.weights)
            arrays[:2] = own, np.zeros((2, *own.shape), own.dtype) if moments is None else np.stack(
                [flat(moment, use.weights) for moment in moments])
            arrays[3] = flat(average, use.weights) if average is not None else None
        if use.statistics:
            arrays[2] = flat(statistics, use.statistics)
        states.append(PieceState(*jax.device_put(arrays)))
    return states


def unpack(program: Program, states: States) -> Weights:
    """Returns the weights and running statistics by name."""
    arrays: Weights = {}
    for use, state in zip(cut(program), states, strict=True):
        for names, shapes, flat in ((use.weights, use.piece.weights, state.weights),
                                    (use.statistics, use.piece.statistics, state.statistics)):
            if flat is not None:
                arrays |= zip(names, _split(np.asarray(flat), shapes).values(), strict=True)
    return arrays


def unpack_moments(program: Program, states: States) -> tuple[Weights, Weights]:
    """Returns the first and the second moments of the optimizer, by the names of the weights."""
    moments: tuple[Weights, Weights] = {}, {}
    for use, state in zip(cut(program), states, strict=True):
        if state.moments is not None:
            for arrays, flat in zip(moments, np.asarray(state.moments), strict=True):
                arrays |= zip(use.weights, _split(flat, use.piece.weights).values(), strict=True)
    return moments


def averaged(states: States) -> States:
    """Returns the states with the averages in the place of the weights."""
    return [state._replace(weights=state.average, average=None) for state in states]


def training_step(program: Program, optimizer: Optimizer, whole: bool, sharing: Sharing | None = None) -> Step:
    """Returns `step(states, images [B, H, W, C], labels, coefficients, kept, factors) -> (states, loss)`.

    Labels are numbers of classes `[B]`, or targets `[B, classes]` whose sums weight the images, or either with what
    teachers say of the images, see `evaluators.training.distillation`. `coefficients` `[3]` are those of the step, see
    `evaluators.training.adamw`. Where weights are averaged, the averages keep the share `kept`. `factors`
    `[branches, B]` are those of a program `with_stochastic_depth`. The whole network's step consumes the old states,
    and several devices may share it.
    """
    uses = cut(program)
    compiled = as_it_is if whole else Executable
    forward, backward = zip(*(piece_passes(use.piece, optimizer, tuple(value > 0 for value in use.inputs), compiled)
                              for use in uses), strict=True)
    loss_of = compiled(loss_function(optimizer.label_smoothing), optimizer.label_smoothing)
    add, blend = {use.output: compiled(_add) for use in uses}, compiled(blended)
    ended = _ended(uses)
    train = np.True_ if whole else jax.device_put(np.True_)

    def step(states: States, images: jax.Array, labels: jax.Array | Taught, coefficients: np.ndarray,
             kept: np.ndarray | None = None, factors: Sequence[np.ndarray] = ()) -> tuple[States, jax.Array]:
        values, tape, drops = {0: images}, [], iter(factors)
        coefficients, kept = jax.device_put((coefficients, kept))  # once for all pieces
        for index, (use, state) in enumerate(zip(uses, states, strict=True)):
            inputs = [values[value] for value in use.inputs]
            values[use.output], batch, after = forward[index](
                state.weights, state.statistics, next(drops) if use.piece.drops else train, *inputs)
            tape.append((inputs, batch, after))
            _forget(values, ended[index])
        loss, gradient = loss_of(values.pop(program.output), labels)
        gradients, stepped = {program.output: gradient}, []
        for use, state, back in zip(reversed(uses), reversed(states), reversed(backward), strict=True):
            inputs, batch, after = tape.pop()
            weights, moments, below = back(state.weights, state.moments, batch, gradients.pop(use.output),
                                           coefficients, *inputs)
            average = None if state.average is None else blend(state.average, weights, kept)
            stepped.append(PieceState(weights, moments, after, average))
            for value, gradient in zip((value for value in use.inputs if value > 0), below, strict=True):
                gradients[value] = add[value](gradients[value], gradient) if value in gradients else gradient
        return stepped[::-1], loss

    return Executable(step, program, optimizer, donated=(0,), sharing=sharing) if whole else step


def inference(program: Program, whole: bool) -> Inference:
    """Returns `infer(states, images [B, H, W, C]) -> logits [B, classes]`, by the running statistics.

    Pieces run the forward pass that training compiled, so batches of training's size compile nothing.
    """
    uses = cut(program)
    compiled = as_it_is if whole else Executable
    flat, passed = compiled(_flat), _passing(uses, compiled)

    def infer(states: States, images: jax.Array) -> jax.Array:
        return flat(passed(states, images, np.False_)[0])

    return Executable(infer, program) if whole else infer


def settling(program: Program, whole: bool) -> Callable[[States, jax.Array], States]:
    """Returns `settle(states, images) -> states`, whose running statistics have moved towards those of the images.

    All else stays: so batch norm comes to know the activations that averaged weights make (Izmailov et al. 2018, 3.2),
    which are others than those of the weights that were averaged.
    """
    passed = _passing(cut(program), as_it_is if whole else Executable)

    def settle(states: States, images: jax.Array) -> States:
        after = passed(states, images, np.True_)[1]
        return [state._replace(statistics=statistics) for state, statistics in zip(states, after, strict=True)]

    return Executable(settle, program) if whole else settle


def _passing(uses: tuple[Use, ...], compiled: Callable[..., Callable]) -> Callable:
    """Returns `(states, images, train) -> (output, statistics of each piece after it)`; no branch is skipped."""
    forward, ended = [forward_pass(use.piece, compiled) for use in uses], _ended(uses)

    def passed(states: States, images: jax.Array, train: np.bool_) -> tuple[jax.Array, list[jax.Array | None]]:
        values, statistics = {0: images}, []
        for index, (use, state) in enumerate(zip(uses, states, strict=True)):
            inputs = [values[value] for value in use.inputs]
            if use.piece.drops:
                values[use.output], after = inputs[0], None
            else:
                values[use.output], _, after = forward[index](state.weights, state.statistics, train, *inputs)
            statistics.append(after)
            _forget(values, ended[index])
        return values[uses[-1].output], statistics

    return passed


def as_it_is(function: Callable, *parameters: object, **options: object) -> Callable:
    """Returns a function that is compiled as a part of another one."""
    return function


def piece_passes(piece: Piece, optimizer: Optimizer, wanted: tuple[bool, ...],
                 compiled: Callable[..., Callable] = Executable) -> tuple[Callable, Callable]:
    """Returns the forward and the backward pass of a piece; `wanted` tells which inputs have a gradient."""
    if piece.drops:
        return compiled(_dropped), compiled(_dropped_backward)
    backward = compiled(_backward(piece, optimizer, wanted), piece, optimizer, wanted,
                        cpu_options=OLDER_EMITTERS if piece.depthwise_stride else {})
    return forward_pass(piece, compiled), backward


def forward_pass(piece: Piece, compiled: Callable[..., Callable]) -> Callable:
    """Returns the forward pass of a piece."""
    return compiled(_forward(piece), piece, cpu_options=OLDER_EMITTERS if piece.depthwise_stride == 1 else {})


def _forward(piece: Piece) -> Callable:
    """Returns `(weights, statistics, train, *inputs) -> (output, batch statistics, statistics after)`.

    Whether batch norm takes the statistics of the batch or the running ones is an argument, so that one program serves
    training and evaluation.
    """
    def forward(weights: jax.Array | None, statistics: jax.Array | None, train: jax.Array, *inputs: jax.Array
                ) -> tuple[jax.Array, jax.Array | None, jax.Array | None]:
        running = _split(statistics, piece.statistics)
        used, after = {}, {}

        def normalisation(operation: Operation, x: jax.Array) -> Moments:
            batch = batch_moments(x)
            after.update(moved(operation, running, batch, x.size // x.shape[-1]))
            names = f"{operation.name}/mean", f"{operation.name}/var"
            used.update({name: jnp.where(train, moment, running[name])
                         for name, moment in zip(names, batch, strict=True)})
            return used[names[0]], used[names[1]]

        y = execute(piece.operations, inputs, _split(weights, piece.weights), normalisation)
        return y, _join(used), _join(after)

    return forward


def _backward(piece: Piece, optimizer: Optimizer, wanted: tuple[bool, ...]) -> Callable:
    """Returns the backward pass and update of a piece; `wanted` tells which inputs have a gradient.

    It is `(weights, moments, batch statistics, output gradient, coefficients, *inputs) -> (weights, moments, gradients
    of the wanted inputs)`.
    """
    decayed = sum(math.prod(shape) for name, shape in piece.weights.items() if is_kernel(name))

    def backward(weights: jax.Array | None, moments: jax.Array | None, batch: jax.Array | None, gradient: jax.Array,
                 coefficients: jax.Array, *inputs: jax.Array) -> tuple:
        known = _split(batch, piece.statistics)

        def output(weights: jax.Array | None, *inputs: jax.Array) -> jax.Array:
            return execute(piece.operations, inputs, _split(weights, piece.weights), lambda operation, x: (
                known[f"{operation.name}/mean"], known[f"{operation.name}/var"]))

        own, *below = jax.vjp(output, weights, *inputs)[1](gradient)
        below = list(itertools.compress(below, wanted))
        if weights is None:
            return None, None, below
        return *update(optimizer, weights, moments, own, coefficients, decayed), below

    return backward


def _dropped(weights: None, statistics: None, factors: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array, None]:
    """The forward pass of a `DropPath`, in the form of that of other pieces."""
    return x * factors.astype(x.dtype)[:, None, None, None], factors, None


def _dropped_backward(weights: None, moments: None, factors: jax.Array, gradient: jax.Array, coefficients: jax.Array,
                      x: jax.Array) -> tuple[None, None, list[jax.Array]]:
    return None, None, [gradient * factors.astype(x.dtype)[:, None, None, None]]


def loss_function(label_smoothing: float) -> Callable:
    """Returns `(logits [B, 1, 1, classes], labels) -> (loss, gradient of the logits)`, labels as in `training_step`."""
    def loss_of(logits: jax.Array, labels: jax.Array | Taught) -> jax.Array:
        given = labels.labels if isinstance(labels, Taught) else labels
        logits = logits.reshape(len(given), -1).astype(jnp.promote_types(logits.dtype, jnp.float32))
        weights, shares = _weights_and_shares(given, logits)
        losses = optax.softmax_cross_entropy(logits, optax.smooth_labels(shares, label_smoothing))
        if isinstance(labels, Taught):
            losses = (1 - labels.weight) * losses + labels.weight * divergence(logits, labels)
        return (weights * losses).mean()

    return jax.value_and_grad(loss_of)


def _weights_and_shares(labels: jax.Array, logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the weights of images, `[B]` or 1 for all alike, and the shares of their classes `[B, classes]`."""
    if labels.ndim == 1:
        return jnp.ones((), logits.dtype), jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    weights = labels.sum(-1)
    return weights, labels / jnp.where(weights > 0, weights, 1)[:, None]


def _add(left: jax.Array, right: jax.Array) -> jax.Array:
    return left + right


def blended(average: jax.Array, weights: jax.Array, kept: jax.Array) -> jax.Array:
    """Returns averages of weights that keep a share of themselves."""
    return kept * average + (1 - kept) * weights


def _flat(logits: jax.Array) -> jax.Array:
    return logits.reshape(logits.shape[0], -1)


def _ended(uses: tuple[Use, ...]) -> list[set[int]]:
    """Returns the values of each use that no later use reads."""
    last = {value: index for index, use in enumerate(uses) for value in use.inputs}
    return [{value for value in use.inputs if last[value] == index} for index, use in enumerate(uses)]


def _forget(values: dict[int, jax.Array], ended: Iterable[int]) -> None:
    for value in ended:
        del values[value]


def _split(flat: jax.Array | np.ndarray | None, shapes: Shapes) -> dict:
    """Returns the arrays that lie one after the other in a flat one."""
    arrays, start = {}, 0
    for name, shape in shapes.items():
        assert flat is not None
        arrays[name] = flat[start:start + math.prod(shape)].reshape(shape)
        start += math.prod(shape)
    return arrays


def _join(arrays: dict[str, jax.Array]) -> jax.Array | None:
    return jnp.concatenate([array.ravel() for array in arrays.values()]) if arrays else None
