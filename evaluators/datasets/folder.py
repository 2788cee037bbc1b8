"""Data sets in folders of PNG and JPEG images: one sub-folder a class, perhaps under `train`, `val` and `test`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluators.datasets.dataset import Parts, Split, unknown_class
from evaluators.datasets.resizing import choose_resolution, square
from search_spaces.errors import InvalidInput, require

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
_PARTS = {"train": "training", "val": "validation", "validation": "validation", "test": "test"}

Files = list[tuple[Path, int]]  # an image and its label


def read_folder(root: Path, resolution: int | None) -> Parts:
    """Returns the parts in a folder of images, as they would be whatever the order of the listing.

    Classes are the names of the sub-folders, sorted; names that begin with a dot are passed over. Images are turned
    upright as their EXIF data say and made square (see `square`) at the given resolution, else at their own if they are
    all square and of one size, else at 32 pixels. They have one channel if all are grey, else three; transparency is
    dropped, and of 16 bits the upper 8 are kept.

    Raises:
        InvalidInput: no classes, an empty class, a class without training images, a file that is not an intact image.
    """
    folders = _part_folders(root)
    classes = tuple(folder.name for folder in _folders(folders["training"]))
    require(bool(classes),
            f"a folder of images must have a sub-folder for every class, but '{folders['training']}' has none")
    files = {part: _list_images(folder, part, classes) for part, folder in folders.items()}
    sizes, grey = set(), True
    for listed in files.values():
        for path, _ in listed:
            with _open(path) as image:
                sizes.add(image.size)
                grey = grey and _is_grey(image)
    chosen, mode = choose_resolution(sizes, resolution), "L" if grey else "RGB"
    splits = {part: _read_images(listed, chosen, mode) for part, listed in files.items()}
    return Parts(classes, splits["training"], splits.get("validation"), splits.get("test"))


def _part_folders(root: Path) -> dict[str, Path]:
    """Returns the folder of each part; without a `train` that has sub-folders, the root is the training part."""
    folders = _folders(root)
    if not any(folder.name == "train" and _folders(folder) for folder in folders):
        return {"training": root}
    parts: dict[str, Path] = {}
    for folder in folders:
        require(folder.name in _PARTS, "beside train/ a folder of images may have val/ (or validation/) and test/, but "
                f"'{root}' has {folder.name}/")
        part = _PARTS[folder.name]
        require(part not in parts, f"a folder of images has one {part} part, but '{root}' has val/ and validation/")
        parts[part] = folder
    return parts


def _list_images(part_folder: Path, part: str, classes: tuple[str, ...]) -> Files:
    files: Files = []
    for folder in _folders(part_folder):
        if folder.name not in classes:
            raise unknown_class(part, folder.name, str(part_folder))
        paths = _visible(folder)
        require(bool(paths), f"the folder of a class must hold images, but '{folder}' is empty")
        for path in paths:
            require(path.is_file() and path.suffix.lower() in SUFFIXES, "the folder of a class must hold images only "
                    f"({', '.join(SUFFIXES)}), but has '{path}'")
        label = classes.index(folder.name)
        files += [(path, label) for path in paths]
    require(bool(files), f"every part must hold images, but '{part_folder}' has none")
    return files


def _read_images(files: Files, resolution: int, mode: str) -> Split:
    from PIL import Image, ImageOps

    images = np.empty((len(files), resolution, resolution, len(mode)), np.uint8)
    for (path, _), pixels in zip(files, images, strict=True):
        with _open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):  # 16 bits, which Pillow's own conversion would clip instead of scaling
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            pixels[:] = np.asarray(square(image.convert(mode), resolution)).reshape(pixels.shape)
    return Split(images, np.array([label for _, label in files], np.int32))


@contextmanager
def _open(path: Path) -> Iterator["Image"]:
    """Yields the image in a file; what goes wrong while it is open is said of the file."""
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidInput(f"an image must be an intact PNG or JPEG file, but '{path}' is not: {error}") from None


def _is_grey(image: "Image") -> bool:
    return image.mode in ("1", "L", "LA") or image.mode.startswith("I")


def _visible(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)


def _folders(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir()]
