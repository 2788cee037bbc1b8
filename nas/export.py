"""The winner leaves: trained to the end, written for each format, compared, timed in a fresh process, certified."""

import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.checkpoint import save_network
from evaluators.datasets import Dataset, Split, load_dataset
from evaluators.files import write_whole
from evaluators.latency import Latency, measure_once
from evaluators.runtimes import Options, Target, parse_target, require_installed, runtime_of
from evaluators.weights import Weights
from nas.budget import Budgets, Costs, Limit, is_feasible
from nas.candidate import Candidate, accuracy_interval, winner
from nas.engine import Monitor, Silent
from nas.retiming import DECIDING, in_fresh_processes, retimed
from nas.run import RunDirectory, environment
from search_spaces.architecture import Architecture
from search_spaces.errors import InvalidInput, unknown

FLAX = "flax"
CERTIFICATE = "certificate.json"
MET, MISSED, DIFFERS, UNLIMITED = "met", "missed", "differs", "no budget"  # verdicts
FORMATS: dict[str, str | None] = {  # and the runtime that shows what a file computes
    "onnx": "onnxruntime", "litert": "litert", "stablehlo": "xla", FLAX: None}
UNITS = {"latency": "ms, upper end of the 95 % interval", "latency_p95": "ms, upper end of the 95 % interval",
         "throughput": "images per second, lower end of the 95 % interval", "macs": "count", "params": "count",
         "memory": "bytes", "size": "bytes"}
COMPARED_IMAGES = 200
LARGEST_DIFFERENCE = 1e-4  # of a file's logits from those of Flax, relative to the largest where that exceeds 1
LEAST_AGREEMENT = 0.9  # of the top class, where a file is quantised


@dataclass(frozen=True)
class Exported:
    """An export directory and what its certificate says."""

    directory: Path
    certificate: dict[str, Any]

    @property
    def met(self) -> bool:
        """Whether the targets' files compute what the network does and meet every budget there is."""
        return self.certificate["verdict"] in (MET, UNLIMITED)


