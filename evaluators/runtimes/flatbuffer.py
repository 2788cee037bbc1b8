"""The graph of a LiteRT file in the making: tensors, constants, and operators that read and leave them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evaluators.runtimes.quantisation import Grid
from evaluators.runtimes.runtime import Arrays
from search_spaces.layers import padding_of

ALIGNMENT = 16  # bytes, which the format demands of its buffers
PLACEHOLDER = 127  # in the byte that held the operator before there were more of them than fit
VERSIONS = {"CONV_2D": 6, "TRANSPOSE": 4}  # of operators, where what we use came after the first
VERSIONS_OF_STORED = {**VERSIONS, "DEQUANTIZE": 5}  # the first with a scale for each filter
VERSIONS_OF_INTEGERS = {
    "CONV_2D": 6, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 12, "ADD": 2, "MUL": 2, "MEAN": 2, "LOGISTIC": 2,
    "MAX_POOL_2D": 2, "AVERAGE_POOL_2D": 2, "PAD": 2, "PADV2": 2, "CONCATENATION": 2, "STRIDED_SLICE": 2,
    "TRANSPOSE": 4, "RELU": 2, "RELU6": 2, "DEQUANTIZE": 2}
NO_PADS = ((0, 0), (0, 0))


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph: its number, and its shape without the batch axis, `(H, W, C)` or `(features,)`."""

    index: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Buffer:
    """The bytes of a constant, aligned as the generated classes for writing do not."""

    data: np.ndarray

    def Pack(self, builder: Any) -> Any:  # noqa: N802  # the name that the generated classes call
        """Writes the buffer."""
        from ai_edge_litert import schema_py_generated as schema

        if self.data.nbytes:
            builder.StartVector(1, self.data.nbytes, ALIGNMENT)
            builder.head -= self.data.nbytes
            builder.Bytes[builder.head:builder.head + self.data.nbytes] = self.data.tobytes()
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if self.data.nbytes:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


