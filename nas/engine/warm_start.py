"""Warm start: published networks, texts of architectures and the trainings of another run come first."""

import dataclasses
import os
from collections.abc import Iterator

from evaluators.datasets import Dataset
from evaluators.recipe import UNTAUGHT
from evaluators.runtimes.target import FLOAT32
from nas.run.artefacts import SUFFIX, WEIGHTS
from nas.run.config import BY_HAND, FILLED, SearchConfig, is_run
from nas.run.directory import Resolved, RunDirectory
from nas.trials.record import Start
from search_spaces.architecture import SEPARATOR, Architecture
from search_spaces.errors import InvalidInput, require
from search_spaces.numbers import count_of
from search_spaces.zoo import load_network

TRAINED_ALIKE = ("evaluator", "metric", "precision", "epochs", "batch", "augmentation",
                 *UNTAUGHT)  # what makes accuracies of two runs comparable


def starts(config: SearchConfig, dataset: Dataset, resolved: Resolved | None = None) -> list[Start]:
    """Returns the architectures to evaluate first, each once.

    A published network is put to the data, a text taken as it is. A run directory stands for all that was trained to
    the end there: its accuracies are taken over, while what it costs is measured on the targets of this search. The
    networks that fill the budgets come last, once these are resolved.

    Raises:
        InvalidInput: unknown name, wrong text, an architecture that does not fit the data, or a run that has trained
            otherwise, or on other data, than this search.
    """
    found: dict[str, Start] = {}
    for name in (one for one in config.start if one not in (BY_HAND, FILLED)):
        for start in _of_run(name, config, dataset) if _is_run(name) else [Start(_network(name, dataset))]:
            if start.trained or start.architecture.text not in found:
                found[start.architecture.text] = start
    for text in (*resolved.by_hand, *resolved.filled) if resolved else ():
        found.setdefault(text, Start(Architecture.parse(text)))
    return list(found.values())


def epochs_of_starts(config: SearchConfig) -> int | None:
    """Returns the epochs of the first run that a search starts from; None where there is no such run."""
    return next((RunDirectory.existing(name).config.epochs for name in config.start if _is_run(name)), None)


def _is_run(name: str) -> bool:
    """Tells whether a start names a run directory, be it there or not."""
    return is_run(name) or (os.sep in name and SEPARATOR not in name)


def _network(name: str, dataset: Dataset) -> Architecture:
    fitted = {"resolution": dataset.resolution, "channels": dataset.channels, "classes": len(dataset.classes)}
    architecture = Architecture.parse(name) if SEPARATOR in name else load_network(name, **fitted)
    require((architecture.input.channels, architecture.classes) == (dataset.channels, len(dataset.classes)),
            f"a start must take {count_of(dataset.channels, 'channel')} and tell {len(dataset.classes)} classes apart, "
            f"but got {architecture.input.channels} and {architecture.classes} in '{name}'")
    return architecture


def _of_run(name: str, config: SearchConfig, dataset: Dataset) -> Iterator[Start]:
    """Yields the architectures that were trained to the end in a run."""
    run = RunDirectory.existing(name)
    there, resolved = run.config, run.resolved
    here = dataclasses.replace(resolved, resolution=dataset.resolution, channels=dataset.channels,
                               classes=len(dataset.classes), data_fingerprint=dataset.fingerprint,
                               data_split=dataset.split)
    differences = [f"{field} is {getattr(there, field)!r} there, {getattr(config, field)!r} here"
                   for field in TRAINED_ALIKE if getattr(there, field) != getattr(config, field)]
    if config.precision != FLOAT32 and there.targets[0] != config.targets[0]:
        differences.append(f"scores are of files for {there.targets[0]} there, {config.targets[0]} here")
    differences += resolved.differences(here)
    if differences:
        raise InvalidInput(f"a run to start from must have trained as this search does, but '{name}' differs: "
                           + "; ".join(differences))
    for candidate in run.trainings():
        architecture = Architecture.parse(candidate.architecture)
        yield Start(architecture, dataclasses.replace(candidate, taken_from=name),
                    run.place(WEIGHTS, f"{architecture.id}{SUFFIX}"))
