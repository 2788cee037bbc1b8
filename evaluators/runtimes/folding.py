"""Batch norm folded into the layer before it: the first step of every export."""

import dataclasses

import numpy as np

from evaluators.runtimes.runtime import Arrays
from search_spaces.layers import BatchNorm, Convolution, Dense
from search_spaces.program import Operation, Program


def fold_batch_norm(program: Program, arrays: Arrays) -> tuple[Program, dict[str, np.ndarray]]:
    """Returns an equal program with the arrays it needs, in which convolutions and dense layers have swallowed norms.

    A batch norm is folded where what it normalises comes from such a layer and feeds nothing else; the layer then has
    a bias. Other batch norms stay. Arrays are folded in float64, those that JAX traces in float32, and returned in
    float32.
    """
    kept: list[Operation] = []
    folded: dict[str, np.ndarray] = {}
    renumbered = {0: 0}
    for index, operation in enumerate(program.operations):
        source = operation.inputs[0]
        before = kept[renumbered[source] - 1] if source else None
        if (isinstance(operation.layer, BatchNorm) and before is not None
                and isinstance(before.layer, Convolution | Dense) and program.readers[source] == (index,)):
            kept[renumbered[source] - 1] = _with_bias(before)
            folded |= _fold(before, operation, folded, arrays)
            renumbered[index + 1] = renumbered[source]
            continue
        kept.append(dataclasses.replace(operation, inputs=tuple(renumbered[value] for value in operation.inputs)))
        folded |= {name: arrays[name].astype(np.float32) for name in operation.arrays}
        renumbered[index + 1] = len(kept)
    return Program(program.input_shape, tuple(kept)), folded


def _with_bias(operation: Operation) -> Operation:
    assert isinstance(operation.layer, Convolution | Dense)
    return dataclasses.replace(operation, layer=dataclasses.replace(operation.layer, bias=True))


def _fold(layer: Operation, norm: Operation, folded: Arrays, arrays: Arrays) -> dict[str, np.ndarray]:
    assert isinstance(norm.layer, BatchNorm)
    scale, shift, mean, var = (_wide(arrays[f"{norm.name}/{key}"]) for key in ("scale", "bias", "mean", "var"))
    factor = scale / (var + norm.layer.epsilon)**0.5
    kernel = _wide(folded[f"{layer.name}/kernel"])
    bias = _wide(folded.get(f"{layer.name}/bias", np.zeros(len(factor), np.float32)))
    return {f"{layer.name}/kernel": (kernel * factor).astype(np.float32),
            f"{layer.name}/bias": ((bias - mean) * factor + shift).astype(np.float32)}


def _wide(array: np.ndarray) -> np.ndarray:
    """Returns an array in float64, unless it is JAX's."""
    return array.astype(np.float64) if isinstance(array, np.ndarray) else array
