"""Checks of images and labels that come as arrays: what every format but the folder of images shares."""

import itertools
import unicodedata
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluators.datasets.dataset import MOST_NAMED, Parts, Split, listed, unknown_class
from evaluators.datasets.depth import scaling_line, to_bytes
from search_spaces.errors import require

MAX_CHANNELS = 4  # more is most likely an array with its channels first


def parts_of_arrays(arrays: dict[str, tuple[NDArray[Any], NDArray[Any]]], where: str) -> Parts:
    """Returns the parts made of images and labels by name: `training`, and perhaps `validation` and `test`.

    Images are `[N, H, W]` or `[N, H, W, C]` in uint8, or in uint16, which the range of the training images scales;
    labels are whole numbers `[N]` or `[N, 1]`. The classes are named by their numbers.

    Args:
        arrays: images and labels of each part.
        where: the file or folder, for messages.

    Raises:
        InvalidInput: wrong type, shape, length or channels; labels that do not number the classes from 0 without gaps.
    """
    dtypes = {part: images.dtype for part, (images, _) in arrays.items()}
    require(len(set(dtypes.values())) == 1, f"the parts must have the same type, but '{where}' has "
            + ", ".join(f"{dtype} ({part})" for part, dtype in dtypes.items()))
    changes: tuple[str, ...] = ()
    if dtypes["training"] == np.uint16 and arrays["training"][0].size:
        low, high = int(arrays["training"][0].min()), int(arrays["training"][0].max())
        arrays = {part: (to_bytes(images, low, high), labels) for part, (images, labels) in arrays.items()}
        changes = (scaling_line(low, high),)
    splits = {part: _split(images, labels, f"the {part} part of '{where}'")
              for part, (images, labels) in arrays.items()}
    channels = {part: split.images.shape[3] for part, split in splits.items()}
    require(len(set(channels.values())) == 1, f"the parts must have the same channels, but '{where}' has "
            + ", ".join(f"{count} ({part})" for part, count in channels.items()))
    classes = _class_count(splits["training"].labels, where)
    for part, split in splits.items():
        outside = split.labels[(split.labels < 0) | (split.labels >= classes)]
        if outside.size:
            raise unknown_class(part, str(outside[0]), where)
    return Parts(tuple(map(str, range(classes))), splits["training"], splits.get("validation"), splits.get("test"),
                 changes)


def named_classes(parts: Parts, names: NDArray[Any], where: str) -> Parts:
    """Returns the parts with names of the classes, texts `[classes]` by number.

    Raises:
        InvalidInput: other than one text for each class, all different.
    """
    require(names.dtype.kind in "US", f"the names of the classes must be texts, but '{where}' has {names.dtype}")
    texts = [name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in names.ravel().tolist()]
    classes = tuple(unicodedata.normalize("NFC", text) for text in texts)
    require(names.ndim == 1 and len(classes) == len(set(classes)) == len(parts.classes),
            f"there must be one name for each of the {len(parts.classes)} classes, all different, but '{where}' has "
            f"{len(classes)}: {listed(classes)}")
    return replace(parts, classes=classes)


def _split(images: NDArray[Any], labels: NDArray[Any], where: str) -> Split:
    require(images.dtype == np.uint8, f"images must be uint8 or uint16, but {where} has {images.dtype}")
    require(images.ndim in (3, 4) and images.size > 0,
            f"images must have the shape [N, H, W] or [N, H, W, C], none of them 0, but {where} has {images.shape}")
    images = images if images.ndim == 4 else images[..., np.newaxis]
    require(images.shape[3] <= MAX_CHANNELS, f"images must have 1 to {MAX_CHANNELS} channels, as their last axis, but "
            f"{where} has the shape {images.shape}")
    require(labels.dtype.kind in "iu", f"labels must be whole numbers, but {where} has {labels.dtype}")
    labels = labels[:, 0] if labels.shape[1:] == (1,) else labels
    require(labels.ndim == 1, f"labels must have the shape [N] or [N, 1], but {where} has {labels.shape}")
    require(len(labels) == len(images), f"every image must have one label, but {where} has {len(images)} images and "
            f"{len(labels)} labels")
    bounds = np.iinfo(np.int32)
    require(bounds.min <= labels.min() and labels.max() <= bounds.max,
            f"labels must fit into 32 bits, but {where} has {labels.min()} to {labels.max()}")
    return Split(images, labels.astype(np.int32))


def _class_count(labels: NDArray[np.int32], where: str) -> int:
    present = set(np.unique(labels).tolist())
    require(min(present) >= 0, f"labels must number the classes from 0, but '{where}' has the label {min(present)}")
    gaps = (label for label in range(max(present)) if label not in present)
    missing = ", ".join(map(str, itertools.islice(gaps, MOST_NAMED)))
    require(not missing, f"labels must number the classes from 0 without gaps, but '{where}' has training images of "
            f"{len(present)} classes up to {max(present)} and none of {missing}")
    return len(present)
