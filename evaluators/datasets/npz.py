"""Data sets in one `.npz` file: images and labels of each part, and perhaps the names of the classes."""

import re
from pathlib import Path
from typing import IO

from evaluators.datasets.arrays import named_classes, parts_of_arrays
from evaluators.datasets.dataset import PART_NAMES, Parts
from evaluators.machine.archives import DAMAGED, array_names, read_arrays
from search_spaces.documents import refused
from search_spaces.errors import InvalidInput, require, unknown

_KINDS = {"x": "x", "images": "x", "image": "x", "y": "y", "labels": "y", "label": "y"}
_CLASSES = ("classes", "class_names")
_PARTS = {"training": ("x_train", "y_train"), "validation": ("x_val", "y_val"), "test": ("x_test", "y_test")}
_OPTIONAL = "validation"


def read_npz(file: Path | IO[bytes], where: str) -> Parts:
    """Returns the parts in a `.npz` file.

    Names of arrays say the part and what they hold, in either order and any case: `x_train`, `train_images` (as in
    MedMNIST), `Labels_Test`. The names of the classes may be in `classes` or `class_names`.

    Args:
        file: the file, by its path or open.
        where: what messages call it.

    Raises:
        InvalidInput: a damaged file, pickled objects, missing or unknown arrays, or arrays that break a rule of
            `parts_of_arrays`.
    """
    given: dict[str, str] = {}  # for each of our names the one in the file
    rule = f"a .npz file must be an intact archive of named arrays, none of them pickled, but '{where}' is not"
    with refused(rule, *DAMAGED):
        names = array_names(file)
        require(bool(names), "it has none")
    for name in names:
        own = _own_name(name, where)
        require(own not in given,
                f"a .npz file must hold one array of each kind, but '{where}' has {given.get(own)} and {name}")
        given[own] = name
    parts = {part: keys for part, keys in _PARTS.items() if part != _OPTIONAL or given.keys() & set(keys)}
    missing = [key for keys in parts.values() for key in keys if key not in given]
    require(not missing, f"a .npz file must hold {', '.join(key for keys in parts.values() for key in keys)}, but "
            f"'{where}' lacks {', '.join(missing)}")
    with refused(rule, *DAMAGED):
        arrays = read_arrays(file, names)
    read = parts_of_arrays({part: (arrays[given[images]], arrays[given[labels]])
                            for part, (images, labels) in parts.items()}, where)
    return named_classes(read, arrays[given["classes"]], where) if "classes" in given else read


def _own_name(name: str, where: str) -> str:
    """Returns our name of an array, `x_train` for `train_images`."""
    words = re.split(r"[\W_]+", name.lower())
    if name.lower() in _CLASSES:
        return "classes"
    kinds, parts = [_KINDS.get(word) for word in words], [PART_NAMES.get(word) for word in words]
    for kind, part in zip(kinds, reversed(parts), strict=True):
        if len(words) == 2 and kind and part:
            return _PARTS[part][kind == "y"]
    known = [key for keys in _PARTS.values() for key in keys]
    alike = [key for key in known if key[0] in kinds]  # labels are no suggestion for images
    if alike:
        raise unknown(f"array in '{where}'", name, alike)
    raise InvalidInput(f"unknown array in '{where}' '{name}'; known: {', '.join([*known, *_CLASSES])}")
