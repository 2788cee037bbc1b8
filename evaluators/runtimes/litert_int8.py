"""LiteRT files of integers: as an operator is appended, its values get the grids that runtimes demand for its kind.

These are in https://ai.google.dev/edge/litert/models/quantization_spec. Images and logits stay in float32.
"""

import math

import numpy as np

from evaluators.runtimes.flatbuffer import Graph, Tensor
from evaluators.runtimes.quantisation import HIGHEST, SIGMOID, Grid, Quantised

FILTERS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}  # the axis of the filters in the weights
MOVING = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD", "PADV2", "RESHAPE", "STRIDED_SLICE", "TRANSPOSE")
CONVERTING = "QUANTIZE", "DEQUANTIZE"  # from and to float32


def stored(graph: Graph, tensor: Tensor, grid: Grid) -> Tensor:
    """Returns the values of a tensor, of float32 or on another grid, on a grid."""
    out = graph.operator("QUANTIZE", [tensor], f"{graph.tensors[tensor.index].name}/{grid.scale:.9g}_{grid.zero}",
                         tensor.shape, graph.schema.QuantizeOptionsT())
    _place(graph, out.index, grid)
    return out


def on_grids(network: Quantised, graph: Graph, kind: str, inputs: list[Tensor | int], out: Tensor
             ) -> list[Tensor | int]:
    """Returns the inputs of an operator with its constants in integers, and places its output on its grid.

    Args:
        network: has the grids.
        graph: what the operator is appended to.
        kind: its name in the format.
        inputs: tensors, or numbers of constants; of the first depends whether it is one of integers.
        out: its output.
    """
    first, name = inputs[0], graph.tensors[out.index].name
    if kind in CONVERTING or not isinstance(first, Tensor) or (source := _grid(graph, first.index)) is None:
        return inputs
    if kind in FILTERS:
        _weigh(network, graph, name, inputs, source, FILTERS[kind])
    elif kind == "PADV2":
        _place_constant(graph, inputs[2], source)
    elif kind in ("ADD", "MUL"):
        for constant in inputs[1:]:
            if not isinstance(constant, Tensor) and _grid(graph, constant) is None:
                largest = float(np.abs(graph.data(constant)).max())
                _place_constant(graph, constant, Grid((largest or 1.0) / HIGHEST))
    if kind in MOVING:
        grid = source
    elif kind == "LOGISTIC":
        grid = SIGMOID
    else:
        grid = network.grids[name] if name in network.grids else _of_sum(graph, inputs)
    _place(graph, out.index, grid)
    if kind == "CONCATENATION":
        return [x if not isinstance(x, Tensor) or _grid(graph, x.index) == grid else stored(graph, x, grid)
                for x in inputs]
    return inputs


def _grid(graph: Graph, index: int) -> Grid | None:
    """Returns the grid that a tensor is on."""
    return graph.grids.get(index)


def _place(graph: Graph, index: int, grid: Grid) -> None:
    graph.set_kind(index, graph.schema.TensorType.INT8, grid.scale, grid.zero)
    graph.grids[index] = grid


def _place_constant(graph: Graph, index: "Tensor | int", grid: Grid) -> None:
    assert not isinstance(index, Tensor)
    graph.set_data(index, grid.integers(graph.data(index)))
    _place(graph, index, grid)


def _weigh(network: Quantised, graph: Graph, name: str, inputs: list[Tensor | int], source: Grid, axis: int) -> None:
    """Makes integers of the weights of an operation."""
    _, kernel, bias = inputs
    assert not isinstance(kernel, Tensor) and not isinstance(bias, Tensor)
    types = graph.schema.TensorType
    for index, scales, (kind, stored_as), along in (
            (kernel, network.scales[f"{name}/kernel"], (types.INT8, np.int8), axis),
            (bias, network.bias_scales(name, source), (types.INT32, np.int32), 0)):
        values = graph.data(index).astype(np.float64)
        wide = scales.reshape([-1 if each == along else 1 for each in range(values.ndim)])
        graph.set_data(index, np.rint(values / wide).astype(stored_as))
        graph.set_kind(index, kind, scales, np.zeros(len(scales)), along)


def _of_sum(graph: Graph, inputs: list[Tensor | int]) -> Grid:
    """Returns the grid of a sum that is a step of an operation, such as the first two of three."""
    grids = [_grid(graph, x.index if isinstance(x, Tensor) else x) for x in inputs]
    lows, highs = zip(*(grid.range for grid in grids if grid is not None), strict=True)
    return Grid.spanning(math.fsum(lows), math.fsum(highs))
