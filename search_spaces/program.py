"""Programs: networks as flat lists of operations in execution order, with every shape known.

`trace` turns an expression of layers into one. All that is ever done with a network (counting, running, training,
exporting) is a walk over that list, so that a new block needs no new code below it.
"""

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from search_spaces.errors import InvalidInput, require
from search_spaces.layers import (
    FLOAT32_BYTES,
    MOST_CHANNELS,
    Activation,
    BatchNorm,
    Branches,
    Layer,
    Primitive,
    Scale,
    Sequence,
    Shape,
)


@dataclass(frozen=True)
class Operation:
    """One primitive in a program. Value 0 is the program's input, value `n` the output of operation `n - 1`."""

    name: str
    layer: Primitive
    inputs: tuple[int, ...]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape

    @property
    def weights(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the trainable weights by full name."""
        return {f"{self.name}/{key}": shape for key, shape in self.layer.weights(*self.input_shapes).items()}

    @property
    def statistics(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the running statistics by full name."""
        if not isinstance(self.layer, BatchNorm):
            return {}
        return {f"{self.name}/{key}": shape for key, shape in self.layer.statistics(*self.input_shapes).items()}

    @property
    def arrays(self) -> dict[str, tuple[int, ...]]:
        """The shapes of weights and running statistics by full name."""
        return self.weights | self.statistics

    @property
    def params(self) -> int:
        """The number of trainable parameters."""
        return sum(math.prod(shape) for shape in self.weights.values())

    @property
    def macs(self) -> int:
        """The multiply-adds of one example, taps on the padding included."""
        height, width, _ = self.output_shape
        return height * width * math.prod(self.layer.weights(*self.input_shapes).get("kernel", (0,)))


@dataclass(frozen=True)
class Program:
    """Operations in execution order, from an input shape to the last operation's output."""

    input_shape: Shape
    operations: tuple[Operation, ...]

    @property
    def output(self) -> int:
        """The number of the value that leaves the program."""
        return len(self.operations)

    @property
    def output_shape(self) -> Shape:
        """The shape of the program's output."""
        return self.operations[-1].output_shape if self.operations else self.input_shape

    @cached_property
    def params(self) -> int:
        """The number of trainable parameters: batch-norm scales and biases count, running statistics do not."""
        return sum(operation.params for operation in self.operations)

    @cached_property
    def macs(self) -> int:
        """The multiply-adds of convolutions and dense layers for one example, taps on the padding included."""
        return sum(operation.macs for operation in self.operations)

    @property
    def arrays(self) -> dict[str, tuple[int, ...]]:
        """The shapes of all weights and running statistics by name, in the order of the operations."""
        return {name: shape for operation in self.operations for name, shape in operation.arrays.items()}

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """The indices of the operations that read each value, in their order."""
        found: list[list[int]] = [[] for _ in range(len(self.operations) + 1)]
        for index, operation in enumerate(self.operations):
            for value in dict.fromkeys(operation.inputs):
                found[value].append(index)
        return tuple(map(tuple, found))

    @cached_property
    def last_use(self) -> tuple[int, ...]:
        """The index of the last operation that reads each value; the output outlives them all."""
        return (*(indices[-1] if indices else -1 for indices in self.readers[:-1]), len(self.operations))

    @cached_property
    def memory_bytes(self) -> int:
        """The bytes of live activations at their peak: float32, one example, weights not counted.

        Operations run in the written order. Batch norm, activations and scaling write over their input where
        nothing else reads it later.
        """
        sizes = [math.prod(self.input_shape), *(math.prod(op.output_shape) for op in self.operations)]
        live, peak = {0}, sizes[0]
        for index, operation in enumerate(self.operations):
            ended = {value for value in operation.inputs if self.last_use[value] == index}
            during = live - ended if isinstance(operation.layer, BatchNorm | Activation | Scale) else live
            peak = max(peak, sum(sizes[value] for value in during) + sizes[index + 1])
            live = (live - ended) | {index + 1}
        return peak * FLOAT32_BYTES


def trace(layer: Layer, input_shape: Shape) -> Program:
    """Returns the program of a layer expression applied to an input shape; raises `InvalidInput` where it fits not."""
    return _Tracer([input_shape]).program(layer)


def chain(programs: Iterable[tuple[str, Program]]) -> Program:
    """Returns one program out of named ones, each of which reads what the one before it leaves."""
    operations: list[Operation] = []
    input_shape = None
    for prefix, program in programs:
        input_shape = input_shape or program.input_shape
        offset = len(operations)
        operations += [dataclasses.replace(operation, name=f"{prefix}/{operation.name}",
                                           inputs=tuple(value + offset for value in operation.inputs))
                       for operation in program.operations]
    assert input_shape is not None, "there is at least one program"
    return Program(input_shape, tuple(operations))


@dataclass
class _Tracer:
    shapes: list[Shape]
    operations: list[Operation] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)

    def program(self, layer: Layer) -> Program:
        require(self._visit(layer, 0, "") == len(self.operations), "a program must end with an operation")
        return Program(self.shapes[0], tuple(self.operations))

    def _visit(self, layer: Layer, value: int, path: str) -> int:
        if isinstance(layer, Sequence):
            for part in layer.parts:
                value = self._visit(part, value, f"{path}{layer.name}/" if layer.name else path)
            return value
        if isinstance(layer, Branches):
            inner = f"{path}{layer.name}/" if layer.name else path
            ends = tuple(self._visit(branch, value, inner) for branch in layer.branches)
            return self._append(layer.join, ends, inner)
        return self._append(layer, (value,), path)

    def _append(self, layer: Primitive, inputs: tuple[int, ...], path: str) -> int:
        name = f"{path}{layer.label}"
        count = self.names[name] = self.names.get(name, 0) + 1
        name = name if count == 1 else f"{name}_{count}"
        shapes = tuple(self.shapes[value] for value in inputs)
        try:
            output_shape = layer.output_shape(*shapes)
            require(output_shape[2] <= MOST_CHANNELS,
                    f"a layer has at most {MOST_CHANNELS} channels, but got {output_shape[2]}")
        except InvalidInput as error:
            raise InvalidInput(f"{error} (layer {name})") from None
        self.operations.append(Operation(name, layer, inputs, shapes, output_shape))
        self.shapes.append(output_shape)
        return len(self.operations)
