"""Images and labels: the embedded default, and the formats that a user's own data may have."""

from collections.abc import Callable
from pathlib import Path

from evaluators.datasets.dataset import Dataset, Parts, Split, complete, require_distinct_images
from evaluators.datasets.embedded import read_fashion_mnist
from evaluators.datasets.folder import read_folder
from evaluators.datasets.idx import is_idx_folder, read_idx_folder
from evaluators.datasets.metrics import ACCURACY, require_metric
from evaluators.datasets.npz import read_npz
from evaluators.datasets.resizing import squared
from evaluators.machine.files import at_home
from search_spaces.errors import InvalidInput, unknown

DATASETS: dict[str, Callable[[], Parts]] = {"fashion-mnist": read_fashion_mnist}

_FORMS = "a .npz file, a folder of MNIST's IDX files, or a folder with a sub-folder of images per class"

__all__ = ["DATASETS", "Dataset", "Parts", "Split", "load_dataset"]


def load_dataset(name_or_path: str, *, seed: int = 0, resolution: int | None = None, skip_broken: bool = False,
                 metric: str = ACCURACY) -> Dataset:
    """Returns a data set by its name in `DATASETS`, else the one in a file or folder.

    Paths: a `.npz` file (`npz.py`), a folder of MNIST's IDX files (`idx.py`), or a folder of images (`folder.py`);
    docs/data.md has all that is accepted.

    Args:
        name_or_path: a name goes before a path; write `./name` for a folder of that name.
        seed: chooses the images of the parts that the data lack; see `complete`.
        resolution: height and width in pixels; by default the images' own if all are square and of one size, else 32.
        skip_broken: whether image files that are not intact are left out, which the split says.
        metric: by which networks are judged, a name of `evaluators.datasets.metrics.METRICS`.

    Raises:
        InvalidInput: unknown name, no such path, data that break a rule of their format, a part of images between
            which there is no difference, or a metric that is unknown or for more classes.
    """
    require_metric(metric)
    if name_or_path in DATASETS:
        name, parts = name_or_path, DATASETS[name_or_path]()
    else:
        path = at_home(name_or_path)
        try:
            name, parts = path.resolve().name, _read(path, resolution, skip_broken)
        except OSError as error:
            raise InvalidInput(f"data must be readable, but got '{name_or_path}': {error}") from None
    parts = squared(parts, resolution)
    require_distinct_images(parts, name_or_path)
    return complete(name, parts, seed, metric)


def _read(path: Path, resolution: int | None, skip_broken: bool) -> Parts:
    if path.is_dir():
        return (read_idx_folder(path) if is_idx_folder(path) else
                read_folder(path, resolution, skip_broken=skip_broken))
    if path.is_file() and path.suffix.lower() == ".npz":
        return read_npz(path, str(path))
    if path.exists():
        raise InvalidInput(f"data must be {_FORMS}, but got '{path}'")
    raise InvalidInput(f"{unknown('data set', str(path), DATASETS)}, or an existing path: {_FORMS}")
