"""Arrays in npz files that somebody else may have written: no more is read of them than fits, and nothing unpickled."""

import math
import tokenize
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from evaluators.machine.memory import require_memory
from search_spaces.errors import require

DAMAGED = (zipfile.BadZipFile, zlib.error, tokenize.TokenError,  # further errors of reading
           RuntimeError)  # that it is encrypted
MOST_SHRUNK, SMALL_BYTES = 250, 2**28  # how far deflating takes real arrays, and what matters little if it is more


def array_names(file: Path | IO[bytes]) -> list[str]:
    """Returns the names of the arrays in an npz file; raises as `read_arrays`."""
    with zipfile.ZipFile(file) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def read_arrays(file: Path | IO[bytes], names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Returns the named arrays of an npz file. All headers are read first, and other arrays are not decompressed.

    Raises:
        InvalidInput, ValueError, OSError, `DAMAGED`: see `search_spaces.documents.refused`.
    """
    with zipfile.ZipFile(file) as archive:
        entries = [entry for entry in archive.infolist() if entry.filename.removesuffix(".npy") in names]
        for entry in entries:
            with archive.open(entry) as stream:
                _require_honest(entry, stream)
        require_memory(sum(entry.file_size for entry in entries), "its arrays")
        return {entry.filename.removesuffix(".npy"): _array(archive, entry) for entry in entries}


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(entry) as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        return array


def _require_honest(entry: zipfile.ZipInfo, stream: IO[bytes]) -> None:
    """Raises `InvalidInput` unless an entry is an array of as many bytes as its header says."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    require(not dtype.hasobject, f"'{entry.filename}' is pickled")
    size, stored = math.prod(shape) * dtype.itemsize, entry.file_size - stream.tell()
    require(min(shape, default=0) >= 0 and size == stored,
            f"'{entry.filename}' has {stored:,} bytes for an array of {' x '.join(map(str, shape))} {dtype}")
    require(stored <= max(SMALL_BYTES, MOST_SHRUNK * entry.compress_size),
            f"'{entry.filename}' has {stored:,} bytes in {entry.compress_size:,}, as no array of images has")
