"""Images of any size made square and of one resolution. Pillow is imported only where an image must change."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluators.datasets.dataset import Parts, Split
from evaluators.machine.memory import require_memory
from search_spaces.blocks.conventions import MOST_PIXELS
from search_spaces.errors import require

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULT_RESOLUTION = 32


def choose_resolution(sizes: set[tuple[int, int]], requested: int | None) -> int:
    """Returns the requested resolution, else the images' own if they are all square and of one size, else 32.

    Raises:
        InvalidInput: the requested resolution is not positive.
    """
    require(requested is None or requested >= 1, f"`resolution` must be at least 1 pixel, but got {requested}")
    if requested is not None:
        require(requested <= MOST_PIXELS, f"`resolution` must be at most {MOST_PIXELS} pixels, but got {requested}")
        return requested
    (first, second), *others = sizes
    return first if first == second and not others else DEFAULT_RESOLUTION


def blank(count: int, resolution: int, channels: int) -> NDArray[np.uint8]:
    """Returns `count` images of zeros; raises `InvalidInput` if they do not fit into the memory of this machine."""
    require_memory(count * resolution**2 * channels, f"{count:,} images of {resolution} pixels")
    return np.zeros((count, resolution, resolution, channels), np.uint8)


def square(image: "Image", resolution: int) -> "Image":
    """Returns the image with its shorter side resized to the resolution and the middle of the longer one kept.

    Bilinear with antialiasing: where the image shrinks, every pixel weighs in.
    """
    from PIL.Image import Resampling

    shorter = min(image.size)
    left, top = (image.width - shorter) / 2, (image.height - shorter) / 2
    return image.resize((resolution, resolution), Resampling.BILINEAR, (left, top, left + shorter, top + shorter))


def squared(parts: Parts, requested: int | None) -> Parts:
    """Returns the parts with all images square and of one resolution; see `choose_resolution` for which."""
    resolution = choose_resolution({part.images.shape[1:3] for part in parts.splits.values()}, requested)

    def fitted(part: Split) -> Split:
        return replace(part, images=_square_arrays(part.images, resolution))

    return replace(parts, train=fitted(parts.train), validation=parts.validation and fitted(parts.validation),
                   test=parts.test and fitted(parts.test))


def _square_arrays(images: NDArray[np.uint8], resolution: int) -> NDArray[np.uint8]:
    if images.shape[1:3] == (resolution, resolution):
        return images
    from PIL import Image

    result = blank(len(images), resolution, images.shape[3])
    for image, fitted in zip(images, result, strict=True):
        for channel in range(images.shape[3]):  # alone, since Pillow has no images of two channels
            fitted[..., channel] = np.asarray(square(Image.fromarray(image[..., channel]), resolution))
    return result
