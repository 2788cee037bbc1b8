"""LiteRT files (TensorFlow Lite flatbuffers), written from our own layers, and LiteRT with XNNPACK on the CPU.

The forms of the operations are those that XNNPACK takes, which a test holds them to: one that it leaves to LiteRT's own
kernels costs a multiple. Padding that the format does not know is an operation of its own, which XNNPACK fuses.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from evaluators.machine.files import write_whole
from evaluators.runtimes.enclosed import enclosed
from evaluators.runtimes.flatbuffer import NO_PADS, VERSIONS_OF_INTEGERS, VERSIONS_OF_STORED, Graph, Tensor
from evaluators.runtimes.folding import fold_batch_norm
from evaluators.runtimes.litert_int8 import on_grids, stored
from evaluators.runtimes.onnx_graph import INPUT, NORMALISED, OUTPUT
from evaluators.runtimes.quantisation import FUSING, Quantised, quantised
from evaluators.runtimes.runtime import Argument, Arrays, Place, Session, as_taken, moments
from evaluators.runtimes.stored_weights import stored_litert_weights
from evaluators.runtimes.target import FLOAT32, INT8, STORED, Options, Target
from evaluators.runtimes.tflite_metadata import NAME, tflite_metadata
from search_spaces.architecture import Architecture
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

SIGNATURE = "serving_default"  # as TensorFlow names it
FILE_IDENTIFIER, SCHEMA_VERSION = b"TFL3", 3
FUSED = {"relu": "RELU", "relu6": "RELU6"}  # activations that other operators apply to what they compute
ALL_BUT_CHANNELS = 0b0111  # the axes that a slice keeps whole, as a mask


@dataclass(frozen=True)
class LiteRt:
    """LiteRT's interpreter with XNNPACK."""

    place: ClassVar[Place] = Place.APART
    argument: ClassVar[Argument] = Argument.NONE
    options: tuple[str, ...] = ("threads", "batch", "precision", "cores")
    format: str = "litert"
    suffix: str = ".tflite"
    input_layout: str = "float32 [batch, height, width, channels]"
    module: str = "ai_edge_litert"
    precision: str = "float32"

    def bound(self, target: Target) -> Self:
        """Returns the runtime that writes files of the target's precision."""
        return dataclasses.replace(self, precision=target.options.precision)

    def versions(self) -> dict[str, str]:
        """Returns the version of LiteRT."""
        from importlib.metadata import version

        return {"ai-edge-litert": version("ai-edge-litert")}

    def write(self, architecture: Architecture, arrays: Arrays, path: Path, metadata: Mapping[str, str],
              images: np.ndarray | None = None, *, inside: bool = False) -> None:
        """Writes the network as a flatbuffer `image [batch, H, W, C]` -> `logits [batch, classes]`."""
        network = quantised(architecture.program, arrays, images) if self.precision == INT8 else None
        model = litert_model(architecture.program, arrays, metadata, inside, network, self.precision)
        write_whole(path, enclosed(model, metadata))

    def load(self, path: Path, options: Options) -> Session:
        """Returns the file in an interpreter of its own."""
        from ai_edge_litert.interpreter import Interpreter

        return LiteRtSession(Interpreter(str(path), num_threads=options.threads))


@dataclass(frozen=True)
class LiteRtSession:
    """A LiteRT interpreter."""

    interpreter: Any

    def run(self, images: np.ndarray) -> np.ndarray:
        """Returns logits `[B, classes]` of images `[B, H, W, C]`, normalised or bytes as the file takes them."""
        self.prepared(images)()
        return self.interpreter.get_tensor(self.interpreter.get_output_details()[0]["index"])

    def prepared(self, images: np.ndarray) -> Callable[[], None]:
        """Returns a function that runs these images once, from and to memory of LiteRT."""
        taken = self.interpreter.get_input_details()[0]
        self.interpreter.resize_tensor_input(taken["index"], images.shape)
        self.interpreter.allocate_tensors()
        self.interpreter.set_tensor(taken["index"], as_taken(images, taken["dtype"]))
        return self.interpreter.invoke


