"""ONNX graphs, written from our own layers.

The forms of the operations are those that ONNX Runtime fuses and runs fastest: an activation directly after a
convolution becomes part of it if it is Relu, Clip, HardSigmoid, Sigmoid or HardSwish (arithmetic that spells out the
same function does not), and a squeeze is GlobalAveragePool with 1x1 convolutions. A batch axis of free size costs no
speed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evaluators.runtimes.folding import fold_batch_norm
from evaluators.runtimes.runtime import Arrays
from search_spaces.layers import (
    Activation,
    Add,
    BatchNorm,
    Concatenate,
    Convolution,
    Dense,
    GlobalPool,
    Multiply,
    Pool,
    Scale,
    Shuffle,
    Slice,
    padding_of,
)
from search_spaces.program import Operation, Program

INPUT, OUTPUT, NORMALISED = "image", "logits", "image/normalised"
OPSET = 17  # the first with all that we use and still read by every ONNX Runtime since 1.12
IR_VERSION = 8


def onnx_model(program: Program, arrays: Arrays) -> Any:
    """Returns the `onnx.ModelProto` of a program; nodes and tensors have the names of the operations."""
    from onnx import TensorProto, helper, numpy_helper

    program, arrays = fold_batch_norm(program, arrays)
    graph = _Graph(arrays)
    for operation in program.operations:
        if type(operation.layer) not in EMITTERS:
            raise NotImplementedError(f"no ONNX form of the layer {operation.layer}")
        inputs = [graph.values[value] for value in operation.inputs]
        graph.values.append(EMITTERS[type(operation.layer)](graph, operation, *inputs))
    graph.nodes[graph.rows(graph.values[program.output])].output[0] = OUTPUT
    height, width, channels = program.input_shape
    return helper.make_model(
        helper.make_graph(
            list(graph.nodes.values()), "network",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", channels, height, width])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", math.prod(program.output_shape)])],
            [numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="paretonas",
    )


def channels_first(images: np.ndarray) -> np.ndarray:
    """Returns images `[B, H, W, C]` as `[B, C, H, W]` in float32."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)


def prepend_normalisation(model: Any, mean: np.ndarray, std: np.ndarray) -> None:
    """Puts the normalisation of bytes `[batch, H, W, C]` before a model of normalised images `[batch, C, H, W]`.

    Args:
        model: the model, which is changed.
        mean: of each channel `[C]` of images scaled to [0, 1].
        std: their standard deviations.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    for node in graph.node:
        node.input[:] = [NORMALISED if name == INPUT else name for name in node.input]
    batch, *sizes = (size.dim_param or size.dim_value for size in graph.input[0].type.tensor_type.shape.dim)
    graph.input[0].CopyFrom(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [batch, *sizes[1:], sizes[0]]))
    names = [f"{INPUT}/{step}" for step in ("transposed", "float32", "scaled", "factor", "shift")]
    transposed, float32, scaled, factor, shift = names
    for name, value in ((factor, 1 / (255 * std)), (shift, -mean / std)):
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32).reshape(1, -1, 1, 1), name))
    steps = [helper.make_node("Transpose", [INPUT], [transposed], transposed, perm=[0, 3, 1, 2]),
             helper.make_node("Cast", [transposed], [float32], float32, to=TensorProto.FLOAT),
             helper.make_node("Mul", [float32, factor], [scaled], scaled),
             helper.make_node("Add", [scaled, shift], [NORMALISED], NORMALISED)]
    for place, node in enumerate(steps):
        graph.node.insert(place, node)


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph: `[batch, C, H, W]`, or `[batch, features]` if it is flat."""

    name: str
    flat: bool = False


