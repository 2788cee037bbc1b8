"""Data sets in folders of images: one sub-folder a class, perhaps under `train`, `val` and `test`."""

import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evaluators.datasets.dataset import MOST_NAMED, PART_NAMES, Parts, Split, listed, unknown_class
from evaluators.datasets.images import FORMATS, Images, is_image, read_images
from search_spaces.errors import require
from search_spaces.numbers import count_of

_MEANT_AS_PART = re.compile(rf"({'|'.join(PART_NAMES)})(sets?)?([\W\d_].*)?", re.IGNORECASE)

Files = dict[str, list[tuple[Path, int]]]  # the images of each part and their labels


@dataclass
class _Listing:
    """The images in the class folders of all parts, and how much else was there."""

    classes: dict[str, int] = field(default_factory=dict)
    files: Files = field(default_factory=dict)
    others: int = 0
    without_class: int = 0
    without_images: int = 0

    @property
    def passed_over(self) -> str:
        counts = ((self.others, "file that is no image", "files that are no images"),
                  (self.without_class, "image in no class folder", "images in no class folder"),
                  (self.without_images, "folder without images", "folders without images"))
        return ", ".join(count_of(*count) for count in counts if count[0])


def read_folder(root: Path, resolution: int | None, *, skip_broken: bool = False) -> Parts:
    """Returns the parts in a folder of images, as they would be whatever the order of the listing.

    Classes are the names of the sub-folders, sorted, in Unicode's composed form (NFC), so that a name is one class
    however it is written; names that begin with a dot are passed over. See `read_images` for the pixels.

    Args:
        root: the folder.
        resolution: height and width in pixels; None for the images' own, see `choose_resolution`.
        skip_broken: whether files that are no intact images are left out.

    Raises:
        InvalidInput: no classes, a class without training images, a part without classes, broken images.
    """
    listing = _Listing()
    folders = _part_folders(root)
    for part in sorted(folders, key="training".__ne__):  # first, since it has the classes
        _list_images(folders[part], part, listing)
    files, classes = listing.files, tuple(listing.classes)
    images = _read(files, resolution)
    skipped = tuple(path.relative_to(root).as_posix() for path in images.broken)
    if skipped:
        require(skip_broken, _report(root, skipped, images))
        files = {part: [(path, label) for path, label in labelled if path not in images.broken]
                 for part, labelled in files.items()}
        _require_some_left(files, classes, root)
        images = _read(files, resolution)  # once more, since size and channels are those of the intact ones
    splits = {part: Split(pixels, np.array([label for _, label in files[part]], np.int32))
              for part, pixels in images.pixels.items()}
    return Parts(classes, splits["training"], splits.get("validation"), splits.get("test"),
                 images.changes, skipped, listing.passed_over)


def _read(files: Files, resolution: int | None) -> Images:
    return read_images({part: [path for path, _ in labelled] for part, labelled in files.items()}, resolution)


def _part_folders(root: Path) -> dict[str, Path]:
    """Returns the folder of each part; without a training part that has class folders, the root is that part."""
    folders = [folder for folder in _folders(root)  # others, as of annotations, do not matter
               if _part_of(folder) or _has_images(folder)]
    if not any(_part_of(folder) == "training" and _class_folders(folder) for folder in folders):
        require(not all(_MEANT_AS_PART.fullmatch(folder.name) for folder in folders),
                f"a folder of images must have a sub-folder for every class, in itself or in its train/, but '{root}' "
                f"has {_found(root, folders)}")
        return {"training": root}
    parts: dict[str, Path] = {}
    for folder in folders:
        part = _part_of(folder)
        require(part is not None, "beside train/ a folder of images may have val/ (or valid/, validation/) and test/, "
                f"but '{root}' has {folder.name}/ with images")
        assert part is not None
        require(part not in parts, f"a folder of images has one {part} part, but '{root}' has "
                f"{parts.get(part, folder).name}/ and {folder.name}/")
        parts[part] = folder
    return parts


def _list_images(part_folder: Path, part: str, listing: _Listing) -> None:
    """Adds the images of a part to a listing; those of the training part come first and name the classes."""
    files = listing.files.setdefault(part, [])
    loose = [path for path in _visible(part_folder) if not path.is_dir() and is_image(path)]
    for folder in _folders(part_folder):
        nested = _class_folders(folder)
        require(not nested, f"the folder of a class must hold its images itself, but '{folder}' has them in "
                f"{listed([sub.name for sub in nested])}")
        entries = _visible(folder)
        paths = [path for path in entries if not path.is_dir() and is_image(path)]
        listing.others += sum(not path.is_dir() for path in entries) - len(paths)
        listing.without_images += not paths
        if not paths:
            continue
        name = unicodedata.normalize("NFC", folder.name)
        if part == "training":
            listing.classes.setdefault(name, len(listing.classes))
        if name not in listing.classes:
            raise unknown_class(part, folder.name, str(part_folder))
        files += [(path, listing.classes[name]) for path in paths]
    require(bool(files), f"the {part} part must have a sub-folder of images for every class, but '{part_folder}' has "
            f"{count_of(len(loose), 'image') + ' but no classes' if loose else 'no images'}")
    listing.without_class += len(loose)


def _report(root: Path, skipped: tuple[str, ...], images: Images) -> str:
    reasons = [f"{name} ({reason})" for name, reason in zip(skipped, images.broken.values(), strict=True)]
    return (f"images must be intact {', '.join(FORMATS[:-1])} or {FORMATS[-1]} files, but {len(skipped):,} of "
            f"{sum(map(len, images.pixels.values())):,} in '{root}' are not: {listed(reasons)}; --skip-broken leaves "
            "them out")


def _require_some_left(files: Files, classes: tuple[str, ...], root: Path) -> None:
    for part, labelled in files.items():
        require(bool(labelled), f"every part must have intact images, but those of the {part} part of '{root}' are all "
                "broken")
    left = {label for _, label in files["training"]}
    lost = [name for label, name in enumerate(classes) if label not in left]
    require(not lost, f"every class must have intact training images, but those of {listed(lost)} in '{root}' are all "
            "broken")


def _found(root: Path, folders: list[Path]) -> str:
    """Returns the content of a folder without class folders, in words."""
    counts = [(f"{folder.name}/ with ", folder) for folder in folders[:MOST_NAMED]] or [("", root)]
    texts = []
    for name, folder in counts:
        inside = _class_folders(folder)
        texts.append(f"{name}folders {listed([sub.name for sub in inside])}" if inside else
                     name + count_of(sum(not path.is_dir() and is_image(path) for path in _visible(folder)), "image"))
    return " and ".join(texts) + (" and no class folders" if not folders else "")


def _part_of(folder: Path) -> str | None:
    return PART_NAMES.get(folder.name.lower())


def _class_folders(folder: Path) -> list[Path]:
    return [sub for sub in _folders(folder) if _has_images(sub)]


def _has_images(folder: Path) -> bool:
    """Tells whether there are images in a folder or in those below it; links to folders are followed no further."""
    entries = _visible(folder)
    return (any(not path.is_dir() and is_image(path) for path in entries)
            or any(path.is_dir() and not path.is_symlink() and _has_images(path) for path in entries))


def _visible(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)


def _folders(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir()]
