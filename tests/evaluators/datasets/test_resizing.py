import numpy as np
import pytest
from PIL import Image

from evaluators.datasets.dataset import Parts, Split
from evaluators.datasets.resizing import blank, choose_resolution, square, squared
from search_spaces.errors import InvalidInput

GENERATOR = np.random.default_rng(0)


def split(*shape: int) -> Split:
    return Split(GENERATOR.integers(0, 256, shape, dtype=np.uint8), np.zeros(shape[0], np.int32))


def triangle_filter(size: int, resolution: int) -> np.ndarray:
    """Bilinear weights `[resolution, size]`, widened where the image shrinks: what antialiasing means."""
    scale = size / resolution
    centres = (np.arange(resolution)[:, None] + 0.5) * scale - 0.5
    weights = np.maximum(0, 1 - np.abs(np.arange(size) - centres) / max(scale, 1))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("height", "width", "resolution"),
                         [(40, 40, 20), (40, 64, 20), (64, 40, 10), (32, 32, 48), (24, 36, 7), (20, 32, 20)])
def test_the_shorter_side_is_resized_and_the_middle_kept(height: int, width: int, resolution: int) -> None:
    image = GENERATOR.integers(0, 256, (height, width), dtype=np.uint8)
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    weights = triangle_filter(short, resolution)
    expected = weights @ image[top:top + short, left:left + short] @ weights.T
    result = np.asarray(square(Image.fromarray(image), resolution)).astype(float)
    inner = slice(1, -1)  # at the edges of the middle the resized image also sees what lies beyond
    assert result.shape == (resolution, resolution)
    assert np.abs(result - expected)[inner, inner].max() <= 1.01


def test_resizing_then_cropping_gives_the_same() -> None:
    image = Image.fromarray(GENERATOR.integers(0, 256, (40, 64, 3), dtype=np.uint8))
    expected = image.resize((32, 20), Image.Resampling.BILINEAR).crop((6, 0, 26, 20))
    np.testing.assert_array_equal(np.asarray(square(image, 20)), np.asarray(expected))


def test_a_very_long_image_takes_no_more_memory_than_its_middle() -> None:
    assert square(Image.new("L", (60_000, 1), 9), 200).size == (200, 200)


@pytest.mark.parametrize(("sizes", "requested", "expected"), [
    ({(28, 28)}, None, 28), ({(28, 28)}, 20, 20), ({(28, 30)}, None, 32), ({(28, 28), (30, 30)}, None, 32),
    ({(500, 300), (64, 64)}, 96, 96), ({(1, 1)}, None, 1),
])
def test_the_resolution_is_the_requested_or_the_common_one_or_32(sizes, requested, expected: int) -> None:
    assert choose_resolution(sizes, requested) == expected


@pytest.mark.parametrize("requested", [0, -5])
def test_a_resolution_below_one_pixel_is_refused(requested: int) -> None:
    with pytest.raises(InvalidInput, match=f"`resolution` must be at least 1 pixel, but got {requested}"):
        choose_resolution({(8, 8)}, requested)


def test_images_that_fit_are_not_copied() -> None:
    parts = Parts(("a", "b"), split(3, 8, 8, 1))
    assert squared(parts, 8).train.images is parts.train.images is squared(parts, None).train.images


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_arrays_are_resized_channel_by_channel(channels: int) -> None:
    parts = Parts(("a", "b"), split(3, 12, 16, channels), test=split(2, 9, 9, channels))
    result = squared(parts, None)
    assert result.train.images.shape == (3, 32, 32, channels) and result.validation is None
    assert result.test is not None and result.test.images.shape == (2, 32, 32, channels)
    for channel in range(channels):
        alone = square(Image.fromarray(parts.train.images[1, :, :, channel]), 32)
        np.testing.assert_array_equal(result.train.images[1, :, :, channel], np.asarray(alone))


def test_images_that_do_not_fit_into_the_memory_are_refused_before_they_are_made():
    with pytest.raises(InvalidInput, match="memory, but 1,000,000 images of 4096 pixels take 50,331,648,000,000 bytes"):
        blank(10**6, 4096, 3)
    with pytest.raises(InvalidInput, match="`resolution` must be at most 4096 pixels, but got 100000"):
        choose_resolution({(28, 28)}, 100_000)
