"""Training steps of several networks as one program, for devices that one small network cannot fill.

The pieces of the networks (see `evaluators.training.partition`) are aligned. Those that differ in nothing but their
channels run as one, vmapped, with as many channels as the widest of them; the others have zeros there. Zeros stay zeros
throughout a training, in values, gradients, weights and moments, so that each network becomes what it would become
alone, but for rounding. A piece without companions runs alone.
"""

import dataclasses
import functools
import itertools
import math
import operator
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evaluators.recipe import Optimizer
from evaluators.training.executables import Executable
from evaluators.training.partition import Piece, Shapes, Use, cut
from evaluators.training.step import (
    Inference,
    PieceState,
    States,
    Step,
    as_it_is,
    blended,
    forward_pass,
    loss_function,
    piece_passes,
)
from search_spaces.layers import (
    GATES,
    Activation,
    Add,
    BatchNorm,
    Convolution,
    Dense,
    GlobalPool,
    Multiply,
    Pool,
    Primitive,
    Scale,
    Shape,
)
from search_spaces.program import Operation, Program

Programs = tuple[Program, ...]
Values = list[dict[int, jax.Array]]  # of each network, by their numbers in its program
Row = tuple[Hashable, tuple[tuple[int, Use], ...]]  # the form of pieces, and these by the numbers of their networks


@dataclass(frozen=True)
class Stack:
    """Pieces that run as one, at most one of each network.

    Attributes:
        piece: the same with as many channels as the widest of them.
        uses: each of them in its place, by the number of its network.
    """

    piece: Piece
    uses: tuple[tuple[int, Use], ...]

    @property
    def wanted(self) -> tuple[bool, ...]:
        """A flag for each input: True where it has a gradient."""
        return tuple(value > 0 for value in self.uses[0][1].inputs)

    @property
    def axes(self) -> tuple[int | None, ...]:
        """The axis of the networks in each input; images have none, unless nothing else has one."""
        return tuple(0 if wanted or not self.piece.weights else None for wanted in self.wanted)

    def inputs(self, values: Values) -> list[jax.Array]:
        """Returns the inputs of all pieces as one."""
        return [values[0][0] if axis is None else self._joined(
            [values[network][use.inputs[place]] for network, use in self.uses], shape[-1])
            for place, (axis, shape) in enumerate(zip(self.axes, self.piece.input_shapes, strict=True))]

    def gradient(self, gradients: Values) -> jax.Array:
        """Returns the gradients of all outputs as one, and forgets them."""
        return self._joined([gradients[network].pop(use.output) for network, use in self.uses],
                            self.piece.operations[-1].output_shape[-1])

    @staticmethod
    def _joined(arrays: list[jax.Array], channels: int) -> jax.Array:
        filled = (jnp.pad(array, [*[(0, 0)] * 3, (0, channels - array.shape[-1])]) for array in arrays)
        return jnp.stack(list(filled))


@functools.lru_cache(maxsize=8)
def aligned(programs: Programs) -> tuple[Stack, ...]:
    """Returns the pieces of all networks as few stacks, in an order that is that of each network's pieces too."""
    rows: list[Row] = []
    for network, program in enumerate(programs):
        rows = _merged(rows, [(_form(use), ((network, use),)) for use in cut(program)])
    return tuple(Stack(_widest([use.piece for _, use in uses]), uses) for _, uses in rows)


def _merged(left: list[Row], right: list[Row]) -> list[Row]:
    """Returns the shortest sequence that keeps the order of both, in which rows of one form are joined."""
    common = np.zeros((len(left) + 1, len(right) + 1), int)  # rows that the rests of both can have in common
    for i, j in itertools.product(reversed(range(len(left))), reversed(range(len(right)))):
        common[i, j] = (common[i + 1, j + 1] + 1 if left[i][0] == right[j][0]
                        else max(common[i + 1, j], common[i, j + 1]))
    merged, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        if left[i][0] == right[j][0]:
            merged.append((left[i][0], left[i][1] + right[j][1]))
            i, j = i + 1, j + 1
        elif common[i + 1, j] >= common[i, j + 1]:
            merged.append(left[i])
            i += 1
        else:
            merged.append(right[j])
            j += 1
    return [*merged, *left[i:], *right[j:]]


