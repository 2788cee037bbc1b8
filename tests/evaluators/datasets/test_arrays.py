import numpy as np
import pytest

from evaluators.datasets.arrays import parts_of_arrays
from search_spaces.errors import InvalidInput

IMAGES = np.zeros((4, 5, 5, 3), np.uint8)
LABELS = np.array([0, 1, 2, 1])


@pytest.mark.parametrize(("images", "labels", "message"), [
    (IMAGES.astype(np.float32), LABELS, "images must be uint8, but the training part of 'x' has float32"),
    (IMAGES[0, 0], LABELS, r"the shape \[N, H, W\] or \[N, H, W, C\].* has \(5, 3\)"),
    (IMAGES[:0], LABELS[:0], r"none of them 0, but .* has \(0, 5, 5, 3\)"),
    (IMAGES.transpose(0, 3, 1, 2), LABELS, r"1 to 4 channels, as their last axis, but .* \(4, 3, 5, 5\)"),
    (IMAGES, LABELS.astype(np.float64), "labels must be whole numbers, but .* has float64"),
    (IMAGES, LABELS[:, None], r"labels must have the shape \[N\], but .* has \(4, 1\)"),
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
