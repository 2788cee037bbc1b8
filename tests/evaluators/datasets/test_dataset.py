import re
import tracemalloc
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.datasets.dataset import Dataset, Parts, Split, complete, held_out, require_distinct_images
from search_spaces.errors import InvalidInput


def parts_of(labels: list[int], **others: Split) -> Parts:
    """Parts whose images are all different: their bytes are their number."""
    numbers = np.arange(len(labels), dtype="<u4").view(np.uint8).reshape(-1, 2, 2, 1)
    classes = tuple(f"class {label}" for label in range(max(labels) + 1))
    return Parts(classes, Split(numbers, np.array(labels, np.int32)), **others)


def numbers_of(part: Split) -> list[int]:
    return part.images.reshape(-1, 4).view("<u4").ravel().tolist()


@st.composite
def label_lists(draw: st.DrawFn) -> list[int]:
    """Labels of 2 to 6 classes with 3 to 40 images each, in any order."""
    counts = draw(st.lists(st.integers(3, 40), min_size=2, max_size=6))
    return draw(st.permutations([label for label, count in enumerate(counts) for _ in range(count)]))


SEEDS = st.integers(0, 2**32 - 1)


@settings(deadline=None)
@given(label_lists(), SEEDS)
def test_the_parts_are_disjoint_and_complete(labels: list[int], seed: int) -> None:
    data = complete("x", parts_of(labels), seed)
    found = [numbers_of(part) for part in (data.train, data.validation, data.test)]
    assert sorted(number for part in found for number in part) == list(range(len(labels)))
    for part, numbers in zip((data.train, data.validation, data.test), found, strict=True):
        assert numbers == sorted(numbers), "a part keeps the order of the source"
        assert [labels[number] for number in numbers] == part.labels.tolist()


@settings(deadline=None)
@given(label_lists(), SEEDS)
def test_a_sixth_of_every_class_is_held_out(labels: list[int], seed: int) -> None:
    counts, chosen = Counter(labels), held_out(np.array(labels, np.int32), [seed])
    taken = Counter(label for label, out in zip(labels, chosen, strict=True) if out)
    for label, count in counts.items():
        assert 1 <= taken[label] < count
        assert taken[label] == 1 or abs(taken[label] - count / 6) < 1
    if min(counts.values()) >= 6:
        assert abs(taken.total() - len(labels) / 6) <= 0.5


@settings(deadline=None)
@given(label_lists(), SEEDS, st.randoms(use_true_random=False))
def test_what_is_held_out_of_a_class_does_not_depend_on_how_the_classes_are_mixed(labels, seed, random) -> None:
    def places(mixed: list[int]) -> list[list[bool]]:
        chosen = held_out(np.array(mixed, np.int32), [seed])
        return [chosen[np.array(mixed) == label].tolist() for label in range(max(labels) + 1)]

    mixed = random.sample(labels, len(labels))
    assert places(mixed) == places(labels) == places(sorted(labels))


