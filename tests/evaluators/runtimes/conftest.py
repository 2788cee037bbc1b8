"""Arrays like those of a trained network, and a plain numpy interpreter of programs to check runtimes against."""

from collections.abc import Callable

import numpy as np
import pytest

from evaluators.runtimes.onnx_graph import INPUT
from evaluators.runtimes.quantisation import Quantised
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

FUNCTIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "hswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "swish": lambda x: x * (1 + np.tanh(x / 2)) / 2,
    "sigmoid": lambda x: (1 + np.tanh(x / 2)) / 2,
    "hsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
}


ONE_ULP = float(np.finfo(np.float32).eps)


def _random_arrays(program: Program, seed: int) -> dict[str, np.ndarray]:
    """Returns random weights, and running statistics near those of random images.

    With statistics that have nothing to do with the values, these grow from layer to layer, and rounding with them.
    """
    generator = np.random.default_rng(seed)
    arrays = {}
    for operation in program.operations:
        for name, shape in operation.weights.items():
            values = generator.standard_normal(shape)
            if name.endswith("/kernel"):
                values *= (2 / np.prod(shape[:-1])) ** 0.5
            elif name.endswith("/scale"):
                values = 0.5 + np.abs(values)
            arrays[name] = values.astype(np.float32)

    def settle(operation: Operation, x: np.ndarray) -> None:
        deviation = np.maximum(x.std((0, 1, 2)), 0.3)
        mean = x.mean((0, 1, 2)) + 0.1 * deviation * generator.standard_normal(deviation.shape)
        for name in operation.statistics:
            values = mean if name.endswith("/mean") else deviation**2 * generator.uniform(0.8, 1.2, deviation.shape)
            arrays[name] = values.astype(np.float32)

    _numpy_forward(program, arrays, 3 * generator.standard_normal((8, *program.input_shape)), settle)
    return arrays


def _convolve(layer: Convolution, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    pads = [padding_of(size, extent, layer.stride, layer.padding)[1:]
            for size, extent in zip(x.shape[1:3], layer.kernel, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), *pads, (0, 0))), layer.kernel, axis=(1, 2))
    windows = windows[:, ::layer.stride, ::layer.stride]
    if layer.groups == 1:
        return np.tensordot(windows, kernel, ((3, 4, 5), (2, 0, 1)))
    windows = windows.reshape(*windows.shape[:3], layer.groups, -1, *layer.kernel)
    kernel = kernel.reshape(*kernel.shape[:3], layer.groups, -1)
    return np.einsum("bhwgcij,ijcgf->bhwgf", windows, kernel).reshape(*windows.shape[:3], -1)


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


def _numpy_forward(program: Program, arrays: dict[str, np.ndarray], images: np.ndarray,
                   before_norm: Callable[[Operation, np.ndarray], None] | None = None,
                   rounded: Callable[[np.ndarray], np.ndarray] = lambda values: values,
                   stored: Callable[[str, np.ndarray], np.ndarray] = lambda name, values: values) -> np.ndarray:
    """Returns the output `[B, H, W, C]` of a program, in float64.

    `before_norm` is called with what each batch norm reads; `rounded` of each array and value is taken for it, and
    `stored` of the name of each operation, or of INPUT, and its value.
    """
    values = [stored(INPUT, rounded(images.astype(np.float64)))]
    for operation in program.operations:
        x, *others = (values[value] for value in operation.inputs)
        if before_norm is not None and isinstance(operation.layer, BatchNorm):
            before_norm(operation, x)
        own = {name.rpartition("/")[2]: rounded(arrays[name].astype(np.float64))
               for name in (*operation.weights, *operation.statistics)}
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
        values.append(stored(operation.name, rounded(y)))
    return values[-1]


@pytest.fixture(scope="session")
def random_arrays():
    return _random_arrays


@pytest.fixture(scope="session")
def numpy_forward():
    return _numpy_forward


@pytest.fixture(scope="session")
def assert_computes():
    """Asserts that logits are those of a program, up to a few times what rounding makes of them.

    That is seen from two float64 runs in which every weight and value is off by up to one unit in the last place of
    float32: `assert_computes(program, arrays, images, found)`.
    """
    def check(program: Program, arrays: dict[str, np.ndarray], images: np.ndarray, found: np.ndarray) -> None:
        expected = _numpy_forward(program, arrays, images)
        generator = np.random.default_rng(0)
        off = max(np.abs(_numpy_forward(
            program, arrays, images, rounded=lambda x: x * (1 + ONE_ULP * generator.uniform(-1, 1, x.shape))
        ) - expected).max() for _ in range(2))
        np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=0,
                                   atol=16 * max(off, ONE_ULP * np.abs(expected).max()))
    return check


@pytest.fixture(scope="session")
def numpy_on_grids():
    """Returns the output `[B, H, W, C]` of a quantised network in float64, each stored value on its grid."""
    def run(network: Quantised, images: np.ndarray) -> np.ndarray:
        return _numpy_forward(network.program, network.arrays, images, stored=lambda name, values: (
            values if name in network.inner else network.grids[name].rounded(values)))
    return run


@pytest.fixture(scope="session")
def assert_on_grids(numpy_on_grids):
    """Asserts that a runtime computes what a quantised network is, up to three steps of the last grid.

    `assert_on_grids(network, images, found)`; runtimes round values that lie between two steps to either.
    """
    def check(network: Quantised, images: np.ndarray, found: np.ndarray) -> None:
        step = network.grids[network.program.operations[-1].name].scale
        np.testing.assert_allclose(found, numpy_on_grids(network, images), rtol=0, atol=3.001 * step)
    return check