def litert_model(program: Program, arrays: Arrays, metadata: Mapping[str, str] | None = None, inside: bool = False,
                 network: Quantised | None = None, precision: str = FLOAT32) -> bytes:
    """Returns the flatbuffer of a program; tensors have the names of the operations that leave them.

    Args:
        program: the network.
        arrays: its weights and running statistics by name.
        metadata: the texts in the file.
        inside: whether it normalises images itself, as `Runtime.write` has it.
        network: the quantised form of the network, for a file of int8.
        precision: that of the file; weights are stored so where it is one of `STORED`.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    metadata = metadata or {}
    program, arrays = fold_batch_norm(program, arrays) if network is None else (network.program, network.arrays)
    graph = Graph(schema, arrays, _fused_activations(program))
    if network is not None:
        graph.placed, graph.versions = functools.partial(on_grids, network), VERSIONS_OF_INTEGERS
    elif precision in STORED:
        graph.placed, graph.versions = functools.partial(stored_litert_weights, precision), VERSIONS_OF_STORED
    image = graph.tensor(INPUT, program.input_shape)
    values = _normalised(graph, image, *moments(metadata)) if inside else image
    graph.values.append(values if network is None else stored(graph, values, network.grids[INPUT]))
    for operation in program.operations:
        if type(operation.layer) not in EMITTERS:
            raise NotImplementedError(f"no LiteRT form of the layer {operation.layer}")
        inputs = [graph.values[value] for value in operation.inputs]
        graph.values.append(EMITTERS[type(operation.layer)](graph, operation, *inputs))
    logits = graph.reshaped(graph.values[program.output], (math.prod(program.output_shape),))
    if network is not None:
        logits = graph.operator("DEQUANTIZE", [logits], OUTPUT, logits.shape, schema.DequantizeOptionsT())
    graph.tensors[logits.index].name = OUTPUT
    texts = {name: text.encode() for name, text in metadata.items()}
    if for_phones := tflite_metadata(INPUT, OUTPUT, program.input_shape[2], metadata, inside):
        texts[NAME] = for_phones
    taken, left = (schema.TensorMapT(name, tensor.index) for name, tensor in ((INPUT, image), (OUTPUT, logits)))
    model = schema.ModelT(
        version=SCHEMA_VERSION, description="paretonas", operatorCodes=graph.operator_codes(), buffers=graph.buffers,
        subgraphs=[schema.SubGraphT(graph.tensors, [image.index], [logits.index], graph.operators, "network")],
        metadata=[schema.MetadataT(name, graph.buffer(np.frombuffer(text, np.uint8))) for name, text in texts.items()],
        signatureDefs=[schema.SignatureDefT([taken], [left], SIGNATURE)])
    builder = flatbuffers.Builder(2**20 + sum(buffer.data.nbytes for buffer in graph.buffers))
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def _normalised(graph: Graph, image: Tensor, mean: np.ndarray, std: np.ndarray) -> Tensor:
    """Returns the normalised form of the input, which becomes one of bytes that stand for 0 to 1."""
    schema, name = graph.schema, NORMALISED
    graph.tensors[image.index].type = schema.TensorType.UINT8
    graph.tensors[image.index].quantization = schema.QuantizationParametersT(
        scale=np.array([1 / 255], np.float32), zeroPoint=np.array([0], np.int64))
    factor, shift = (graph.constant(f"{INPUT}/{key}", value.astype(np.float32))
                     for key, value in (("factor", 1 / std), ("shift", -mean / std)))
    unit = graph.operator("DEQUANTIZE", [image], f"{INPUT}/float32", image.shape, schema.DequantizeOptionsT())
    scaled = graph.operator("MUL", [unit, factor], f"{INPUT}/scaled", image.shape, schema.MulOptionsT())
    return graph.operator("ADD", [scaled, shift], name, image.shape, schema.AddOptionsT())


def _fused_activations(program: Program) -> dict[str, str]:
    """Returns the activations that the operation before them applies: by its name and by theirs."""
    fused = {}
    for index, operation in enumerate(program.operations):
        if isinstance(operation.layer, Activation) and operation.layer.function in FUSED:
            source = operation.inputs[0]
            before = program.operations[source - 1] if source else None
            if before is not None and isinstance(before.layer, FUSING) and program.readers[source] == (index,):
                fused[before.name] = fused[operation.name] = FUSED[operation.layer.function]
    return fused


def _convolution(graph: Graph, operation: Operation, x: Tensor) -> Tensor:
    layer, name, schema = operation.layer, operation.name, graph.schema
    assert isinstance(layer, Convolution)
    shape = operation.input_shapes[0]
    top_bottom, left_right = (padding_of(shape[axis], layer.kernel[axis], layer.stride, layer.padding)[1:]
                              for axis in (0, 1))
    x, padding = graph.padded(graph.pixels(x), (top_bottom, left_right), layer.kernel, layer.stride, name)
    kernel = graph.arrays[f"{name}/kernel"]  # [H, W, channels in / groups, filters]
    bias = graph.arrays[f"{name}/bias"] if layer.bias else np.zeros(layer.filters, np.float32)
    how: dict[str, Any] = {"padding": padding, "strideH": layer.stride, "strideW": layer.stride,
                           "fusedActivationFunction": graph.fused_activation(name)}
    depthwise = layer.groups == shape[2] > 1
    kind, options = ("DEPTHWISE_CONV_2D", schema.DepthwiseConv2DOptionsT(
        **how, depthMultiplier=layer.filters // shape[2])) if depthwise else ("CONV_2D", schema.Conv2DOptionsT(**how))
    weights = graph.constant(f"{name}/kernel", kernel.transpose(2, 0, 1, 3) if depthwise
                             else kernel.transpose(3, 0, 1, 2))
    return graph.operator(kind, [x, weights, graph.constant(f"{name}/bias", bias)], name, operation.output_shape,
                          options)


def _batch_norm(graph: Graph, operation: Operation, x: Tensor) -> Tensor:
    layer, name = operation.layer, operation.name
    assert isinstance(layer, BatchNorm)
    scale, shift, mean, var = (graph.arrays[f"{name}/{key}"].astype(np.float64)
                               for key in ("scale", "bias", "mean", "var"))
    factor = scale / np.sqrt(var + layer.epsilon)
    constants = [graph.constant(f"{name}/{key}", value.astype(np.float32))
                 for key, value in (("factor", factor), ("shift", shift - mean * factor))]
    scaled = graph.operator("MUL", [x, constants[0]], f"{name}/scaled", x.shape, graph.schema.MulOptionsT())
    return graph.operator("ADD", [scaled, constants[1]], name, x.shape, graph.schema.AddOptionsT())


def _activation(graph: Graph, operation: Operation, x: Tensor) -> Tensor:
    name, schema = operation.name, graph.schema
    assert isinstance(operation.layer, Activation)
    if name in graph.fused:
        return x
    match operation.layer.function:
        case "relu" | "relu6" as function:
            return graph.operator(FUSED[function], [x], name, x.shape)
        case "hswish":
            return graph.operator("HARD_SWISH", [x], name, x.shape, schema.HardSwishOptionsT())
        case "sigmoid":
            return graph.operator("LOGISTIC", [x], name, x.shape)
        case "swish":
            sigmoid = graph.operator("LOGISTIC", [x], f"{name}/sigmoid", x.shape)
            return graph.operator("MUL", [x, sigmoid], name, x.shape, schema.MulOptionsT())
        case "hsigmoid":
            three, sixth = (graph.constant(f"constant/{key}", np.array(value, np.float32))
                            for key, value in (("three", 3), ("sixth", 1 / 6)))
            clipped = graph.operator("ADD", [x, three], f"{name}/clipped", x.shape,
                                     schema.AddOptionsT(schema.ActivationFunctionType.RELU6))
            return graph.operator("MUL", [clipped, sixth], name, x.shape, schema.MulOptionsT())
    raise NotImplementedError(f"no LiteRT form of the activation {operation.layer.function}")


def _global_pool(graph: Graph, operation: Operation, x: Tensor) -> Tensor:
    axes = graph.constant("constant/pixel_axes", np.array([1, 2], np.int32))
    return graph.operator("MEAN", [graph.pixels(x), axes], operation.name, operation.output_shape,
                          graph.schema.ReducerOptionsT(keepDims=True))


def _pool(graph: Graph, operation: Operation, x: Tensor) -> Tensor:
    layer, name, schema = operation.layer, operation.name, graph.schema
    assert isinstance(layer, Pool)
    shape, pads = operation.output_shape, layer.pads(operation.input_shapes[0])
    largest = layer.function == "max"
    x, padding = graph.padded(graph.pixels(x), pads, (layer.kernel, layer.kernel), layer.stride, name,
                              float(np.finfo(np.float32).min) if largest else 0.0, same=not layer.count_padding)
    averages_padding = not (largest or layer.count_padding) and padding == schema.Padding.VALID and pads != NO_PADS
    options = schema.Pool2DOptionsT(padding, layer.stride, layer.stride, layer.kernel, layer.kernel)
    pooled = graph.operator("MAX_POOL_2D" if largest else "AVERAGE_POOL_2D", [x],
                            f"{name}/padding_included" if averages_padding else name, shape, options)
    if not averages_padding:
        return pooled
    rows, columns = (_pixels_within(size, out, layer.kernel, layer.stride, before) for size, out, (before, _)
                     in zip(operation.input_shapes[0], shape, pads, strict=False))
    share = layer.kernel**2 / np.outer(rows, columns)
    factor = graph.constant(f"{name}/factor", share[None, :, :, None].astype(np.float32))
    return graph.operator("MUL", [pooled, factor], name, shape, schema.MulOptionsT())


def _pixels_within(size: int, out: int, kernel: int, stride: int, before: int) -> np.ndarray:
    """Returns the number of pixels of each window, along one axis, that are not padding."""
    begin = np.arange(out) * stride - before
    return np.minimum(begin + kernel, size) - np.maximum(begin, 0)


def _slice(graph: Graph, operation: Operation, x: Tensor) -> Tensor:
    layer = operation.layer
    assert isinstance(layer, Slice)
    begin, end = (graph.constant(f"constant/channel_{channel}", np.array([0, 0, 0, channel], np.int32))
                  for channel in (layer.begin, layer.end))
    steps = graph.constant("constant/steps", np.ones(4, np.int32))
    options = graph.schema.StridedSliceOptionsT(ALL_BUT_CHANNELS, ALL_BUT_CHANNELS)
    return graph.operator("STRIDED_SLICE", [graph.pixels(x), begin, end, steps], operation.name,
                          operation.output_shape, options)


def _shuffle(graph: Graph, operation: Operation, x: Tensor) -> Tensor:
    layer, name = operation.layer, operation.name
    assert isinstance(layer, Shuffle)
    height, width, channels = operation.output_shape
    each = channels // layer.groups
    order = graph.constant("constant/shuffled_axes", np.array([0, 1, 2, 4, 3], np.int32))
    groups = graph.reshaped(graph.pixels(x), (height, width, layer.groups, each))
    mixed = graph.operator("TRANSPOSE", [groups, order], f"{name}/mixed", (height, width, each, layer.groups),
                           graph.schema.TransposeOptionsT())
    return graph.reshaped(mixed, operation.output_shape)


def _scale(graph: Graph, operation: Operation, x: Tensor) -> Tensor:
    assert isinstance(operation.layer, Scale)
    factor = graph.constant(f"{operation.name}/factor", np.array(operation.layer.factor, np.float32))
    return graph.operator("MUL", [x, factor], operation.name, x.shape, graph.schema.MulOptionsT())


def _dense(graph: Graph, operation: Operation, x: Tensor) -> Tensor:
    layer, name = operation.layer, operation.name
    assert isinstance(layer, Dense)
    bias = graph.arrays[f"{name}/bias"] if layer.bias else np.zeros(layer.features, np.float32)
    inputs: list[Tensor | int] = [graph.reshaped(x, (math.prod(x.shape),)),
                                  graph.constant(f"{name}/kernel", graph.arrays[f"{name}/kernel"].T),
                                  graph.constant(f"{name}/bias", bias)]
    return graph.operator("FULLY_CONNECTED", inputs, name, (layer.features,),
                          graph.schema.FullyConnectedOptionsT(graph.fused_activation(name)))


def _add(graph: Graph, operation: Operation, *inputs: Tensor) -> Tensor:
    total, *others = map(graph.pixels, inputs)
    for index, other in enumerate(others, start=1):
        last = index == len(others)
        name = operation.name if last else f"{operation.name}/{index}"
        activation = graph.fused_activation(name) if last else graph.schema.ActivationFunctionType.NONE
        total = graph.operator("ADD", [total, other], name, total.shape, graph.schema.AddOptionsT(activation))
    return total


def _multiply(graph: Graph, operation: Operation, value: Tensor, gate: Tensor) -> Tensor:
    return graph.operator("MUL", [graph.pixels(value), graph.pixels(gate)], operation.name, operation.output_shape,
                          graph.schema.MulOptionsT())


def _concatenate(graph: Graph, operation: Operation, *inputs: Tensor) -> Tensor:
    return graph.operator("CONCATENATION", list(map(graph.pixels, inputs)), operation.name, operation.output_shape,
                          graph.schema.ConcatenationOptionsT(axis=3))


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
