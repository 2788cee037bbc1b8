"""Dataset: images and labels in three parts, the making of the parts that the data lack, and what identifies them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evaluators.datasets.metrics import ACCURACY, require_metric
from search_spaces.errors import InvalidInput, require

PART_NAMES = {"train": "training", "training": "training",  # what people call the parts, in any case
              "val": "validation", "valid": "validation", "validation": "validation",
              "test": "test", "testing": "test"}
MOST_NAMED = 5  # classes or files that a line names

HELD_OUT_SHARE = 6  # one image in six leaves the training part, as in Fashion-MNIST's usual 50,000 + 10,000
STD_FLOOR = 1 / 255  # one grey level, so that a constant channel can be divided by its deviation


@dataclass(frozen=True, eq=False)
class Split:
    """Images `[N, H, W, C]` in uint8 and their labels `[N]` in int32."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: NDArray[np.bool_]) -> "Split":
        """Returns the chosen images (a mask `[N]`), in the order that they have here."""
        return Split(self.images[chosen], self.labels[chosen])

    def sample(self, count: int, seed: int) -> "Split":
        """Returns `count` random images, or all if these are fewer; each class gives its share, rounded up or down."""
        count, chosen = min(count, len(self)), np.zeros(len(self), dtype=bool)
        keys = np.random.PCG64(seed).random_raw(len(self))
        by_class = np.lexsort((keys, self.labels))
        chosen[by_class[(2 * np.arange(count) + 1) * len(self) // (2 * count)]] = True
        return self.take(chosen)


@dataclass(frozen=True, eq=False)
class Parts:
    """The contents of a source of data: a training part, and perhaps the other two. Labels number the classes from 0.

    Attributes:
        changes: a line for each way in which the images differ from those of the source.
        skipped: the broken files that were left out.
        passed_over: a line on what lies between the images and is none.
    """

    classes: tuple[str, ...]
    train: Split
    validation: Split | None = None
    test: Split | None = None
    changes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    passed_over: str = ""

    @property
    def splits(self) -> dict[str, Split]:
        """The parts that are there, by name."""
        parts = {"training": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Square images of one resolution in three parts, with one line that says where the parts come from.

    Candidates are trained on `train` and compared on `validation`; `test` is for the winner alone.
    See `Parts` for `skipped` and `passed_over`.

    Attributes:
        metric: by which networks are judged on them, a name of `evaluators.datasets.metrics.METRICS`.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    split: str
    skipped: tuple[str, ...] = ()
    passed_over: str = ""
    metric: str = ACCURACY

    def __post_init__(self) -> None:
        require_metric(self.metric, len(self.classes))

    @property
    def summary(self) -> str:
        """One line on the classes, the images and where the parts come from."""
        classes = f"{len(self.classes)} classes ({listed(self.classes)})"
        line = f"{self.name}, {classes}, {self.resolution} pixels; {self.split}"
        return f"{line}; passed over: {self.passed_over}" if self.passed_over else line

    @property
    def resolution(self) -> int:
        """The height and width of the images, in pixels."""
        return self.train.images.shape[1]

    @property
    def channels(self) -> int:
        """The channels of the images."""
        return self.train.images.shape[3]

    @property
    def train_and_validation(self) -> Split:
        """The training images, and after them the validation images."""
        return Split(np.concatenate([self.train.images, self.validation.images]),
                     np.concatenate([self.train.labels, self.validation.labels]))

    @property
    def mean(self) -> NDArray[np.float32]:
        """The mean `[C]` of the training images scaled to [0, 1]."""
        return self._moments[0]

    @property
    def std(self) -> NDArray[np.float32]:
        """The standard deviation `[C]` of the training images scaled to [0, 1], at least one grey level."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        images = self.train.images
        count = int(np.prod(images.shape[:3]))
        # Sums of whole numbers are exact, and einsum converts a buffer at a time instead of all images at once.
        mean = np.einsum("nhwc->c", images, dtype=np.int64) / count
        square = np.einsum("nhwc,nhwc->c", images, images, dtype=np.int64) / count
        std = np.sqrt(np.maximum(square - mean**2, 0)) / 255
        return (mean / 255).astype(np.float32), np.maximum(std, STD_FLOOR).astype(np.float32)

    @cached_property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of all images and labels, part by part, and of `skipped`."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            digest.update(repr(part.images.shape).encode())
            digest.update(np.ascontiguousarray(part.images).data)
            digest.update(part.labels.astype("<i4").data)
        for name in self.skipped:
            digest.update(f"skipped {name}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()[:16]


def complete(name: str, parts: Parts, seed: int, metric: str = ACCURACY) -> Dataset:
    """Returns the data set of some parts; those that are missing are cut from the training part.

    A missing test part takes a sixth of the training images, then a missing validation part a sixth of what is left.
    Both cuts are stratified: a class gives a sixth of its images, rounded so that the totals are a sixth too, and at
    least one. Which ones depends on the seed, the label and the place of an image among those of its class, hence
    neither on the other classes nor on the resolution. Parts that the data bring are taken as they are.

    Raises:
        InvalidInput: fewer than two classes, a class with too few images to be cut, or a metric that the data have not.
    """
    require(len(parts.classes) >= 2, f"data must have at least 2 classes, but '{name}' has {len(parts.classes)}: "
            f"{', '.join(parts.classes)}")
    missing = 2 - (parts.validation is not None) - (parts.test is not None)
    smallest = int(np.argmin(np.bincount(parts.train.labels)))
    images = int(np.count_nonzero(parts.train.labels == smallest))
    require(images > missing, f"a class needs at least {missing + 1} images to be split into {missing + 1} parts, but "
            f"'{parts.classes[smallest]}' has {images} in '{name}'")
    train, validation, test = parts.train, parts.validation, parts.test
    validation_origin = test_origin = "as given"
    if test is None:
        train, test, test_origin = _cut(train, seed, stream=1)
    if validation is None:
        train, validation, validation_origin = _cut(train, seed, stream=0)
    # "1 broken images" too: a run is resumed with the very text of its split
    skipped = (f"{len(parts.skipped)} broken images skipped ({listed(parts.skipped)})",) if parts.skipped else ()
    line = "; ".join((f"validation: {validation_origin}", f"test: {test_origin}", *parts.changes, *skipped))
    return Dataset(name, parts.classes, train, validation, test, line, parts.skipped, parts.passed_over, metric)


def require_distinct_images(parts: Parts, where: str) -> None:
    """Raises `InvalidInput` for a part in which there is nothing to tell images apart by."""
    for part, split in parts.splits.items():
        images = split.images
        equal = len(images) > 1 and all(np.array_equal(images[0], image) for image in images[1:])
        constant = images[0, ..., 0].size > 1 and all((image == image[0, 0]).all() for image in images)
        reason = "are equal" if equal else "have one colour each"
        require(not equal and not constant,
                f"images must differ in their pixels, but all {len(images):,} of the {part} part of '{where}' {reason} "
                f"(values {images.min()} to {images.max()} of 0 to 255)")


def held_out(labels: NDArray[np.int32], seed: Sequence[int]) -> NDArray[np.bool_]:
    """Returns a mask `[N]` of a sixth of the images, stratified; every class must have at least two."""
    chosen = np.zeros(len(labels), dtype=bool)
    for label, taken in enumerate(_quotas(np.bincount(labels))):
        members = np.flatnonzero(labels == label)
        # The raw stream of a bit generator never changes between versions of numpy; `permutation` may.
        keys = np.random.PCG64(np.random.SeedSequence([*seed, label])).random_raw(len(members))
        chosen[members[np.argsort(keys, kind="stable")[:taken]]] = True
    return chosen


def _quotas(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the number of held-out images of each class, by largest remainders, but one at least."""
    taken = np.maximum(counts // HELD_OUT_SHARE, 1)
    wanted = (counts.sum() + HELD_OUT_SHARE // 2) // HELD_OUT_SHARE
    by_remainder = np.argsort(HELD_OUT_SHARE * taken - counts, kind="stable")
    taken[by_remainder[:max(wanted - taken.sum(), 0)]] += 1
    return taken


def _cut(train: Split, seed: int, stream: int) -> tuple[Split, Split, str]:
    require(seed >= 0, f"`seed` must not be negative, but got {seed}")
    chosen = held_out(train.labels, [seed, stream])
    origin = f"{np.count_nonzero(chosen):,} of {len(train):,} training images, stratified, seed {seed}"
    return train.take(~chosen), train.take(chosen), origin


def listed(names: Sequence[str]) -> str:
    """Returns the first names, separated by commas.

    >>> listed(["ant", "bee", "cat", "dog", "eel", "fox"])
    'ant, bee, cat, dog, eel, ...'
    """
    return ", ".join([*names[:MOST_NAMED], *["..."][:len(names) > MOST_NAMED]])


def unknown_class(part: str, name: str, where: str) -> InvalidInput:
    """Returns the error for a class that a part has and the training part has not."""
    return InvalidInput(f"every class must have training images, but '{name}' in the {part} part of '{where}' has none")
