"""Arrays unlike those of an untrained network, and a plain numpy interpreter of programs to check runtimes against."""

import numpy as np
import pytest

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
from search_spaces.program import Program

FUNCTIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "hswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "swish": lambda x: x * (1 + np.tanh(x / 2)) / 2,
    "sigmoid": lambda x: (1 + np.tanh(x / 2)) / 2,
    "hsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
}


def _random_arrays(program: Program, seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    arrays = {}
    for name, shape in program.arrays.items():
        values = generator.standard_normal(shape)
        if name.endswith("/kernel"):
            values *= (2 / np.prod(shape[:-1])) ** 0.5
        elif name.endswith(("/var", "/scale")):
            values = 0.5 + np.abs(values)
        arrays[name] = values.astype(np.float32)
    return arrays


def _convolve(layer: Convolution, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    pads = [padding_of(size, extent, layer.stride, layer.padding)[1:]
            for size, extent in zip(x.shape[1:3], layer.kernel, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), *pads, (0, 0))), layer.kernel, axis=(1, 2))
    windows = windows[:, ::layer.stride, ::layer.stride]
    groups = zip(np.split(windows, layer.groups, 3), np.split(kernel, layer.groups, 3), strict=True)
    return np.concatenate([np.einsum("bhwcij,ijcf->bhwf", *group, optimize=True) for group in groups], -1)


def _pool(layer: Pool, x: np.ndarray) -> np.ndarray:
    """Visits every window; one that hangs over the edge, or lies on the padding, has fewer pixels."""
    _, height, width, _ = x.shape
    (top, bottom), (left, right) = layer.pads(x.shape[1:])
    rows = range(-top, height + bottom - layer.kernel + 1, layer.stride)
    columns = range(-left, width + right - layer.kernel + 1, layer.stride)
    y = np.empty((len(x), len(rows), len(columns), x.shape[-1]))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            window = x[:, max(row, 0):row + layer.kernel, max(column, 0):column + layer.kernel]
            if layer.function == "max":
                y[:, i, j] = window.max((1, 2))
            else:
                count = layer.kernel**2 if layer.count_padding else window.shape[1] * window.shape[2]
                y[:, i, j] = window.sum((1, 2)) / count
    return y


def _numpy_forward(program: Program, arrays: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """Returns the output `[B, H, W, C]` of a program, in float64."""
    values = [images.astype(np.float64)]
    for operation in program.operations:
        own = {name.rpartition("/")[2]: arrays[name].astype(np.float64)
               for name in (*operation.weights, *operation.statistics)}
        x, *others = (values[value] for value in operation.inputs)
        match operation.layer:
            case Convolution() as layer:
                y = _convolve(layer, x, own["kernel"]) + own.get("bias", 0)
            case Dense():
                y = (x.reshape(len(x), -1) @ own["kernel"] + own.get("bias", 0))[:, None, None]
            case BatchNorm(epsilon):
                y = (x - own["mean"]) / np.sqrt(own["var"] + epsilon) * own["scale"] + own["bias"]
            case Activation(function):
                y = FUNCTIONS[function](x)
            case Pool() as layer:
                y = _pool(layer, x)
            case Slice(begin, end):
                y = x[..., begin:end]
            case Shuffle(groups):
                y = np.concatenate([x[..., first::x.shape[-1] // groups] for first in range(x.shape[-1] // groups)], -1)
            case Scale(factor):
                y = factor * x
            case GlobalPool():
                y = x.mean((1, 2), keepdims=True)
            case Add():
                y = sum(others, start=x)
            case Multiply():
                y = x * others[0]
            case Concatenate():
                y = np.concatenate([x, *others], -1)
            case layer:
                raise NotImplementedError(layer)
        values.append(y)
    return values[-1]


@pytest.fixture(scope="session")
def random_arrays():
    return _random_arrays


@pytest.fixture(scope="session")
def numpy_forward():
    return _numpy_forward