def export_winner(run: RunDirectory, *, trial: int | None = None, budgets: Budgets | None = None,
                  formats: Sequence[str] = (), out: Path | None = None, epochs: int = 20,
                  monitor: Monitor | None = None) -> Exported:
    """Returns the exported winner of a run.

    Args:
        run: the run directory.
        trial: another candidate than the winner.
        budgets: other budgets than the run's; they may pick another winner.
        formats: names of `FORMATS`; those of the targets are always written.
        out: where to; by default `export` in the run directory, named after the budgets if they are not the run's.
        epochs: the length of the final training.
        monitor: what to report to.

    Raises:
        InvalidInput: unknown format or trial, no candidate within the budgets, or a directory of something else.
    """
    monitor = monitor or Silent()
    config, judged_by = run.config, budgets or run.budgets
    for name in formats:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
        if (runtime := FORMATS[name]) is not None:
            require_installed(runtime)
    if out is not None:
        _require_replaceable(out)
    dataset = load_dataset(config.data, seed=config.seed, resolution=run.resolved.resolution)
    if dataset.fingerprint != run.resolved.data_fingerprint:
        raise InvalidInput(f"an export needs the data of the search, but '{config.data}' has changed since")
    chosen = _of_trial(run, trial) if trial is not None else _confirmed_winner(run, judged_by, monitor)
    architecture = Architecture.parse(chosen.architecture)

    directory = out or run.path / ("export" if budgets is None and trial is None else f"export-{architecture.id}")
    _require_replaceable(directory)
    temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=_parent(directory)))
    try:
        monitor.say(f"trial {chosen.trial}: training for {epochs} epochs on training and validation images")
        arrays, training = _train_to_the_end(architecture, dataset, run, epochs, monitor)
        metadata = _metadata(architecture, dataset)
        files = [_write(name, architecture, arrays, dataset, temporary, metadata, target, run, monitor)
                 for name, target in _wanted(config.targets, formats)]
        certificate = _certificate(chosen, architecture, dataset, arrays, judged_by, files, config.targets, training)
        write_whole(temporary / CERTIFICATE, (json.dumps(certificate, indent=2) + "\n").encode())
        temporary.chmod(0o755)
        _replace(directory, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Exported(directory, certificate)


def judged(run: RunDirectory, budgets: Budgets) -> list[Candidate]:
    """Returns the candidates of a run as its own or other budgets judge them.

    Raises:
        InvalidInput: time is limited on a target that the search has not measured.
    """
    for target in budgets.timed:
        if target not in run.config.targets:
            raise InvalidInput(f"time is limited on targets of the search, {', '.join(run.config.targets)}, but got "
                               f"'{target}'")
    return [dataclasses.replace(candidate, violations=budgets.violations(candidate.costs))
            for candidate in run.candidates()]


def _wanted(targets: Sequence[str], formats: Sequence[str]) -> list[tuple[str, Target | None]]:
    """Returns the formats to write, each with the target that it is timed on; those of the search's targets first."""
    own = [(runtime_of(target).format, target) for target in map(parse_target, targets)]
    every = Options(own[0][1].options.threads, own[0][1].options.batch)  # what all runtimes heed
    further = [(name, Target(runtime, every) if (runtime := FORMATS[name]) else None)
               for name in dict.fromkeys(formats) if name not in dict(own)]
    return [*own, *further]


def _of_trial(run: RunDirectory, number: int) -> Candidate:
    for candidate in run.candidates():
        if candidate.trial == number:
            return candidate
    raise InvalidInput(f"a trial of the run is meant, but '{run.path}' has no trial {number}")


def _confirmed_winner(run: RunDirectory, budgets: Budgets, monitor: Monitor) -> Candidate:
    """Returns the best candidate that still meets the budgets when it is timed anew, before the long training.

    The later timing is recorded beside the trial, whether it falls out or not.
    """
    while True:
        best = winner(judged(run, budgets))
        if best is None:
            raise InvalidInput(f"an export needs a trained candidate within {budgets}, but '{run.path}' has none")
        if not budgets.timed:
            return best
        later = retimed(run, best, budgets, in_fresh_processes(run))
        if later.feasible:
            return later
        monitor.say(f"trial {best.trial} was timed again: {budgets.excess(later.costs)}, so the next best is taken")


def _train_to_the_end(architecture: Architecture, dataset: Dataset, run: RunDirectory, epochs: int, monitor: Monitor
                      ) -> tuple[Weights, dict[str, Any]]:
    """Returns the arrays of the architecture after training on training and validation images."""
    from evaluators.training import Images, Recipe, train

    recipe = Recipe(batch=run.config.batch, augmentation=run.config.augmentation)
    both = dataset.train_and_validation
    images = Images.put(both.images, both.labels, dataset)
    trained = train(architecture, images, None, recipe, epochs=epochs, seed=run.config.seed,
                    on_epoch=lambda epoch: monitor.progress("final training, epochs", epoch, epochs))
    return trained.arrays, {"images": len(both), "epochs": epochs, "duration_s": round(trained.duration_s, 1)}


def _metadata(architecture: Architecture, dataset: Dataset) -> dict[str, str]:
    """Returns what whoever runs the file must know."""
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


def _write(name: str, architecture: Architecture, arrays: Weights, dataset: Dataset, directory: Path,
           metadata: dict[str, str], target: Target | None, run: RunDirectory, monitor: Monitor) -> dict[str, Any]:
    """Returns the certificate's entry of one format, having written, loaded, compared and timed its file.

    Targets whose files are of one kind and precision share a file.
    """
    monitor.phase(0, f"writing and checking {name}")
    if target is None:
        path = directory / "model.safetensors"
        save_network(architecture, arrays, path, metadata)
        return _described(name, path) | _compared_flax(path, architecture, arrays, dataset)
    runtime = runtime_of(target)
    precision = target.options.precision
    path = directory / f"model{'' if precision == Options.precision else f'-{precision}'}{runtime.suffix}"
    if not path.exists():
        runtime.write(architecture, arrays, path, metadata, _inputs(architecture, dataset.train, dataset))
    session = runtime.load(path, target.options)
    latency = measure_once(target, path, _shape(architecture), DECIDING, quiet_ms=run.quiet_ms().get(target.text))
    run_by = {"target": target.text, "input": runtime.input_layout, "versions": runtime.versions()}
    return (_described(name, path) | run_by | _compared(session.run, architecture, arrays, dataset)
            | {"latency": dataclasses.asdict(latency)})


def _described(name: str, path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"format": name, "file": path.name, "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest()}


def _compared_flax(path: Path, architecture: Architecture, arrays: Weights, dataset: Dataset) -> dict[str, Any]:
    from evaluators.checkpoint import load_network

    network = load_network(path)
    return _compared(lambda images: np.asarray(network(images)), architecture, arrays, dataset)


def _compared(run_file: Any, architecture: Architecture, arrays: Weights, dataset: Dataset) -> dict[str, Any]:
    """Returns how far the file's logits are from the Flax module's on real images."""
    from evaluators.network import Network

    inputs = _inputs(architecture, dataset.test, dataset)
    expected = np.asarray(Network(architecture, arrays=arrays)(inputs))
    found = run_file(inputs)
    return {"compared_images": len(inputs),
            "max_abs_difference": float(np.abs(found - expected).max()),
            "largest_logit": float(np.abs(expected).max()),
            "top_class_agreement": float(np.mean(found.argmax(-1) == expected.argmax(-1)))}


def _inputs(architecture: Architecture, split: Split, dataset: Dataset) -> np.ndarray:
    """Returns some images of a split `[B, H, W, C]` as the network sees them."""
    from evaluators.training import prepare

    return np.asarray(prepare(split.images[:COMPARED_IMAGES], tuple(map(float, dataset.mean)),
                              tuple(map(float, dataset.std)), architecture.input.resolution))


def _certificate(chosen: Candidate, architecture: Architecture, dataset: Dataset, arrays: Weights, budgets: Budgets,
                 files: list[dict[str, Any]], targets: Sequence[str], training: dict[str, Any]
                 ) -> dict[str, Any]:
    from evaluators.baseline import easy_accuracy
    from evaluators.training import Images, count_correct

    own = files[:len(targets)]
    costs = Costs(architecture.macs, architecture.params, architecture.memory_bytes,
                  max(entry["size_bytes"] for entry in own),
                  {entry["target"]: Latency(**entry["latency"]) for entry in own})
    violations = budgets.violations(costs)
    correct = count_correct(architecture, arrays, Images.put(dataset.test.images, dataset.test.labels, dataset))
    return {
        "verdict": _verdict(own, violations),
        "budgets": {name: _budget_entry(limit, costs) for name, limit in budgets.limits.items()},
        "targets": list(targets),
        "architecture": architecture.text,
        "id": architecture.id,
        "trial": chosen.trial,
        "accuracy": {
            "test": correct / len(dataset.test), "test_ci": accuracy_interval(correct, len(dataset.test)),
            "images": len(dataset.test),
            "logistic_regression": easy_accuracy(dataset),
            "validation_in_search": chosen.accuracy,
        },
        "costs": {"macs": costs.macs, "params": costs.params, "memory_bytes": costs.memory_bytes},
        "files": files,
        "preprocessing": _metadata(architecture, dataset),
        "training": training,
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint, "split": dataset.split},
        "environment": environment(),
    }


def _verdict(files: Sequence[Mapping[str, Any]], violations: Mapping[str, float]) -> str:
    """Returns the verdict on the targets' files: a file that computes something else has none of the merits."""
    if not all(map(_computes_the_network, files)):
        return DIFFERS
    if not violations:
        return UNLIMITED
    return MET if is_feasible(violations) else MISSED


def _computes_the_network(entry: Mapping[str, Any]) -> bool:
    if parse_target(entry["target"]).options.precision != Options.precision:
        return entry["top_class_agreement"] >= LEAST_AGREEMENT
    return entry["max_abs_difference"] <= LARGEST_DIFFERENCE * max(1.0, entry["largest_logit"])  # NaN does not


def _budget_entry(limit: Limit, costs: Costs) -> dict[str, Any]:
    on = {"target": limit.target} if limit.target is not None else {}
    return {"quantity": limit.quantity, **on, "limit": limit.value,
            "measured": costs.judged(limit.quantity, limit.target), "unit": UNITS[limit.quantity],
            "met": limit.violation(costs) <= 0}


def _shape(architecture: Architecture) -> tuple[int, int, int]:
    return architecture.program.input_shape


def _require_replaceable(directory: Path) -> None:
    """Raises `InvalidInput` if an export to the directory would remove something else than an earlier export."""
    if directory.exists() and not (directory / CERTIFICATE).is_file():
        raise InvalidInput("an export goes to a new directory or takes the place of another export, but got "
                           f"'{directory}'")


def _replace(directory: Path, new: Path) -> None:
    """Moves an export to its place; what was there before is removed last."""
    old = new.with_name(f"{new.name}.old")
    if directory.exists():
        directory.replace(old)
    try:
        new.replace(directory)
    except OSError:
        if old.exists():
            old.replace(directory)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _parent(directory: Path) -> Path:
    directory.parent.mkdir(parents=True, exist_ok=True)
    return directory.parent