@dataclass
class Graph:
    """A subgraph in the making."""

    schema: Any
    arrays: Arrays
    fused: dict[str, str]
    placed: "Placed | None" = None  # of a file that is not of float32: sees every operator before it is appended
    versions: Mapping[str, int] = field(default_factory=lambda: VERSIONS)  # of operators
    tensors: list[Any] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)
    buffers: list[_Buffer] = field(default_factory=lambda: [_Buffer(np.empty(0, np.uint8))])  # the first means none
    kinds: list[str] = field(default_factory=list)
    constants: dict[str, int] = field(default_factory=dict)
    values: list[Tensor] = field(default_factory=list)
    grids: dict[int, Grid] = field(default_factory=dict)  # of tensors of integers

    def tensor(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Returns a new tensor for a batch of any size."""
        self.tensors.append(self.schema.TensorT(
            shape=np.array([1, *shape], np.int32), shapeSignature=np.array([-1, *shape], np.int32),
            type=self.schema.TensorType.FLOAT32, name=name, hasRank=True))
        return Tensor(len(self.tensors) - 1, shape)

    def buffer(self, data: np.ndarray) -> int:
        """Returns the number of a new buffer."""
        self.buffers.append(_Buffer(data))
        return len(self.buffers) - 1

    def constant(self, name: str, value: np.ndarray) -> int:
        """Returns the number of a constant tensor of float32 or int32, which is stored once."""
        if name not in self.constants:
            kind = self.schema.TensorType.FLOAT32 if value.dtype == np.float32 else self.schema.TensorType.INT32
            self.tensors.append(self.schema.TensorT(shape=np.array(value.shape, np.int32), type=kind, name=name,
                                                    buffer=self.buffer(np.ascontiguousarray(value)), hasRank=True))
            self.constants[name] = len(self.tensors) - 1
        return self.constants[name]

    def operator(self, kind: str, inputs: list[Tensor | int], name: str, shape: tuple[int, ...],
                 options: Any = None) -> Tensor:
        """Returns the output of a new operator; inputs are tensors, or numbers of constants."""
        out = self.tensor(name, shape)
        if self.placed is not None:
            inputs = self.placed(self, kind, inputs, out)
        if kind not in self.kinds:
            self.kinds.append(kind)
        operator = self.schema.OperatorT(
            opcodeIndex=self.kinds.index(kind), outputs=np.array([out.index], np.int32),
            inputs=np.array([x.index if isinstance(x, Tensor) else x for x in inputs], np.int32))
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self.operators.append(operator)
        return out

    def set_kind(self, index: int, kind: int, scales: Any, zeros: Any, axis: int = 0) -> None:
        """Sets the type of a tensor of integers, and a scale and a zero for each of them along the axis."""
        self.tensors[index].type = kind
        self.tensors[index].quantization = self.schema.QuantizationParametersT(
            scale=np.atleast_1d(np.asarray(scales, np.float32)), zeroPoint=np.atleast_1d(np.asarray(zeros, np.int64)),
            quantizedDimension=axis)

    def data(self, index: int) -> np.ndarray:
        """Returns the values of a constant tensor."""
        return self.buffers[self.tensors[index].buffer].data

    def set_data(self, index: int, data: np.ndarray) -> None:
        """Sets the values of a constant tensor."""
        self.buffers[self.tensors[index].buffer] = _Buffer(np.ascontiguousarray(data))

    def operator_codes(self) -> list[Any]:
        """Returns the kinds of operators, in the order of their numbers."""
        codes = [getattr(self.schema.BuiltinOperator, kind) for kind in self.kinds]
        return [self.schema.OperatorCodeT(min(code, PLACEHOLDER), None, self.versions.get(kind, 1), code)
                for kind, code in zip(self.kinds, codes, strict=True)]

    def fused_activation(self, name: str) -> int:
        """Returns the activation that the operation of this name applies itself."""
        return getattr(self.schema.ActivationFunctionType, self.fused.get(name, "NONE"))

    def reshaped(self, tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Returns the tensor in another shape."""
        if tensor.shape == shape:
            return tensor
        sizes = self.constant(f"constant/shape_{'x'.join(map(str, shape))}", np.array([-1, *shape], np.int32))
        return self.operator("RESHAPE", [tensor, sizes], f"{self.tensors[tensor.index].name}/{len(shape)}d", shape)

    def pixels(self, tensor: Tensor) -> Tensor:
        """Returns the tensor as `[batch, H, W, C]`."""
        return tensor if len(tensor.shape) == 3 else self.reshaped(tensor, (1, 1, *tensor.shape))

    def padded(self, tensor: Tensor, pads: tuple[tuple[int, int], tuple[int, int]], kernel: tuple[int, int],
               stride: int, name: str, fill: float = 0.0, same: bool = True) -> tuple[Tensor, int]:
        """Returns the input of a window, and the format's word for the padding that is left to do.

        `same` says whether the format's own padding will do, of which averages do not count the pixels.
        """
        if pads == NO_PADS:
            return tensor, self.schema.Padding.VALID
        if same and pads == tuple(padding_of(size, extent, stride, "same")[1:]
                                  for size, extent in zip(tensor.shape[:2], kernel, strict=True)):
            return tensor, self.schema.Padding.SAME
        (top, bottom), (left, right) = pads
        height, width, channels = tensor.shape
        sizes = self.constant(f"constant/pads_{top}_{bottom}_{left}_{right}",
                              np.array([(0, 0), *pads, (0, 0)], np.int32))
        shape = (height + top + bottom, width + left + right, channels)
        if fill:
            value = self.constant(f"{name}/fill", np.array([fill], np.float32))
            padded = self.operator("PADV2", [tensor, sizes, value], f"{name}/padded", shape,
                                   self.schema.PadV2OptionsT())
        else:
            padded = self.operator("PAD", [tensor, sizes], f"{name}/padded", shape, self.schema.PadOptionsT())
        return padded, self.schema.Padding.VALID


Placed = Callable[[Graph, str, list[Tensor | int], Tensor], list[Tensor | int]]
