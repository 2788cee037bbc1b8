"""Weights stored in fewer bytes than those of float32 that they are computed in, for files that must be small.

Kernels are stored as float16, or as int8 with a scale for each filter and no zero point; the file says how to get
float32 of them. All else is as in files of float32, and no images are needed.

ONNX files cast and multiply: ONNX Runtime does so once, when it loads the file, where it would dequantise in every run.
In LiteRT files the weights are dequantised, which XNNPACK does once.
"""

from typing import Any

import numpy as np

from evaluators.runtimes import litert_int8, onnx_int8
from evaluators.runtimes.flatbuffer import Graph, Tensor
from evaluators.runtimes.target import FLOAT16
from search_spaces.errors import require

LARGEST = 127


def in_storage(kernel: np.ndarray, axis: int, precision: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns a kernel as it is stored, and by what that is multiplied, of as many axes; None for float16.

    Args:
        kernel: the weights.
        axis: that of the filters.
        precision: `float16` or `int8-weights`.

    Raises:
        InvalidInput: a weight that is too large for float16.
    """
    if precision == FLOAT16:
        largest, most = np.abs(kernel).max(), np.finfo(np.float16).max
        require(largest <= most, f"weights stored as float16 are at most {most:.0f}, but got {largest:g}")
        return kernel.astype(np.float16), None
    largest = np.abs(kernel).max(tuple(each for each in range(kernel.ndim) if each != axis), keepdims=True)
    scales = np.where(largest > 0, largest / LARGEST, 1).astype(np.float32)
    return np.rint(kernel / scales).astype(np.int8), scales


def store_onnx_weights(model: Any, precision: str) -> None:
    """Stores the weights of an `onnx.ModelProto` of float32 in another precision."""
    from onnx import TensorProto, helper, numpy_helper

    axes = {node.input[1]: onnx_int8.FILTERS[node.op_type] for node in model.graph.node
            if node.op_type in onnx_int8.FILTERS}
    steps = []
    for tensor in [each for each in model.graph.initializer if each.name in axes]:
        name = tensor.name
        kernel, scales = in_storage(numpy_helper.to_array(tensor), axes[name], precision)
        tensor.CopyFrom(numpy_helper.from_array(kernel, f"{name}/stored"))
        cast = name if scales is None else f"{name}/cast"
        steps.append(helper.make_node("Cast", [tensor.name], [cast], cast, to=TensorProto.FLOAT))
        if scales is not None:
            model.graph.initializer.append(numpy_helper.from_array(scales, f"{name}/scales"))
            steps.append(helper.make_node("Mul", [cast, f"{name}/scales"], [name], name))
    for place, node in enumerate(steps):
        model.graph.node.insert(place, node)


def stored_litert_weights(precision: str, graph: Graph, kind: str, inputs: list[Tensor | int], out: Tensor
                          ) -> list[Tensor | int]:
    """Returns the inputs of an operator of a LiteRT file with its weights stored in another precision."""
    if kind not in litert_int8.FILTERS:
        return inputs
    first, kernel, *others = inputs
    assert not isinstance(kernel, Tensor)
    axis, types, tensor = litert_int8.FILTERS[kind], graph.schema.TensorType, graph.tensors[kernel]
    values, scales = in_storage(graph.data(kernel), axis, precision)
    graph.set_data(kernel, values)
    if scales is None:
        tensor.type = types.FLOAT16
    else:
        graph.set_kind(kernel, types.INT8, scales.ravel(), np.zeros(scales.size), axis)
    float32 = graph.operator("DEQUANTIZE", [kernel], f"{tensor.name}/float32", values.shape[1:],
                             graph.schema.DequantizeOptionsT())
    graph.tensors[float32.index].shape, graph.tensors[float32.index].shapeSignature = tensor.shape, None  # of no batch
    return [first, float32, *others]