def _form(use: Use) -> Hashable:
    """Returns a key of a piece: its form without channels, or the whole where zeros cannot stand for channels."""
    piece, wanted = use.piece, tuple(value > 0 for value in use.inputs)
    if not _keeps_zeros(piece):
        return piece, wanted
    return (tuple(shape[:2] for shape in piece.input_shapes), wanted, tuple(
        (_with_channels(operation.layer, 0), operation.inputs, operation.output_shape[:2])
        for operation in piece.operations))


def _with_channels(layer: Primitive, channels: int) -> Primitive:
    """Returns a layer with other channels out, of which there are as many groups if there were several."""
    if isinstance(layer, Convolution):
        return dataclasses.replace(layer, filters=channels, groups=1 if layer.groups == 1 else channels)
    return dataclasses.replace(layer, features=channels) if isinstance(layer, Dense) else layer


def _keeps_zeros(piece: Piece) -> bool:
    """Tells whether the last channels of the result, and all gradients of theirs, are zero where those of inputs are.

    Layers that put channels in another order are none of those that do so, and neither is one that reads a gate.
    """
    zero = [True] * len(piece.input_shapes)
    for operation in piece.operations:
        layer, own = operation.layer, [zero[value] for value in operation.inputs]
        match layer:
            case Multiply():
                zero.append(any(own))
            case Activation() if layer.function in GATES:
                zero.append(False)
            case Activation() | BatchNorm() | Pool() | GlobalPool() | Scale() | Add():
                zero.append(all(own))
            case Convolution() if all(own) and (layer.groups == 1 or layer.is_depthwise(operation.input_shapes[0][-1])):
                zero.append(True)
            case Dense() if all(own) and operation.input_shapes[0][:2] == (1, 1):
                zero.append(True)
            case _:
                return False
    return zero[-1]


def _widest(pieces: Sequence[Piece]) -> Piece:
    """Returns the piece of a form with room for all the channels of several."""
    if len(set(pieces)) == 1:
        return pieces[0]

    def largest(shapes: Sequence[Shape]) -> Shape:
        return (*shapes[0][:2], max(shape[2] for shape in shapes))

    def widened(operations: Sequence[Operation]) -> Operation:
        out = largest([operation.output_shape for operation in operations])
        return dataclasses.replace(
            operations[0], layer=_with_channels(operations[0].layer, out[2]), output_shape=out,
            input_shapes=tuple(map(largest, zip(*(operation.input_shapes for operation in operations), strict=True))))

    return Piece(tuple(map(largest, zip(*(piece.input_shapes for piece in pieces), strict=True))),
                 tuple(map(widened, zip(*(piece.operations for piece in pieces), strict=True))))


def joined(programs: Programs, apart: Sequence[States]) -> States:
    """Returns the states of trainings, as `pack` leaves them, as one for each stack."""
    states = [iter(jax.device_get(each)) for each in apart]

    def state_of(stack: Stack) -> PieceState:
        own = [_refilled(next(states[network]), use.piece, stack.piece) for network, use in stack.uses]
        return jax.tree.map(lambda *arrays: np.stack(arrays), *own)

    return jax.device_put([state_of(stack) for stack in aligned(programs)])


def parted(programs: Programs, together: States) -> list[States]:
    """Returns the states of the training of each network, from those of the stacks."""
    apart: list[States] = [[] for _ in programs]
    for stack, state in zip(aligned(programs), jax.device_get(together), strict=True):
        for index, (network, use) in enumerate(stack.uses):
            own = jax.tree.map(operator.itemgetter(index), state)
            apart[network].append(_refilled(own, stack.piece, use.piece))
    return apart


