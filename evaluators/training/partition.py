"""Programs cut into pieces: the units that are compiled once and shared by every network that contains them.

A piece is a convolution, or a batch norm with the activation and the skip that follow it, or all that happens between
a global pool and what it gates. It has no name and no place, and depends on few choices each: the kernel size touches
the depthwise convolution only, the activation only batch norms. So random candidates of one space, which seldom have
a whole block in common, have nearly all pieces in common.
"""

import dataclasses
import functools
from dataclasses import dataclass
from functools import cached_property

from evaluators.training.stochastic_depth import DropPath
from search_spaces.layers import Activation, Add, BatchNorm, Concatenate, Convolution, Multiply, Shape
from search_spaces.program import Operation, Program

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Piece:
    """Operations in execution order: values `0 .. m - 1` are the `m` inputs, operation `n` leaves value `m + n`."""

    input_shapes: tuple[Shape, ...]
    operations: tuple[Operation, ...]

    @cached_property
    def weights(self) -> Shapes:
        """The shapes of the trainable weights by name, kernels first."""
        return _kernels_first({name: shape for operation in self.operations
                               for name, shape in operation.weights.items()})

    @property
    def depthwise_stride(self) -> int:
        """The stride of the depthwise convolution that it is, or 0."""
        layer = self.operations[0].layer
        return layer.stride if isinstance(layer, Convolution) and layer.is_depthwise(self.input_shapes[0][-1]) else 0

    @property
    def drops(self) -> bool:
        """Tells whether the piece is the end of a residual branch that images skip at random; it stands alone."""
        return isinstance(self.operations[0].layer, DropPath)

    @cached_property
    def statistics(self) -> Shapes:
        """The shapes of the running statistics by name."""
        return {name: shape for operation in self.operations for name, shape in operation.statistics.items()}


@dataclass(frozen=True)
class Use:
    """A piece in its place: the program's values that it reads and leaves, and the names of its arrays there."""

    piece: Piece
    inputs: tuple[int, ...]
    output: int
    weights: tuple[str, ...]
    statistics: tuple[str, ...]


@functools.lru_cache(maxsize=64)
def cut(program: Program) -> tuple[Use, ...]:
    """Returns the program's pieces in execution order."""
    runs: list[list[int]] = []
    for index, operation in enumerate(program.operations):
        if runs and _continues(program, operation, index):
            runs[-1].append(index)
        else:
            runs.append([index])
    return tuple(_use(program, run) for run in runs)


def _continues(program: Program, operation: Operation, index: int) -> bool:
    """Tells whether an operation belongs to the piece before it; nothing else may need that one's result."""
    before = program.operations[index - 1]
    if isinstance(before.layer, DropPath) or isinstance(operation.layer, DropPath):
        return False
    if index not in operation.inputs or program.last_use[index] != index:
        return False
    pooled = before.output_shape[:2] == (1, 1) and not isinstance(operation.layer, BatchNorm)
    return pooled or isinstance(operation.layer, Activation | Add | Multiply | Concatenate)


def _use(program: Program, run: list[int]) -> Use:
    operations = [program.operations[index] for index in run]
    made = {index + 1 for index in run}
    inputs = tuple(dict.fromkeys(value for operation in operations for value in operation.inputs if value not in made))
    number = {value: place for place, value in enumerate(inputs)}
    number |= {index + 1: len(inputs) + place for place, index in enumerate(run)}
    shapes = {value: shape for operation in operations
              for value, shape in zip(operation.inputs, operation.input_shapes, strict=True)}
    return Use(
        Piece(tuple(shapes[value] for value in inputs), tuple(
            dataclasses.replace(operation, name=str(place), inputs=tuple(number[value] for value in operation.inputs))
            for place, operation in enumerate(operations))),
        inputs, run[-1] + 1,
        tuple(_kernels_first({name: shape for operation in operations for name, shape in operation.weights.items()})),
        tuple(name for operation in operations for name in operation.statistics))


def _kernels_first(shapes: Shapes) -> Shapes:
    return dict(sorted(shapes.items(), key=lambda item: not is_kernel(item[0])))


def is_kernel(name: str) -> bool:
    """Tells whether a weight is the kernel of a convolution or a dense layer, and thus subject to weight decay."""
    return name.endswith("/kernel")
