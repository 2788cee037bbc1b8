"""Image files: which files are images, and their pixels as square arrays of bytes. Pillow is imported when needed."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluators.datasets.depth import scaling_line, to_bytes
from evaluators.datasets.resizing import blank, choose_resolution, square

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")  # in which no file can run code or another program
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm",
            ".pbm", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".tga", ".ico", ".psd")  # of files meant as images
MOST_PIXELS = 50 * 10**6  # of an image, of which the header is read first
BACKGROUND = 128  # grey, on which neither black shapes nor white ones vanish


@dataclass(frozen=True)
class Images:
    """The images `[N, H, W, C]` of each part, and how they were changed; those in `broken` are left zero.

    Attributes:
        pixels: the images by part, in the order of the files.
        broken: for each file that is no intact image, what is wrong with it.
        changes: a line for each way in which values differ from those of the files.
    """

    pixels: dict[str, NDArray[np.uint8]]
    broken: dict[Path, str]
    changes: tuple[str, ...]


@dataclass
class _Seen:
    """The findings of a first look at image files, mostly at their headers."""

    sizes: set[tuple[int, int]] = field(default_factory=set)
    grey: bool = True
    deep: list[float] = field(default_factory=list)  # lowest and highest values of the training images of over 8 bits


def is_image(path: Path) -> bool:
    """Tells whether a file is an image by its content, or is meant as one by its suffix."""
    from PIL import Image

    if path.suffix.lower() in SUFFIXES:
        return path.is_file() or path.is_symlink()  # a link to nowhere is a broken image
    if not path.is_file():
        return False
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS):
            return True
    except Exception:  # on other files Pillow fails in any way
        return False


def read_images(files: Mapping[str, Sequence[Path]], resolution: int | None) -> Images:
    """Returns the images in the files of each part.

    Images are turned upright as their EXIF data say and made square (see `square`) at the given resolution, else at
    their own if they are all square and of one size, else at 32 pixels. They have one channel if all are grey, else
    three. Transparent pixels are blended over grey `BACKGROUND`; grey values of more than 8 bits are scaled by the
    range of the training images. Of animations and stacks it is the first image that counts.
    """
    broken: dict[Path, str] = {}
    seen = _look(files, broken)
    chosen, mode = choose_resolution(seen.sizes or {(1, 1)}, resolution), "L" if seen.grey else "RGB"
    depth = (min(seen.deep), max(seen.deep)) if seen.deep else (0.0, 65535.0)
    pixels, blended = {}, False
    for part, paths in files.items():
        pixels[part] = blank(len(paths), chosen, len(mode))
        for path, array in zip(paths, pixels[part], strict=True):
            if path not in broken:
                with _noting(path, broken), _open(path) as opened:
                    image, was_transparent = _opaque(opened, depth)
                    array[:] = np.asarray(square(image.convert(mode), chosen)).reshape(array.shape)
                    blended = blended or was_transparent
    lines = {scaling_line(*depth): bool(seen.deep), f"transparency blended over grey {BACKGROUND}": blended}
    return Images(pixels, {path: broken[path] for path in sorted(broken)},
                  tuple(line for line, applies in lines.items() if applies))


def _look(files: Mapping[str, Sequence[Path]], broken: dict[Path, str]) -> _Seen:
    seen = _Seen()
    for part, paths in files.items():
        for path in paths:
            with _noting(path, broken), _open(path) as image:
                if part == "training" and _is_deep(image):
                    values = _deep_values(image)
                    seen.deep += [float(values.min()), float(values.max())]
                seen.sizes.add(image.size)
                seen.grey = seen.grey and (image.mode in ("1", "L", "LA") or _is_deep(image))
    return seen


def _opaque(image: "Image", depth: tuple[float, float]) -> tuple["Image", bool]:
    """Returns an image upright, of 8 bits and opaque, and whether some of it was transparent."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if _is_deep(image):
        return Image.fromarray(to_bytes(_deep_values(image), *depth)), False
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        colours = image.convert("RGBA")
        if np.asarray(colours)[..., 3].min() < 255:
            below = Image.new("RGBA", image.size, (BACKGROUND, BACKGROUND, BACKGROUND, 255))
            return Image.alpha_composite(below, colours).convert("RGB"), True
    return image, False


def _is_deep(image: "Image") -> bool:
    return image.mode[0] in "IF"  # which Pillow's own conversion would clip instead of scaling


def _deep_values(image: "Image") -> NDArray[Any]:
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise ValueError("it has values that are not finite")
    return values


@contextmanager
def _open(path: Path) -> Iterator["Image"]:
    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings(action="ignore"):  # what is wrong with a file is said once, by us
        try:
            opened = Image.open(path, formats=FORMATS)
        except UnidentifiedImageError:  # whose text has the whole path
            raise ValueError("its content is of none of these formats") from None
        with opened as image:
            pixels = image.width * image.height
            if pixels > MOST_PIXELS:
                raise ValueError(f"it has {pixels / 1e6:,.0f} megapixels, more than {MOST_PIXELS / 1e6:.0f}")
            yield image


@contextmanager
def _noting(path: Path, broken: dict[Path, str]) -> Iterator[None]:
    """Notes the error of a file instead of raising it."""
    try:
        yield
    except Exception as error:  # on damaged files Pillow's readers fail in any way
        broken[path] = str(error) or type(error).__name__
