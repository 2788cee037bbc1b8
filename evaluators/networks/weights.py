"""The arrays of a network, by name: trainable weights and the running statistics of batch norm.

Names are those of the program's operations, e.g. `1.mb/expand/convolution/kernel`, in every format that we write.
"""

import json
import math
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from search_spaces.documents import MOST_JSON_BYTES, refused
from search_spaces.errors import require
from search_spaces.layers import BatchNorm, Convolution, Dense
from search_spaces.program import Operation, Program

Weights = dict[str, np.ndarray]

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # bfloat16 is the upper half of float32
COUNTERS = ("I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL")
LARGEST = 1e12  # of a weight: no training comes near it, and sums of products soon leave float32 beyond
_LENGTH = 8  # bytes in front of the header, which hold its length


def read_tensors(path: Path) -> tuple[dict[str, str], Weights]:
    """Returns the texts in the header of a safetensors file, and its tensors by name, float32.

    Counters, single whole numbers, are passed over.

    Raises:
        InvalidInput: an unreadable file, or a tensor of something else than finite weights; names it.
    """
    with (refused(f"weights must be a readable safetensors file, but got '{path}'", SafetensorError),
          path.open("rb") as file):
        with safe_open(str(path), "numpy") as checked:  # the header against the file
            texts = checked.metadata() or {}
        length = int.from_bytes(file.read(_LENGTH), "little")
        require(length <= MOST_JSON_BYTES, f"its header has more than {MOST_JSON_BYTES:,} bytes")
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        tensors = {}
        for name, entry in header.items():
            dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            if shape and (dtype not in COUNTERS or math.prod(shape) != 1):
                file.seek(_LENGTH + length + begin)
                tensors[name] = _values(name, dtype, file.read(end - begin)).reshape(shape)
    return texts, tensors


def _values(name: str, dtype: str, data: bytes) -> np.ndarray:
    """Returns the numbers of a tensor, float32."""
    require(dtype in DTYPES, f"'{name}' must be of floating point numbers ({', '.join(DTYPES)}), but is of {dtype}")
    values = np.frombuffer(data, DTYPES[dtype])
    with np.errstate(over="ignore"):
        values = (values.astype(np.uint32) << 16).view(np.float32) if dtype == "BF16" else values.astype(np.float32)
    largest = np.abs(values).max(initial=0)
    require(bool(largest <= LARGEST), f"'{name}' must be of finite numbers up to {LARGEST:g}, but has {largest:g}")
    require(not name.endswith("var") or bool(values.min(initial=0) >= 0),
            f"'{name}' must be of variances, which are not negative, but has {values.min(initial=0):g}")
    return values


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
