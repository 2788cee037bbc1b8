"""Data sets in one `.npz` file: `x_train`, `y_train`, `x_test`, `y_test` and perhaps `x_val`, `y_val`."""

import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from evaluators.datasets.arrays import parts_of_arrays
from evaluators.datasets.dataset import Parts
from search_spaces.errors import require, unknown

_PARTS = {"training": ("x_train", "y_train"), "validation": ("x_val", "y_val"), "test": ("x_test", "y_test")}
_OPTIONAL = "validation"


def read_npz(file: Path | IO[bytes], where: str) -> Parts:
    """Returns the parts in a `.npz` file.

    `x_...` are uint8 `[N, H, W]` or `[N, H, W, C]`, `y_...` whole numbers `[N]` that number the classes from 0.

    Args:
        file: the file, by its path or open.
        where: what messages call it.

    Raises:
        InvalidInput: a damaged file, pickled objects, missing or unknown arrays, or arrays that are not as above.
    """
    arrays = _load(file, where)
    known = [key for keys in _PARTS.values() for key in keys]
    for key in arrays:
        if key not in known:
            raise unknown(f"array in '{where}'", key, known)
    parts = {part: keys for part, keys in _PARTS.items() if part != _OPTIONAL or arrays.keys() & set(keys)}
    missing = [key for keys in parts.values() for key in keys if key not in arrays]
    require(not missing, f"a .npz file must hold {', '.join(key for keys in parts.values() for key in keys)}, but "
            f"'{where}' lacks {', '.join(missing)}")
    return parts_of_arrays({part: (arrays[images], arrays[labels]) for part, (images, labels) in parts.items()}, where)


def _load(file: Path | IO[bytes], where: str) -> dict[str, NDArray[Any]]:
    arrays = {}
    try:
        archive = np.load(file, allow_pickle=False)
        if isinstance(archive, np.lib.npyio.NpzFile):
            with archive:
                arrays = {key: archive[key] for key in archive.files}
    except (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        pass  # encrypted and exotic archives are RuntimeErrors; numpy's own words would advise to unpickle
    require(bool(arrays) and all(isinstance(array, np.ndarray) for array in arrays.values()),
            f"a .npz file must be an intact archive of named arrays, none of them pickled, but '{where}' is not")
    return arrays
