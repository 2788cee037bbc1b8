"""Checks of images and labels that come as arrays: what every format but the folder of images shares."""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluators.datasets.dataset import Parts, Split, unknown_class
from search_spaces.errors import require

MAX_CHANNELS = 4  # more is most likely an array with its channels first
MAX_NAMED = 5


def parts_of_arrays(arrays: dict[str, tuple[NDArray[Any], NDArray[Any]]], where: str) -> Parts:
    """Returns the parts made of images and labels by name: `training`, and perhaps `validation` and `test`.

    Images are uint8 `[N, H, W]` or `[N, H, W, C]`, labels whole numbers `[N]`; the classes are named by their numbers.

    Args:
        arrays: images and labels of each part.
        where: the file or folder, for messages.

    Raises:
        InvalidInput: wrong type, shape, length or channels; labels that do not number the classes from 0 without gaps.
    """
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
    return Parts(tuple(map(str, range(classes))), splits["training"], splits.get("validation"), splits.get("test"))


def _split(images: NDArray[Any], labels: NDArray[Any], where: str) -> Split:
    require(images.dtype == np.uint8, f"images must be uint8, but {where} has {images.dtype}")
    require(images.ndim in (3, 4) and images.size > 0,
            f"images must have the shape [N, H, W] or [N, H, W, C], none of them 0, but {where} has {images.shape}")
    images = images if images.ndim == 4 else images[..., np.newaxis]
    require(images.shape[3] <= MAX_CHANNELS, f"images must have 1 to {MAX_CHANNELS} channels, as their last axis, but "
            f"{where} has the shape {images.shape}")
    require(labels.dtype.kind in "iu", f"labels must be whole numbers, but {where} has {labels.dtype}")
    require(labels.ndim == 1, f"labels must have the shape [N], but {where} has {labels.shape}")
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
    missing = ", ".join(map(str, itertools.islice(gaps, MAX_NAMED)))
    require(not missing, f"labels must number the classes from 0 without gaps, but '{where}' has training images of "
            f"{len(present)} classes up to {max(present)} and none of {missing}")
    return len(present)