def test_the_seed_decides_and_the_two_cuts_are_independent() -> None:
    labels = [0, 1] * 60
    first, again, other = (complete("x", parts_of(labels), seed) for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    image = np.zeros((2, 2, 2, 1), np.uint8)
    given_test = complete("x", parts_of(labels, test=Split(image, np.array([0, 1], np.int32))), 0)
    assert numbers_of(given_test.validation) != numbers_of(first.test)


def test_every_image_is_held_out_by_some_seed_and_none_by_most() -> None:
    labels = np.zeros(60, np.int32)
    times = sum(held_out(labels, [seed]).astype(int) for seed in range(600))
    assert times.sum() == 6000  # each image a binomial of 600 draws at 1/6: 100, with a deviation of 9.1
    assert times.min() > 55 and times.max() < 145


@pytest.mark.parametrize(("brings", "line", "sizes"), [
    ((), "validation: 17 of 100 training images, stratified, seed 7; "
         "test: 20 of 120 training images, stratified, seed 7", (83, 17, 20)),
    (("test",), "validation: 20 of 120 training images, stratified, seed 7; test: as given", (100, 20, 2)),
    (("validation",), "validation: as given; test: 20 of 120 training images, stratified, seed 7", (100, 2, 20)),
    (("validation", "test"), "validation: as given; test: as given", (120, 2, 2)),
])
def test_only_missing_parts_are_cut_and_one_line_says_so(brings, line: str, sizes: tuple[int, ...]) -> None:
    small = Split(np.zeros((2, 2, 2, 1), np.uint8), np.array([0, 1], np.int32))
    data = complete("x", parts_of([0, 1, 2] * 40, **dict.fromkeys(brings, small)), 7)
    assert data.split == line and (len(data.train), len(data.validation), len(data.test)) == sizes


def test_a_class_of_too_few_images_is_named() -> None:
    with pytest.raises(InvalidInput, match="at least 3 images to be split into 3 parts, but 'class 1' has 2 in 'x'"):
        complete("x", parts_of([0, 0, 0, 1, 1]), 0)
    small = Split(np.zeros((1, 2, 2, 1), np.uint8), np.array([0], np.int32))
    assert len(complete("x", parts_of([0, 0, 0, 1, 1], test=small), 0).validation) == 2
    with pytest.raises(InvalidInput, match="at least 2 images to be split into 2 parts, but 'class 1' has 1"):
        complete("x", parts_of([0, 0, 0, 1], test=small), 0)
    assert len(complete("x", parts_of([0, 1], test=small, validation=small), 0).train) == 2


def test_one_class_is_too_few() -> None:
    with pytest.raises(InvalidInput, match="at least 2 classes, but 'x' has 1: class 0"):
        complete("x", parts_of([0] * 12), 0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(InvalidInput, match="`seed` must not be negative, but got -1"):
        complete("x", parts_of([0, 1] * 6), -1)


def dataset(train: np.ndarray, labels: np.ndarray | None = None) -> Dataset:
    part = Split(train, np.zeros(len(train), np.int32) if labels is None else labels)
    return Dataset("x", ("a", "b"), part, part, part, "")


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_mean_and_std_are_those_of_the_training_images(channels: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (7, 5, 5, channels), dtype=np.uint8)
    data = dataset(images)
    assert data.mean.dtype == data.std.dtype == np.float32
    np.testing.assert_allclose(data.mean, (images / 255).mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(data.std, (images / 255).std(axis=(0, 1, 2)), rtol=1e-6)


def test_a_constant_channel_has_a_deviation_that_one_can_divide_by() -> None:
    data = dataset(np.full((3, 2, 2, 1), 77, np.uint8))
    assert data.std == pytest.approx([1 / 255]) and data.mean == pytest.approx([77 / 255])


def test_mean_and_std_take_less_memory_than_the_images() -> None:
    data = dataset(np.ones((500, 32, 32, 3), np.uint8))
    tracemalloc.start()
    try:
        assert data.mean.shape == (3,)
        assert tracemalloc.get_traced_memory()[1] < data.train.images.nbytes / 2
    finally:
        tracemalloc.stop()


def test_the_fingerprint_depends_on_images_labels_shape_and_parts() -> None:
    images, labels = np.arange(48, dtype=np.uint8).reshape(3, 4, 4, 1), np.array([0, 1, 0], np.int32)
    changed = images.copy()
    changed[2, 3, 3, 0] += 1
    first, second = Split(images, labels), Split(changed, labels)
    prints = {
        dataset(images, labels).fingerprint, dataset(changed, labels).fingerprint,
        dataset(images, labels[::-1] + 1).fingerprint, dataset(images.reshape(3, 2, 8, 1), labels).fingerprint,
        Dataset("x", ("a", "b"), first, second, first, "").fingerprint,
        Dataset("x", ("a", "b"), first, first, second, "").fingerprint,
    }
    assert len(prints) == 6 and all(len(text) == 16 and int(text, 16) >= 0 for text in prints)
    assert dataset(images.copy(), labels.copy()).fingerprint == dataset(images, labels).fingerprint


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 60), st.integers(0, 3))
def test_a_sample_has_of_every_class_its_share_whatever_the_order_of_the_images(counts, wanted, seed):
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int32)  # sorted by class, as folders are
    images = np.arange(len(labels), dtype=np.int64).reshape(-1, 1, 1, 1)
    drawn = Split(images, labels).sample(wanted, seed)
    taken = min(wanted, len(labels))
    assert len(drawn) == len(set(drawn.images.ravel())) == taken
    shares = np.array(counts) * taken / len(labels)
    found = np.bincount(drawn.labels, minlength=len(counts))
    assert np.all((np.floor(shares) <= found) & (found <= np.ceil(shares)))
    assert np.array_equal(drawn.images, Split(images, labels).sample(wanted, seed).images)
    assert np.array_equal(labels[drawn.images.ravel()], drawn.labels)


@pytest.mark.parametrize(("images", "reason"), [
    (np.zeros((3, 4, 4, 1)), "are equal (values 0 to 0 of 0 to 255)"),
    (np.broadcast_to(np.arange(16).reshape(4, 4, 1), (3, 4, 4, 1)), "are equal (values 0 to 15 of 0 to 255)"),
    (np.broadcast_to(np.arange(9).reshape(3, 1, 1, 3), (3, 4, 4, 3)),
     "have one colour each (values 0 to 8 of 0 to 255)"),
])
@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_part_in_which_images_do_not_differ_is_refused(images: np.ndarray, reason: str, part: str) -> None:
    usual = Split(np.arange(48, dtype=np.uint8).reshape(3, 4, 4, 1), np.array([0, 1, 0], np.int32))
    bad = Split(images.astype(np.uint8), usual.labels)
    splits = {"train": usual, "validation": usual, "test": usual}
    require_distinct_images(Parts(("a", "b"), **splits), "x")
    with pytest.raises(InvalidInput, match=re.escape(f"part of 'x' {reason}")):
        require_distinct_images(Parts(("a", "b"), **splits | {part: bad}), "x")


def test_images_of_one_pixel_and_a_part_of_one_image_are_no_mistake() -> None:
    pixels = Split(np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1), np.array([0, 1, 0], np.int32))
    one = Split(np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1), np.array([0], np.int32))
    require_distinct_images(Parts(("a", "b"), pixels, test=one), "x")


def test_the_summary_names_the_first_classes() -> None:
    parts = replace(parts_of([label for label in range(7) for _ in range(6)]), passed_over="2 files that are no images")
    assert complete("x", parts, 0).summary == (
        "x, 7 classes (class 0, class 1, class 2, class 3, class 4, ...), 2 pixels; validation: 7 of 35 training "
        "images, stratified, seed 0; test: 7 of 42 training images, stratified, seed 0; passed over: 2 files that are "
        "no images")


def test_what_was_changed_and_skipped_is_told_in_the_split() -> None:
    parts = replace(parts_of([0, 1] * 6), changes=("a change",), skipped=tuple("abcdef"))
    assert complete("x", parts, 0).split.endswith("; a change; 6 broken images skipped (a, b, c, d, e, ...)")
