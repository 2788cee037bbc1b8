"""Quantisation after training, found once on a program for the files of all runtimes.

Values get 8 bits with a zero point (Jacob et al. 2018, "Quantization and Training of Neural Networks", equation 1),
weights a scale for each filter and no zero point. Ranges are those that values take on calibration images, clipped
where that lowers the squared error. The mean error that rounded weights make is taken out of the bias (Nagel et al.
2019, "Data-Free Quantization", equation 17).

Values of 16 bits are not offered: LiteRT alone has them, and its hard swish does not.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluators.runtimes.folding import fold_batch_norm
from evaluators.runtimes.onnx_graph import INPUT, OUTPUT, channels_first, onnx_model
from evaluators.runtimes.runtime import Arrays
from search_spaces.layers import Activation, Add, BatchNorm, Convolution, Dense, Pool, Shuffle, Slice
from search_spaces.program import Operation, Program

INT8_PROCESSORS = {  # on which files of a format compute the same
    "onnx": "x86 with and without VNNI, ARM: weights of 7 bits, so that no sum of two products leaves 16 bits",
    "litert": "x86 with and without VNNI, ARM: products are summed in 32 bits"}
LARGEST_WEIGHTS = {"onnx": 64, "litert": 127}  # 7 bits, as x86 without VNNI adds two products in 16, and 8
NOISE_IMAGES = 32  # where there are no others
FUSING = Convolution | Dense | Add  # what applies a relu to what it computes
FUSED = "relu", "relu6"
MOVING = Slice | Shuffle | Pool  # what leaves the values that it reads, so that its grid is theirs
BATCH, SAMPLE = 8, 2**12  # images that are run at a time, and values of each of their tensors that are looked at
CLIPS = np.linspace(1, 0.5, 26)  # shares of the range that are tried
LOWEST, HIGHEST = -128, 127  # integers
LARGEST_BIAS = 2**30  # in steps: half of what 32 bits hold


@dataclass(frozen=True)
class Grid:
    """The numbers that integers of 8 bits stand for: `scale * (integer - zero)`."""

    scale: float
    zero: int = 0

    @classmethod
    def spanning(cls, low: float, high: float) -> "Grid":
        """Returns the grid from `low` to `high` and 0."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / 255 or 1.0 / 255
        return cls(scale, round(-low / scale) - 128)

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest number."""
        return self.scale * (LOWEST - self.zero), self.scale * (HIGHEST - self.zero)

    def integers(self, values: np.ndarray) -> np.ndarray:
        """Returns the integers that stand for the values, or for the nearest numbers of the grid."""
        return np.clip(np.rint(values / self.scale) + self.zero, LOWEST, HIGHEST).astype(np.int8)

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """Returns the nearest numbers of the grid."""
        return (self.integers(values).astype(np.float64) - self.zero) * self.scale


SIGMOID = Grid(2**-8, LOWEST)  # as runtimes have it


@dataclass(frozen=True)
class Quantised:
    """A program without batch norms, the weights and values of which integers stand for.

    Attributes:
        program: the program.
        arrays: its weights by name, rounded; biases are those of float32.
        scales: of kernels by name, `[filters]`, in whose multiples they are.
        grids: of the input, under `INPUT`, and of what operations leave, by their names. What an activation changes
            before it is stored has the grid of that activation.
        inner: the names of the operations of which that is so.
    """

    program: Program
    arrays: Arrays
    scales: Mapping[str, np.ndarray]
    grids: Mapping[str, Grid]
    inner: frozenset[str]

    def kernel(self, name: str) -> np.ndarray:
        """Returns the integers of a kernel, int8, in its own shape."""
        return np.rint(self.arrays[name] / self.scales[name]).astype(np.int8)

    def bias_scales(self, operation: str, source: Grid) -> np.ndarray:
        """Returns the scales `[filters]` of the bias of an operation that reads values of a grid."""
        return (source.scale * self.scales[f"{operation}/kernel"]).astype(np.float32)


@dataclass(frozen=True)
class _Seen:
    """The values of a tensor on the calibration images: their range, some of them, and the means of channels `[C]`."""

    low: float
    high: float
    sample: np.ndarray
    means: np.ndarray


def quantised(program: Program, arrays: Arrays, images: np.ndarray | None = None, largest_weight: int = 127
              ) -> Quantised:
    """Returns the quantised form of a network.

    Args:
        program: the network.
        arrays: its weights and running statistics by name.
        images: normalised images `[B, H, W, C]`, by which the ranges of values are chosen; noise by default.
        largest_weight: the largest integer of weights.
    """
    program, folded = without_norms(*fold_batch_norm(program, arrays))
    if images is None:
        images = np.random.default_rng(0).standard_normal((NOISE_IMAGES, *program.input_shape), np.float32)
    seen = _seen(program, folded, images)
    inner = _inner(program)
    grids, names = _grids(program, seen, inner), _names(program)
    rounded, scales = dict(folded), {}
    for operation in program.operations:
        name = operation.name
        if isinstance(operation.layer, Convolution | Dense):
            source = names[operation.inputs[0]]
            kernel, bias = folded[f"{name}/kernel"], folded.get(f"{name}/bias")
            least = 0 if bias is None else np.abs(bias) / (grids[source].scale * LARGEST_BIAS)
            scale = np.maximum(np.abs(kernel).max(tuple(range(kernel.ndim - 1))) / largest_weight, least)
            scales[f"{name}/kernel"] = scale = np.where(scale > 0, scale, 1).astype(np.float32)
            rounded[f"{name}/kernel"] = (np.rint(kernel / scale) * scale).astype(np.float32)
            if bias is not None:
                error = mean_change(operation, rounded[f"{name}/kernel"] - kernel, seen[source].means)
                rounded[f"{name}/bias"] = (bias - error).astype(np.float32)
    return Quantised(program, rounded, scales, grids, inner)


def without_norms(program: Program, arrays: Arrays) -> tuple[Program, dict[str, np.ndarray]]:
    """Returns an equal program in which batch norms are depthwise convolutions, whose weights have scales of their own.

    To be called with folded norms: what is left has nothing to be folded into.
    """
    operations, found = [], dict(arrays)
    for operation in program.operations:
        layer, name = operation.layer, operation.name
        if isinstance(layer, BatchNorm):
            scale, shift, mean, var = (found.pop(f"{name}/{key}") for key in ("scale", "bias", "mean", "var"))
            factor = scale / (var + layer.epsilon)**0.5
            channels = len(factor)
            found |= {f"{name}/kernel": factor.reshape(1, 1, 1, -1), f"{name}/bias": shift - mean * factor}
            operation = dataclasses.replace(operation, layer=Convolution(channels, groups=channels, bias=True))
        operations.append(operation)
    return Program(program.input_shape, tuple(operations)), found


def mean_change(operation: Operation, change: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Returns the change of each filter's mean `[filters]` that a change of the kernel makes, padding aside.

    Args:
        operation: a convolution or a dense layer.
        change: of its kernel, in the kernel's shape.
        means: of the channels that it reads `[C]`.
    """
    if isinstance(operation.layer, Dense):
        return np.tile(means, len(change) // len(means)) @ change
    layer = operation.layer
    assert isinstance(layer, Convolution)
    taps = change.sum((0, 1)).reshape(-1, layer.groups, layer.filters // layer.groups)  # [C / groups, groups, filters]
    return np.einsum("cgf,gc->gf", taps, means.reshape(layer.groups, -1)).ravel()


def _names(program: Program) -> list[str]:
    """Returns the name of each value of a program."""
    return [INPUT, *(operation.name for operation in program.operations)]


def _inner(program: Program) -> frozenset[str]:
    """Returns the names of the operations whose only reader is an activation that they apply themselves."""
    return frozenset(
        before.name for index, before in enumerate(program.operations)
        if isinstance(before.layer, FUSING) and len(program.readers[index + 1]) == 1
        and isinstance(after := program.operations[program.readers[index + 1][0]].layer, Activation)
        and after.function in FUSED)


def _seen(program: Program, arrays: Arrays, images: np.ndarray) -> dict[str, _Seen]:
    """Returns the values of a program on images by name, as ONNX Runtime computes them in float32."""
    import onnxruntime
    from onnx import ValueInfoProto

    model, names = onnx_model(program, arrays), _names(program)
    written = {name for node in model.graph.node for name in node.output} | {INPUT}
    tensors = {name if name in written else OUTPUT: name for name in names}
    del model.graph.output[:]
    model.graph.output.extend(ValueInfoProto(name=tensor) for tensor in tensors if tensor != INPUT)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    generator, parts = np.random.default_rng(0), dict[str, list[_Seen]]()
    for start in range(0, len(images), BATCH):
        batch = channels_first(images[start:start + BATCH])
        found: list[Any] = session.run(None, {INPUT: batch})
        outputs = (output.name for output in session.get_outputs())
        for tensor, values in {INPUT: batch, **dict(zip(outputs, found, strict=True))}.items():
            sample = values.ravel() if values.size <= SAMPLE else generator.choice(values.ravel(), SAMPLE)
            parts.setdefault(tensors[tensor], []).append(_Seen(
                float(values.min()), float(values.max()), sample,
                values.mean(tuple(axis for axis in range(values.ndim) if axis != 1)) * len(values)))
    return {name: _Seen(min(part.low for part in each), max(part.high for part in each),
                        np.concatenate([part.sample for part in each]),
                        np.sum([part.means for part in each], 0) / len(images))
            for name, each in parts.items()}


def _grids(program: Program, seen: Mapping[str, _Seen], inner: frozenset[str]) -> dict[str, Grid]:
    """Returns the grid of each value by name."""
    grids, names = {INPUT: best_grid(seen[INPUT])}, _names(program)
    for operation in program.operations:
        name, layer = operation.name, operation.layer
        if isinstance(layer, MOVING):
            grids[name] = grids[names[operation.inputs[0]]]
        elif isinstance(layer, Activation) and layer.function == "sigmoid":
            grids[name] = SIGMOID
        elif name not in inner:
            grids[name] = best_grid(seen[name])
            if (before := names[operation.inputs[0]]) in inner:
                grids[before] = grids[name]
    return grids


def best_grid(seen: _Seen) -> Grid:
    """Returns the grid of the range, clipped where that lowers the squared error."""
    grids = [Grid.spanning(clip * seen.low, clip * seen.high) for clip in CLIPS]
    return min(grids, key=lambda grid: float(np.mean((grid.rounded(seen.sample) - seen.sample)**2)))
