"""Teachers of a training as a user names them: files of trained networks, and candidates of the run."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from evaluators.datasets import Dataset
from evaluators.datasets.dataset import listed
from evaluators.machine.files import at_home
from evaluators.networks.checkpoint import load_with_texts
from evaluators.recipe import Recipe
from evaluators.training.teacher import Normalisation, Teacher
from nas.export.certificate import digest
from nas.export.named_network import WEIGHTS_SUFFIX
from search_spaces.documents import refused
from search_spaces.errors import InvalidInput, require
from search_spaces.numbers import count_of, is_whole

FRONT = "front"
OfFront = Callable[[int], Sequence[Teacher]]  # gives so many of the most accurate candidates of a run, trained


def teachers_named(names: Sequence[str], dataset: Dataset | None, recipe: Recipe, of_front: OfFront | None = None
                   ) -> tuple[Teacher, ...]:
    """Returns the teachers of a training, which together are an ensemble.

    Args:
        names: of files; of networks whose weights `nas import-weights` has written to its file here; or `front:N`, the
            N most accurate candidates of the run, one for `front`.
        dataset: the data of the training.
        recipe: that of the training.
        of_front: gives candidates of the run, if there is one.

    Raises:
        InvalidInput: no data, no training, no such file, no run, or a network of other channels or classes than the
            data; no teacher for a recipe that says how far it counts.
    """
    if not names:
        for name, value in recipe.teaching.items():
            require(value == getattr(Recipe, name),
                    f"`{name}` is of a training with a teacher, but got {value:g} without")
        return ()
    require(recipe.epochs > 0, f"a teacher needs a training, but got {', '.join(names)} for 0 epochs")
    require(dataset is not None, f"a teacher needs images to predict, but got {', '.join(names)} without data")
    assert dataset is not None
    counts = [front_count(name) for name in names]  # wrong ones are found before anything is trained
    files = {name: teacher_in_file(name, dataset) for name, count in zip(names, counts, strict=True) if not count}
    found: list[Teacher] = []
    for name, count in zip(names, counts, strict=True):
        if count and of_front is None:
            raise InvalidInput(f"candidates of a run teach in its exports, but got '{name}' without a run")
        found.extend(of_front(count) if count and of_front else [files[name]])
    return tuple(found)


def as_names(teacher: str | Sequence[str]) -> tuple[str, ...]:
    """Returns the names of teachers, of one or several."""
    return (teacher,) if isinstance(teacher, str) else tuple(teacher)


def front_count(name: str) -> int:
    """Returns the number of candidates of a run that a name means, 0 if it is that of a network.

    >>> front_count("front"), front_count("front:3"), front_count("front.safetensors")
    (1, 3, 0)
    """
    head, colon, count = name.partition(":")
    if head != FRONT:
        return 0
    require(not colon or (is_whole(count) and int(count) >= 1),
            f"`{FRONT}:N` takes a number of candidates, at least 1, but got '{name}'")
    return int(count) if colon else 1


def teacher_in_file(name: str, dataset: Dataset) -> Teacher:
    """Returns the trained network in a file, or that of the name for which weights were imported, as a teacher.

    Raises:
        InvalidInput: no such file, or a network of other channels or classes than the data.
    """
    path = at_home(name)
    if not name.endswith(WEIGHTS_SUFFIX):
        path = Path(f"{name.replace(':', '-')}.imported{WEIGHTS_SUFFIX}")  # as `nas import-weights` calls it
        require(path.is_file(), f"a teacher is {FRONT}, a {WEIGHTS_SUFFIX} file, or the name of a network whose "
                f"weights `nas import-weights` has read, but got '{name}' and there is no '{path}'")
    architecture, arrays, texts = load_with_texts(path)
    found = f"{count_of(architecture.input.channels, 'channel')} and {architecture.classes} classes"
    require((architecture.input.channels, architecture.classes) == (dataset.channels, len(dataset.classes)),
            f"a trained network is used on data of its channels and classes, but '{path}' has {found}, and "
            f"'{dataset.name}' {dataset.channels} and {len(dataset.classes)}")
    with refused(f"the texts of a network must be as an export has written them, but got '{path}'"):
        classes = json.loads(texts["classes"]) if "classes" in texts else list(dataset.classes)
        normalisation = _normalisation(texts, dataset.channels) if "mean" in texts else None
    require(classes == list(dataset.classes), f"a trained network is used on data of its classes, but '{path}' has "
            f"{listed(classes)}, and '{dataset.name}' {listed(dataset.classes)}")
    return Teacher(path.name, architecture, arrays, digest(path), normalisation)


def _normalisation(texts: dict[str, str], channels: int) -> Normalisation:
    """Returns mean and deviation of images from the texts of a file; raises ValueError, KeyError or TypeError."""
    mean, std = (np.array(json.loads(texts[name]), float) for name in ("mean", "std"))
    if mean.shape != (channels,) or std.shape != (channels,) or not (np.isfinite(mean).all() and (std > 0).all()):
        raise ValueError(f"mean {mean.tolist()} and std {std.tolist()} do not fit {channels} channels")
    return tuple(mean.tolist()), tuple(std.tolist())
