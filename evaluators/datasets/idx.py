"""Data sets in the IDX files of MNIST: big-endian dimensions, then bytes."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluators.datasets.arrays import parts_of_arrays
from evaluators.datasets.dataset import Parts
from evaluators.machine.memory import require_memory
from search_spaces.documents import refused
from search_spaces.errors import InvalidInput, require

_FILES = {
    "training": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_UINT8 = 0x08
MOST_DEFLATED = 1032  # bytes that one of a .gz file may become


def is_idx_folder(folder: Path) -> bool:
    """Tells whether a folder holds any of MNIST's four files, compressed or not."""
    return any((folder / f"{name}{suffix}").is_file()
               for names in _FILES.values() for name in names for suffix in ("", ".gz"))


def read_idx_folder(folder: Path) -> Parts:
    """Returns the parts in MNIST's four files, each of which may be compressed (`.gz`).

    Raises:
        InvalidInput: a file is missing or damaged, or images and labels do not fit each other.
    """
    return parts_of_arrays({part: (read_idx(_existing(folder, images), dimensions=3),
                                   read_idx(_existing(folder, labels), dimensions=1))
                            for part, (images, labels) in _FILES.items()}, str(folder))


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Returns the array in an IDX file of bytes with so many dimensions.

    The file has two zeros, the type's code (8 for bytes), the number of dimensions, each dimension as 4 bytes, and the
    values with the last dimension varying fastest (LeCun, Cortes and Burges, "The MNIST database").

    Raises:
        InvalidInput: wrong magic number, or a file that is shorter or longer than its dimensions say.
    """
    expected = bytes([0, 0, _UINT8, dimensions])
    header = 4 + 4 * dimensions
    compressed = path.suffix == ".gz"
    with refused(f"a file of images or labels must be intact, but '{path}' is not", zlib.error), (
            gzip.open(path) if compressed else path.open("rb")) as file:
        begin = file.read(header)
        require(begin[:4] == expected, f"an IDX file with {dimensions} dimensions must begin with 0x{expected.hex()}, "
                f"but it begins with 0x{begin[:4].hex()}")
        require(len(begin) == header, f"an IDX file must have a header of {header} bytes, but it ends after "
                f"{len(begin)}")
        shape = struct.unpack(f">{dimensions}I", begin[4:])
        size = math.prod(shape)
        most = path.stat().st_size * (MOST_DEFLATED if compressed else 1)
        require_memory(size, f"its {' x '.join(map(str, shape))} values")
        content = file.read(min(size, most) + 1)
        require(len(content) == size, f"an IDX file must be as long as its dimensions say, but it has "
                f"{'more than ' * (len(content) > size)}{min(len(content), size):,} bytes for "
                f"{' x '.join(map(str, shape))}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _existing(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise InvalidInput(f"a folder of IDX files must hold all four of MNIST's, but '{folder}' lacks {name}[.gz]")
