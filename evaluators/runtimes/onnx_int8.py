"""ONNX graphs of int8: between operators of float32 stand nodes that quantise and dequantise.

Runtimes make integer operators of those that stand so, where they have them.
"""

from typing import Any

import numpy as np

from evaluators.runtimes.onnx_graph import INPUT, OUTPUT, onnx_model
from evaluators.runtimes.quantisation import LARGEST_WEIGHTS, SIGMOID, Grid, Quantised, quantised
from evaluators.runtimes.runtime import Arrays
from search_spaces.program import Program

MOVING = "AveragePool", "Flatten", "MaxPool", "Reshape", "Slice", "Transpose", "Unsqueeze"  # values stay in their grid
FILTERS = {"Conv": 0, "Gemm": 1}  # the axis of the filters in the weights


def onnx_int8_model(program: Program, arrays: Arrays, images: np.ndarray | None = None) -> Any:
    """Returns the `onnx.ModelProto` of a program in int8; the ranges of its values are those on normalised images."""
    return in_int8(quantised(program, arrays, images, LARGEST_WEIGHTS["onnx"]))


def in_int8(network: Quantised) -> Any:
    """Returns the `onnx.ModelProto` of a quantised network; its logits stay in float32."""
    model = onnx_model(network.program, network.arrays)
    graph = _Graph(model, network)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    graph.store(INPUT, network.grids[INPUT])
    for node in nodes:
        read = node.input[0]
        node.input[:] = [graph.read(name) for name in node.input]
        if node.op_type in FILTERS:
            node.input[1:] = graph.weights(node, graph.held[read])
        model.graph.node.append(node)
        if node.output[0] == OUTPUT or node.name in network.inner:
            continue
        if node.op_type in MOVING:
            graph.store(node.output[0], graph.held[read])
        else:
            graph.store(node.output[0], SIGMOID if node.op_type == "Sigmoid" else network.grids[node.name])
    return model


class _Graph:
    """The graph of a model whose nodes are added again."""

    def __init__(self, model: Any, network: Quantised) -> None:
        self.model, self.network = model, network
        self.held: dict[str, Grid] = {}
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}

    def read(self, name: str) -> str:
        """Returns the name under which the values of a tensor are read in float32."""
        return f"{name}/dequantised" if name in self.held else name

    def store(self, name: str, grid: Grid) -> None:
        """Puts the values of a tensor on a grid."""
        self.held[name] = grid
        scale = self._constant(f"{name}_scale", np.array(grid.scale, np.float32))
        zero = self._constant(f"{name}_zero_point", np.array(grid.zero + 128, np.uint8))
        self._node("QuantizeLinear", [name, scale, zero], f"{name}/quantised")
        self._node("DequantizeLinear", [f"{name}/quantised", scale, zero], f"{name}/dequantised")

    def weights(self, node: Any, source: Grid) -> list[str]:
        """Returns the names under which a node that reads values of a grid reads its weights, now integers."""
        from onnx import numpy_helper

        kernel, *bias = node.input[1:]
        parts = [(kernel, self.network.scales[kernel], np.int8, FILTERS[node.op_type]),
                 *((name, self.network.bias_scales(node.name, source), np.int32, 0) for name in bias)]
        for name, scales, kind, axis in parts:
            values = numpy_helper.to_array(self.constants[name]).astype(np.float64)
            wide = scales.reshape([-1 if each == axis else 1 for each in range(values.ndim)])
            self.constants[name].CopyFrom(numpy_helper.from_array(np.rint(values / wide).astype(kind), name))
            stored = [self._constant(f"{name}_scale", scales),
                      self._constant(f"{name}_zero_point", np.zeros(len(scales), kind))]
            self._node("DequantizeLinear", [name, *stored], f"{name}/dequantised", axis=axis)
        return [f"{name}/dequantised" for name in node.input[1:]]

    def _constant(self, name: str, value: np.ndarray) -> str:
        from onnx import numpy_helper

        self.model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def _node(self, kind: str, inputs: list[str], name: str, **attributes: int) -> None:
        from onnx import helper

        self.model.graph.node.append(helper.make_node(kind, inputs, [name], name, **attributes))
