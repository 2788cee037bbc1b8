"""The arrays of a network, by name: trainable weights and the running statistics of batch norm.

Names are those of the program's operations, e.g. `1.mb/expand/convolution/kernel`, in every format that we write.
"""

import math

import numpy as np

from search_spaces.layers import BatchNorm, Convolution, Dense
from search_spaces.program import Operation, Program

Weights = dict[str, np.ndarray]


def initial_weights(program: Program, seed: int) -> tuple[Weights, Weights]:
    """Returns `(trainable weights, running statistics)` of an untrained network, float32.

    Kernels are drawn from a normal distribution of variance 2 / fan-in for convolutions (He et al. 2015, equation 10)
    and 1 / fan-in for dense layers. The draw of a kernel depends on the seed and its place only.
    """
    weights: Weights = {}
    statistics: Weights = {}
    for index, operation in enumerate(program.operations):
        generator = np.random.default_rng((seed, index))
        for (name, shape), key in zip(
                operation.weights.items(), operation.layer.weights(*operation.input_shapes), strict=True):
            weights[name] = _initial(operation, key, shape, generator)
        for name, shape in operation.statistics.items():
            statistics[name] = np.full(shape, float(name.endswith("/var")), np.float32)
    return weights, statistics


def initial_arrays(program: Program, seed: int) -> Weights:
    """Returns all arrays of an untrained network by name: both parts of `initial_weights`."""
    weights, statistics = initial_weights(program, seed)
    return weights | statistics


def _initial(operation: Operation, key: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    match operation.layer:
        case BatchNorm():
            return np.full(shape, float(key == "scale"), np.float32)
        case Convolution() | Dense() if key == "kernel":
            gain = 2 if isinstance(operation.layer, Convolution) else 1
            deviation = math.sqrt(gain / math.prod(shape[:-1]))
            return generator.standard_normal(shape, np.float32) * np.float32(deviation)
        case _:
            return np.zeros(shape, np.float32)