def _refilled(state: PieceState, old: Piece, new: Piece) -> PieceState:
    """Returns the state of a piece as that of the same with other channels: zeros come in, or go."""
    def refilled(flat: np.ndarray | None, before: Shapes, after: Shapes) -> np.ndarray | None:
        if flat is None or before == after:
            return flat
        arrays, start = [], 0
        for shape, wanted in zip(before.values(), after.values(), strict=True):
            array = flat[..., start:start + math.prod(shape)].reshape(*flat.shape[:-1], *shape)
            filled = np.zeros((*flat.shape[:-1], *wanted), flat.dtype)
            kept: Any = (..., *(slice(min(sizes)) for sizes in zip(shape, wanted, strict=True)))
            filled[kept] = array[kept]
            arrays.append(filled.reshape(*flat.shape[:-1], -1))
            start += math.prod(shape)
        return np.concatenate(arrays, -1)

    return PieceState(refilled(state.weights, old.weights, new.weights),
                      refilled(state.moments, old.weights, new.weights),
                      refilled(state.statistics, old.statistics, new.statistics),
                      refilled(state.average, old.weights, new.weights))


def training_step(programs: Programs, optimizer: Optimizer) -> Step:
    """Returns `step` of `evaluators.training.step.training_step` for all networks: their states `joined`, and losses.

    Labels, coefficients and `kept` are those of all. Programs have no branches that images skip at random.
    """
    stacks = aligned(programs)
    backward = [jax.vmap(piece_passes(stack.piece, optimizer, stack.wanted, as_it_is)[1],
                         (0, 0, 0, 0, None, *stack.axes)) for stack in stacks]
    losses_of = jax.vmap(loss_function(optimizer.label_smoothing), (0, None))

    def step(states: States, images: jax.Array, labels: jax.Array, coefficients: np.ndarray,
             kept: np.ndarray | None = None, factors: Sequence[np.ndarray] = ()) -> tuple[States, jax.Array]:
        outputs, tape = _passed(programs, states, images, np.True_)
        losses, slopes = losses_of(outputs, labels)
        gradients: Values = [{program.output: slope} for program, slope in zip(programs, slopes, strict=True)]
        stepped = []
        for stack, state, back in zip(reversed(stacks), reversed(states), reversed(backward), strict=True):
            inputs, batch, after = tape.pop()
            weights, moments, below = back(state.weights, state.moments, batch, stack.gradient(gradients), coefficients,
                                           *inputs)
            average = None if state.average is None else blended(state.average, weights, kept)
            stepped.append(PieceState(weights, moments, after, average))
            for place, slope in zip(itertools.compress(itertools.count(), stack.wanted), below, strict=True):
                for (network, use), own in zip(stack.uses, slope, strict=True):
                    value, own = use.inputs[place], own[..., :use.piece.input_shapes[place][-1]]
                    gradients[network][value] = gradients[network][value] + own if value in gradients[network] else own
        return stepped[::-1], losses

    return Executable(step, programs, optimizer, donated=(0,))


def inference(programs: Programs) -> Inference:
    """Returns `infer(states, images [B, H, W, C]) -> logits [N, B, classes]`, by the running statistics."""
    def infer(states: States, images: jax.Array) -> jax.Array:
        logits = _passed(programs, states, images, np.False_)[0]
        return logits.reshape(*logits.shape[:2], -1)

    return Executable(infer, programs)


def settling(programs: Programs) -> Callable[[States, jax.Array], States]:
    """Returns `settle` of `evaluators.training.step.settling` for all networks."""
    def settle(states: States, images: jax.Array) -> States:
        return [state._replace(statistics=after) for state, (_, _, after) in
                zip(states, _passed(programs, states, images, np.True_)[1], strict=True)]

    return Executable(settle, programs)


def _passed(programs: Programs, states: States, images: jax.Array, train: np.bool_
            ) -> tuple[jax.Array, list[tuple[list[jax.Array], jax.Array | None, jax.Array | None]]]:
    """Returns the outputs of all networks, and of each stack its inputs, and statistics of the batch and after it."""
    values: Values = [{0: images} for _ in programs]
    tape = []
    for stack, state in zip(aligned(programs), states, strict=True):
        inputs = stack.inputs(values)
        forward = jax.vmap(forward_pass(stack.piece, as_it_is), (0, 0, None, *stack.axes))
        output, batch, after = forward(state.weights, state.statistics, train, *inputs)
        tape.append((inputs, batch, after))
        for (network, use), own in zip(stack.uses, output, strict=True):
            values[network][use.output] = own[..., :use.piece.operations[-1].output_shape[-1]]
    return jnp.stack([own[program.output] for own, program in zip(values, programs, strict=True)]), tape
