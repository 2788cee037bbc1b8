"""A network leaves: trained to the end, written for each format, compared, timed in a fresh process, certified."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from evaluators.datasets import Dataset
from evaluators.evaluator import Fidelity
from evaluators.machine.files import require_writable, whole_directory
from evaluators.networks.weights import Weights, initial_arrays
from evaluators.recipe import Recipe
from evaluators.runtimes import Options, Target, parse_target, require_installed, require_usable, runtime_of
from nas.export.certificate import (
    CERTIFICATE,
    Accuracy,
    Certificate,
    Comparison,
    Exported,
    File,
    Origin,
    RunBy,
    Training,
    assessed,
    digest,
    open_budgets,
    time_files,
    write_certificate,
)
from nas.export.formats import FORMATS, Format, Run, format_of
from nas.measuring.meters import counted
from nas.problem.budgets import Budgets
from nas.problem.candidate import accuracy_interval
from nas.run.monitor import Monitor
from search_spaces.architecture import Architecture
from search_spaces.errors import require, unknown

COMPARED_IMAGES = 200
RANDOM_IMAGES = 8  # without data; these may be as large as those that a network was published for


@dataclass(frozen=True)
class Order:
    """A network, its training to the end, and the budgets of its files.

    Attributes:
        name: what to call the network.
        architecture: the network.
        dataset: the data, fitting the network in channels and classes; None for a network that is delivered as it is.
        targets: canonical texts of the runtimes it is shipped on, at least one.
        budgets: what the files must meet.
        recipe: the training on training and validation images; of 0 epochs, the initial arrays stay as they are.
        formats: names of `FORMATS` to write besides those of the targets.
        initial: arrays by name to begin with; what is missing is drawn.
        origin: what the certificate says of where the network comes from.
        quiet_ms: what the reference model takes on each target when the machine is quiet, where that is known.
    """

    name: str
    architecture: Architecture
    dataset: Dataset | None
    targets: Sequence[str]
    budgets: Budgets
    recipe: Recipe
    formats: Sequence[str] = ()
    initial: Weights = field(default_factory=dict, repr=False)
    origin: Origin = field(default_factory=Origin)
    quiet_ms: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(self.dataset is not None or not self.recipe.epochs,
                f"training needs data, but got none for {self.recipe.epochs} epochs")


def require_deliverable(formats: Sequence[str], directory: Path | None) -> None:
    """Raises `InvalidInput` if files cannot be written so: to be called before anything that takes long.

    An unknown format, one whose runtime is not installed, a directory of something else than an export, or one that
    cannot be written.
    """
    for name in formats:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
        if (runtime := FORMATS[name].runtime) is not None:
            require_installed(runtime)
    if directory is not None:
        require(not directory.exists() or (directory / CERTIFICATE).is_file(), "an export goes to a new directory or "
                f"takes the place of another export, but got '{directory}'")
        require_writable(directory.parent, "the place of an export")


def deliver(order: Order, directory: Path, monitor: Monitor) -> Exported:
    """Returns the export of a network: its files and their certificate, which appear together or not at all.

    Raises:
        InvalidInput: an unknown format, or a directory of something else than an export.
    """
    require_deliverable(order.formats, directory)
    for target in order.targets:
        require_usable(parse_target(target))
    with whole_directory(directory) as temporary:
        arrays, training = _train_to_the_end(order, monitor)
        files = [_write(order, written, target, arrays, temporary, monitor)
                 for written, target in _wanted(order.targets, order.formats)]
        certificate = _certificate(order, arrays, files, training)
        monitor.progress("timing the files", 0, 1)
        certificate["timings"] = [time_files(temporary, order.architecture, files, order.quiet_ms)]
        certificate = assessed(certificate)
        write_certificate(temporary, certificate)
    return Exported(directory, certificate)


def _wanted(targets: Sequence[str], formats: Sequence[str]) -> list[tuple[Format, Target | None]]:
    """Returns the formats to write, each with the target that it is timed on; those of the search's targets first."""
    own = list(map(parse_target, targets))
    every = Options(own[0].options.threads, own[0].options.batch)  # what all runtimes heed
    found: list[tuple[Format, Target | None]] = [(format_of(target), target) for target in own]
    names = {written.name for written, _ in found}
    for further in (FORMATS[name] for name in dict.fromkeys(formats) if name not in names):
        target = Target(further.runtime, every) if further.runtime else None
        found.append((format_of(target) if target else further, target))
    return found


