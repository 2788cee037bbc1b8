"""Images and labels: the embedded default, and the formats that a user's own data may have."""

from collections.abc import Callable
from pathlib import Path

from evaluators.datasets.dataset import Dataset, Parts, Split, complete
from evaluators.datasets.embedded import read_fashion_mnist
from evaluators.datasets.folder import read_folder
from evaluators.datasets.idx import is_idx_folder, read_idx_folder
from evaluators.datasets.npz import read_npz
from evaluators.datasets.resizing import squared
from search_spaces.errors import InvalidInput, unknown

DATASETS: dict[str, Callable[[], Parts]] = {"fashion-mnist": read_fashion_mnist}

_FORMS = "a .npz file, a folder of MNIST's IDX files, or a folder with a sub-folder of PNG or JPEG images per class"

__all__ = ["DATASETS", "Dataset", "Parts", "Split", "load_dataset"]


def load_dataset(name_or_path: str, *, seed: int = 0, resolution: int | None = None) -> Dataset:
    """Returns a data set by its name in `DATASETS`, else the one in a file or folder.

    Paths: a `.npz` file (`npz.py`), a folder of MNIST's IDX files (`idx.py`), or a folder of images (`folder.py`).

    Args:
        name_or_path: a name goes before a path; write `./name` for a folder of that name.
        seed: chooses the images of the parts that the data lack; see `complete`.
        resolution: height and width in pixels; by default the images' own if all are square and of one size, else 32.

    Raises:
        InvalidInput: unknown name, no such path, or data that break a rule of their format.
    """
    if name_or_path in DATASETS:
        name, parts = name_or_path, DATASETS[name_or_path]()
    else:
        path = Path(name_or_path)
        try:
            name, parts = path.resolve().name, _read(path, resolution)
        except OSError as error:
            raise InvalidInput(f"data must be readable, but got '{name_or_path}': {error}") from None
    return complete(name, squared(parts, resolution), seed)


def _read(path: Path, resolution: int | None) -> Parts:
    if path.is_dir():
        return read_idx_folder(path) if is_idx_folder(path) else read_folder(path, resolution)
    if path.is_file() and path.suffix == ".npz":
        return read_npz(path, str(path))
    if path.exists():
        raise InvalidInput(f"data must be {_FORMS}, but got '{path}'")
    raise InvalidInput(f"{unknown('data set', str(path), DATASETS)}, or an existing path: {_FORMS}")
