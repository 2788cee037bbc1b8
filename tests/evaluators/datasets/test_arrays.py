import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as npst

from evaluators.datasets.arrays import named_classes, parts_of_arrays
from search_spaces.errors import InvalidInput

IMAGES = np.zeros((4, 5, 5, 3), np.uint8)
LABELS = np.array([0, 1, 2, 1])


@pytest.mark.parametrize(("images", "labels", "message"), [
    (IMAGES.astype(np.float32), LABELS, "images must be uint8 or uint16, but the training part of 'x' has float32"),
    (IMAGES[0, 0], LABELS, r"the shape \[N, H, W\] or \[N, H, W, C\].* has \(5, 3\)"),
    (IMAGES[:0], LABELS[:0], r"none of them 0, but .* has \(0, 5, 5, 3\)"),
    (IMAGES.transpose(0, 3, 1, 2), LABELS, r"1 to 4 channels, as their last axis, but .* \(4, 3, 5, 5\)"),
    (IMAGES, LABELS.astype(np.float64), "labels must be whole numbers, but .* has float64"),
    (IMAGES, np.eye(4, 3, dtype=int), r"labels must have the shape \[N\] or \[N, 1\], but .* has \(4, 3\)"),
    (IMAGES, LABELS[:3], "has 4 images and 3 labels"),
    (IMAGES, LABELS + 2**40, "labels must fit into 32 bits"),
    (IMAGES, LABELS - 1, "from 0, but 'x' has the label -1"),
    (IMAGES, LABELS + 1, "training images of 3 classes up to 3 and none of 0$"),
    (IMAGES, np.array([0, 3, 5, 3]), "training images of 3 classes up to 5 and none of 1, 2, 4$"),
    (IMAGES, np.array([0, 1, 2, 2**31 - 1]), "none of 3, 4, 5, 6, 7$"),
])
def test_training_arrays_that_break_a_rule_are_refused(images: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parts_of_arrays({"training": (images, labels)}, "x")


@pytest.mark.parametrize("label", [-1, 3])
def test_a_test_label_without_training_images_is_refused(label: int) -> None:
    with pytest.raises(InvalidInput, match=f"training images, but '{label}' in the test part of 'x' has none"):
        parts_of_arrays({"training": (IMAGES, LABELS), "test": (IMAGES, np.array([0, 1, 2, label]))}, "x")


def test_a_test_part_may_lack_a_class() -> None:
    parts = parts_of_arrays({"training": (IMAGES, LABELS), "test": (IMAGES[:1], LABELS[:1])}, "x")
    assert parts.classes == ("0", "1", "2") and parts.validation is None and set(parts.splits) == {"training", "test"}


def test_parts_of_different_channels_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"same channels, but 'x' has 3 \(training\), 1 \(test\)"):
        parts_of_arrays({"training": (IMAGES, LABELS), "test": (IMAGES[..., 0], LABELS)}, "x")


def test_labels_may_be_a_column() -> None:
    parts = parts_of_arrays({"training": (IMAGES, LABELS[:, None])}, "x")
    assert parts.train.labels.tolist() == LABELS.tolist()


@given(npst.arrays(np.uint16, (4, 3, 3)), npst.arrays(np.uint16, (4, 3, 3)))
def test_16_bits_are_scaled_by_the_range_of_the_training_images(train: np.ndarray, test: np.ndarray) -> None:
    parts = parts_of_arrays({"training": (train, LABELS), "test": (test, LABELS)}, "x")
    low, high = int(train.min()), int(train.max())
    for split, given_values in ((parts.train, train), (parts.test, test)):
        assert split is not None and split.images.dtype == np.uint8
        expected = (given_values.astype(float) - low) / max(high - low, 1) * 255
        if high > low:
            assert np.abs(split.images[..., 0] - expected.clip(0, 255)).max() <= 0.5 + 1e-9
    assert parts.changes == (f"values {low:,} to {high:,}, the range of the training images, scaled to 0 to 255",)


def test_parts_of_different_types_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"same type, but 'x' has uint8 \(training\), uint16 \(test\)"):
        parts_of_arrays({"training": (IMAGES, LABELS), "test": (IMAGES.astype(np.uint16), LABELS)}, "x")


@pytest.mark.parametrize("names", [["ant", "bee", "cat"], [b"ant", b"bee", b"cat"]])
def test_classes_may_have_names(names: list[str]) -> None:
    parts = parts_of_arrays({"training": (IMAGES, LABELS)}, "x")
    assert named_classes(parts, np.array(names), "x").classes == ("ant", "bee", "cat")


@pytest.mark.parametrize(("names", "message"), [
    (["ant", "bee"], "one name for each of the 3 classes, all different, but 'x' has 2: ant, bee"),
    (["ant", "bee", "ant"], "all different, but 'x' has 3: ant, bee, ant"),
    ([0, 1, 2], "must be texts, but 'x' has int64"),
])
def test_other_names_of_classes_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        named_classes(parts_of_arrays({"training": (IMAGES, LABELS)}, "x"), np.array(names), "x")