def _train_to_the_end(order: Order, monitor: Monitor) -> tuple[Weights, Training]:
    """Returns the arrays of the network after training on training and validation images."""
    from evaluators.training.train import Images, train

    recipe = order.recipe
    if order.dataset is None or not recipe.epochs:
        arrays = initial_arrays(order.architecture.program, recipe.seed)
        return arrays | order.initial, {"images": 0, "epochs": 0, "duration_s": 0.0}
    monitor.say(f"{order.name}: training for {recipe.epochs} epochs on training and validation images")
    both = order.dataset.train_and_validation
    trained = train(order.architecture, Images.put(both.images, both.labels, order.dataset), None,
                    Fidelity(recipe), initial=order.initial,
                    on_epoch=lambda epoch: monitor.progress("final training, epochs", epoch, recipe.epochs))
    return trained.arrays, {"images": len(both), "epochs": recipe.epochs, "duration_s": round(trained.duration_s, 1),
                            "compiled": trained.compiled}


def _metadata(order: Order) -> dict[str, str]:
    """Returns the texts that travel in a file: how images are prepared for it, and its classes."""
    architecture, dataset = order.architecture, order.dataset
    if dataset is None:
        return {"architecture": architecture.text}
    loaded, used = dataset.resolution, architecture.input.resolution
    shrunk = f", then to {used}x{used}" if used != loaded else ""
    return {
        "architecture": architecture.text,
        "classes": json.dumps(dataset.classes),
        "mean": json.dumps([round(float(value), 6) for value in dataset.mean]),
        "std": json.dumps([round(float(value), 6) for value in dataset.std]),
        "preprocessing": f"crop the middle square, resize to {loaded}x{loaded}{shrunk} (bilinear, antialiased), scale "
                         "to [0, 1], subtract mean, divide by std",
    }


def _write(order: Order, written: Format, target: Target | None, arrays: Weights, directory: Path, monitor: Monitor
           ) -> File:
    """Returns the certificate's entry of one format, having written, loaded and compared its file.

    Targets whose files are of one kind and precision share a file.
    """
    monitor.progress(f"writing and checking {written.name}", 0, 1)
    precision = target.options.precision if target else Options.precision
    path = directory / f"model{'' if precision == Options.precision else f'-{precision}'}{written.suffix}"
    if not path.exists():
        written.write(order.architecture, arrays, path, _metadata(order), _inputs(order, "train"))
    return {"format": written.name, "file": path.name, "size_bytes": path.stat().st_size, "sha256": digest(path),
            **_run_by(target), **_compared(written.load(path), order, arrays)}


def _run_by(target: Target | None) -> RunBy:
    """Returns the certificate's words on the runtime that a file is for, if it is for one."""
    if target is None:
        return {}
    runtime = runtime_of(target)
    return {"target": target.text, "input": runtime.input_layout, "versions": runtime.versions()}


def _compared(run_file: Run, order: Order, arrays: Weights) -> Comparison:
    """Returns how far the file's logits are from the Flax module's on test images, or random ones without data."""
    from evaluators.networks.network import Network

    inputs = _inputs(order, "test")
    expected = np.asarray(Network(order.architecture, arrays=arrays)(inputs))
    found = run_file(inputs)
    return {"compared_images": len(inputs),
            "max_abs_difference": float(np.abs(found - expected).max()),
            "largest_logit": float(np.abs(expected).max()),
            "top_class_agreement": float(np.mean(found.argmax(-1) == expected.argmax(-1)))}


def _inputs(order: Order, part: Literal["train", "test"]) -> np.ndarray:
    """Returns some images `[B, H, W, C]` as the network sees them, of a part of the data or random."""
    from evaluators.training.train import prepare

    architecture, dataset = order.architecture, order.dataset
    if dataset is None:
        shape = (RANDOM_IMAGES, *architecture.program.input_shape)
        return np.random.default_rng(order.recipe.seed).standard_normal(shape, np.float32)
    images = {"train": dataset.train, "test": dataset.test}[part].images
    return np.asarray(prepare(images[:COMPARED_IMAGES], tuple(map(float, dataset.mean)),
                              tuple(map(float, dataset.std)), architecture.input.resolution))


def _certificate(order: Order, arrays: Weights, files: list[File], training: Training) -> Certificate:
    """Returns the certificate of files that have not been timed yet."""
    architecture, dataset = order.architecture, order.dataset
    return {
        "budgets": open_budgets(order.budgets),
        "targets": list(order.targets),
        "architecture": architecture.text,
        "id": architecture.id,
        **order.origin,
        "accuracy": _accuracy(architecture, arrays, dataset) if dataset else None,
        "costs": {name: value for name, value in vars(counted(architecture)).items() if value},
        "files": files,
        "preprocessing": _metadata(order),
        "training": training,
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint, "split": dataset.split} if dataset else None,
        "timings": [],
    }


def _accuracy(architecture: Architecture, arrays: Weights, dataset: Dataset) -> Accuracy:
    from evaluators.training.logistic_regression import easy_accuracy
    from evaluators.training.train import Images, count_correct

    correct = count_correct(architecture, arrays, Images.put(dataset.test.images, dataset.test.labels, dataset))
    return {
        "test": correct / len(dataset.test), "test_ci": accuracy_interval(correct, len(dataset.test)),
        "images": len(dataset.test),
        "logistic_regression": easy_accuracy(dataset),
    }