@dataclass
class _Graph:
    """An ONNX graph in the making."""

    arrays: Arrays
    nodes: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    values: list[Tensor] = field(default_factory=lambda: [Tensor(INPUT)])

    def node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Returns the name of a node, which its only output shares; appends the node unless it is there."""
        from onnx import helper

        if name not in self.nodes:
            self.nodes[name] = helper.make_node(kind, inputs, [name], name, **attributes)
        return name

    def constant(self, name: str, value: np.ndarray) -> str:
        """Returns the name of a constant, which is stored once."""
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def rows(self, tensor: Tensor) -> str:
        """Returns the name of the tensor as `[batch, features]`."""
        return tensor.name if tensor.flat else self.node("Flatten", [tensor.name], f"{tensor.name}/rows", axis=1)

    def pixels(self, tensor: Tensor) -> str:
        """Returns the name of the tensor as `[batch, C, H, W]`."""
        if not tensor.flat:
            return tensor.name
        axes = self.constant("constant/pixel_axes", np.array([2, 3]))
        return self.node("Unsqueeze", [tensor.name, axes], f"{tensor.name}/pixels")


def _convolution(graph: _Graph, operation: Operation, x: Tensor) -> Tensor:
    layer, shape = operation.layer, operation.input_shapes[0]
    assert isinstance(layer, Convolution)
    kernel = graph.arrays[f"{operation.name}/kernel"].transpose(3, 2, 0, 1)  # [filters, channels in / groups, H, W]
    inputs = [graph.pixels(x), graph.constant(f"{operation.name}/kernel", kernel)]
    if layer.bias:
        inputs.append(graph.constant(f"{operation.name}/bias", graph.arrays[f"{operation.name}/bias"]))
    (_, top, bottom), (_, left, right) = (padding_of(shape[axis], layer.kernel[axis], layer.stride, layer.padding)
                                          for axis in (0, 1))
    return Tensor(graph.node("Conv", inputs, operation.name, kernel_shape=layer.kernel, group=layer.groups,
                             strides=[layer.stride, layer.stride], pads=[top, left, bottom, right]))


def _batch_norm(graph: _Graph, operation: Operation, x: Tensor) -> Tensor:
    assert isinstance(operation.layer, BatchNorm)
    keys = [f"{operation.name}/{key}" for key in ("scale", "bias", "mean", "var")]
    constants = [graph.constant(key, graph.arrays[key]) for key in keys]
    return Tensor(graph.node("BatchNormalization", [x.name, *constants], operation.name,
                             epsilon=operation.layer.epsilon), x.flat)


def _activation(graph: _Graph, operation: Operation, x: Tensor) -> Tensor:
    assert isinstance(operation.layer, Activation)
    name = operation.name
    match operation.layer.function:
        case "relu":
            graph.node("Relu", [x.name], name)
        case "relu6":
            bounds = [graph.constant(f"constant/{bound}", np.array(bound, np.float32)) for bound in (0, 6)]
            graph.node("Clip", [x.name, *bounds], name)
        case "hswish":
            graph.node("HardSwish", [x.name], name)
        case "swish":
            graph.node("Mul", [x.name, graph.node("Sigmoid", [x.name], f"{name}/sigmoid")], name)
        case "sigmoid":
            graph.node("Sigmoid", [x.name], name)
        case "hsigmoid":
            graph.node("HardSigmoid", [x.name], name, alpha=1 / 6, beta=0.5)
    return Tensor(name, x.flat)


def _global_pool(graph: _Graph, operation: Operation, x: Tensor) -> Tensor:
    return Tensor(graph.node("GlobalAveragePool", [graph.pixels(x)], operation.name))


def _pool(graph: _Graph, operation: Operation, x: Tensor) -> Tensor:
    layer = operation.layer
    assert isinstance(layer, Pool)
    (top, bottom), (left, right) = layer.pads(operation.input_shapes[0])
    window = {"kernel_shape": [layer.kernel] * 2, "strides": [layer.stride] * 2, "pads": [top, left, bottom, right]}
    if layer.function == "max":
        return Tensor(graph.node("MaxPool", [graph.pixels(x)], operation.name, **window))
    return Tensor(graph.node("AveragePool", [graph.pixels(x)], operation.name, **window,
                             count_include_pad=int(layer.count_padding)))


def _slice(graph: _Graph, operation: Operation, x: Tensor) -> Tensor:
    layer = operation.layer
    assert isinstance(layer, Slice)
    bounds = [graph.constant(f"constant/{bound}_channel", np.array([bound])) for bound in (layer.begin, layer.end)]
    axis = graph.constant("constant/channel_axis", np.array([1]))
    return Tensor(graph.node("Slice", [graph.pixels(x), *bounds, axis], operation.name))


def _shuffle(graph: _Graph, operation: Operation, x: Tensor) -> Tensor:
    layer, name = operation.layer, operation.name
    assert isinstance(layer, Shuffle)
    height, width, channels = operation.output_shape
    grouped = graph.constant(f"{name}/grouped_shape",
                             np.array([0, layer.groups, channels // layer.groups, height, width]))  # 0: the batch's own
    flat = graph.constant(f"{name}/shape", np.array([0, channels, height, width]))
    groups = graph.node("Reshape", [graph.pixels(x), grouped], f"{name}/groups")
    mixed = graph.node("Transpose", [groups], f"{name}/mixed", perm=[0, 2, 1, 3, 4])
    return Tensor(graph.node("Reshape", [mixed, flat], name))


def _scale(graph: _Graph, operation: Operation, x: Tensor) -> Tensor:
    assert isinstance(operation.layer, Scale)
    factor = graph.constant(f"{operation.name}/factor", np.array(operation.layer.factor, np.float32))
    return Tensor(graph.node("Mul", [x.name, factor], operation.name), x.flat)


def _dense(graph: _Graph, operation: Operation, x: Tensor) -> Tensor:
    layer = operation.layer
    assert isinstance(layer, Dense)
    kernel = graph.arrays[f"{operation.name}/kernel"].reshape(*operation.input_shapes[0], layer.features)
    matrix = kernel.transpose(2, 0, 1, 3).reshape(-1, layer.features)  # rows in the order of flattened [C, H, W]
    inputs = [graph.rows(x), graph.constant(f"{operation.name}/kernel", matrix)]
    if layer.bias:
        inputs.append(graph.constant(f"{operation.name}/bias", graph.arrays[f"{operation.name}/bias"]))
    return Tensor(graph.node("Gemm", inputs, operation.name), flat=True)


def _add(graph: _Graph, operation: Operation, *inputs: Tensor) -> Tensor:
    kind = "Add" if len(inputs) == 2 else "Sum"
    return Tensor(graph.node(kind, [graph.pixels(x) for x in inputs], operation.name))


def _multiply(graph: _Graph, operation: Operation, value: Tensor, gate: Tensor) -> Tensor:
    return Tensor(graph.node("Mul", [graph.pixels(value), graph.pixels(gate)], operation.name))


def _concatenate(graph: _Graph, operation: Operation, *inputs: Tensor) -> Tensor:
    return Tensor(graph.node("Concat", [graph.pixels(x) for x in inputs], operation.name, axis=1))


EMITTERS: dict[type, Callable[..., Tensor]] = {
    Convolution: _convolution,
    BatchNorm: _batch_norm,
    Activation: _activation,
    Pool: _pool,
    GlobalPool: _global_pool,
    Slice: _slice,
    Shuffle: _shuffle,
    Scale: _scale,
    Dense: _dense,
    Add: _add,
    Multiply: _multiply,
    Concatenate: _concatenate,
}
