"""The certificate of an export: the latency of its files each time they were timed, and whether it meets the budgets.

Every timing is one pass over the files in processes that have timed nothing else. A budget of time is judged by the
median over all passes of the upper end of the 95 % interval, in raw milliseconds: neither a lucky pass nor one on a
busy machine decides alone. Beside each latency stands what the reference model took meanwhile.

The files for a device that only a table of timed networks tells of cannot be timed: their latency is predicted. That is
said wherever it stands, and such files are never certified, only predicted to meet their budgets.
"""

import dataclasses
import hashlib
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from evaluators.latency import Latency
from evaluators.machine.files import require_writable, write_whole
from evaluators.runtimes import Options, is_predicting, parse_target, runtime_of
from evaluators.timing.meter import measure_once
from nas.measuring.remeasuring import DECIDING
from nas.problem.budgets import Budgets, Limit
from nas.problem.costs import Costs
from nas.problem.quantities import QUANTITIES
from nas.run.environment import environment
from nas.run.monitor import Monitor, Silent
from search_spaces.architecture import Architecture
from search_spaces.errors import InvalidInput, require

CERTIFICATE = "certificate.json"
MET, PREDICTED, MISSED, DIFFERS, UNLIMITED = "met", "predicted", "missed", "differs", "no budget"  # verdicts
LARGEST_DIFFERENCE = 1e-4  # of a file's logits from those of Flax, relative to the largest where that exceeds 1
LEAST_AGREEMENT = 0.9  # of the top class, where a file is quantised


class Comparison(TypedDict):
    """The agreement of a file with the network."""

    compared_images: int
    max_abs_difference: float  # of a logit
    largest_logit: float  # of the network
    top_class_agreement: float  # the share of images, in [0, 1]


class RunBy(TypedDict, total=False):
    """The runtime that a file is for, if it is for one."""

    target: str
    input: str  # type and axes, in words
    versions: dict[str, str]  # of the libraries that have run it


class File(Comparison, RunBy):
    """A file of an export."""

    format: str
    file: str  # its name in the directory
    size_bytes: int
    sha256: str


class BudgetEntry(TypedDict):
    """A limit, and the median over all timings that is compared with it."""

    quantity: str
    target: NotRequired[str]
    limit: float
    unit: str
    measured: NotRequired[float]  # or, where the latency is no more than that,
    predicted: NotRequired[float]
    met: NotRequired[bool]


class Timing(TypedDict):
    """One pass over the files."""

    environment: dict[str, Any]
    latencies: dict[str, dict[str, Any]]  # the fields of a `Latency` and its raw times, by target


class Accuracy(TypedDict):
    """The accuracy on test images, a share in [0, 1]."""

    test: float
    test_ci: tuple[float, float]
    images: int
    logistic_regression: float  # of a simple rival


class Training(TypedDict):
    """The training to the end; of 0 epochs where there was none."""

    images: int
    epochs: int
    duration_s: float
    compiled: NotRequired[str]


class Data(TypedDict):
    """The images that the network was trained and tested on."""

    name: str
    fingerprint: str
    split: str


class Origin(TypedDict, total=False):
    """Where a network comes from: a trial of a search, or its name."""

    trial: int
    validation_accuracy_in_search: float | None
    network: str


class Certificate(Origin):
    """All that `certificate.json` says, in its order but for the verdict."""

    budgets: dict[str, BudgetEntry]
    targets: list[str]
    architecture: str
    id: str
    accuracy: Accuracy | None
    costs: dict[str, int]  # those that follow from the text of the architecture, by their fields in `Costs`
    files: list[File]
    preprocessing: dict[str, str]
    training: Training
    data: Data | None
    timings: list[Timing]
    verdict: NotRequired[str]


@dataclass(frozen=True)
class Exported:
    """An export directory and its certificate."""

    directory: Path
    certificate: Certificate

    @property
    def met(self) -> bool:
        """Whether the targets' files compute as the network does and meet every budget there is, or are predicted to.

        Only the verdict `MET` says that they were timed.
        """
        return self.certificate["verdict"] in (MET, PREDICTED, UNLIMITED)


def certify(directory: Path, *, times: int = 2, apart_s: float = 0.0, monitor: Monitor | None = None) -> Exported:
    """Times the files of an export again, and returns it; each timing is written to its certificate at once.

    Args:
        directory: where the export is.
        times: how often to time.
        apart_s: how long to wait in between.
        monitor: what to report to.

    Raises:
        InvalidInput: no export is there, a file is not the one that was exported, or none can be timed here.
        MeasurementFailed: a file cannot be timed; earlier timings are kept.
    """
    monitor = monitor or Silent()
    require(times >= 1, f"`times` must be at least 1, but got {times}")
    targets = read_export(directory).certificate["targets"]
    require(not all(is_predicting(runtime_of(parse_target(target))) for target in targets),
            f"files are timed where they run, but what is known of {', '.join(targets)} is a table")
    require_writable(directory, "the directory of an export")
    for number in range(times):
        _wait(apart_s if number else 0.0, monitor)
        monitor.progress("timing the files, pass", number, times)
        certificate = read_export(directory).certificate
        certificate["timings"].append(time_files(directory, Architecture.parse(certificate["architecture"]),
                                                 certificate["files"], _quiet_ms(certificate)))
        write_certificate(directory, assessed(certificate))
    return read_export(directory)


def read_export(directory: Path) -> Exported:
    """Returns an export; raises `InvalidInput` if it is none, or a file of it has changed since."""
    path = directory / CERTIFICATE
    require(path.is_file(), f"an export holds {CERTIFICATE}, but '{directory}' does not")
    try:
        certificate = from_json(path.read_bytes())
        files = [(entry["file"], entry["sha256"]) for entry in certificate["files"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{CERTIFICATE} must be as an export has written it, but '{path}' is not: "
                           f"{type(error).__name__}: {error}") from None
    for name, expected in files:
        file = directory / name
        require(file.is_file() and digest(file) == expected, "a certificate is about the files that were exported with "
                f"it, but '{file}' is another or missing")
    return Exported(directory, certificate)


def from_json(content: bytes) -> Certificate:
    """Returns a certificate as it was written.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is none.
    """
    certificate: Certificate = json.loads(content)
    assessed(certificate)
    Architecture.parse(certificate["architecture"])
    return certificate


def to_json(certificate: Certificate) -> bytes:
    """Returns a certificate as it is written."""
    return (json.dumps(certificate, indent=2) + "\n").encode()


def digest(file: Path) -> str:
    """Returns the SHA-256 of a file, by which a certificate knows it."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def write_certificate(directory: Path, certificate: Certificate) -> None:
    """Writes the certificate of an export, whole or not at all."""
    write_whole(directory / CERTIFICATE, to_json(certificate))


def time_files(directory: Path, architecture: Architecture, files: Sequence[File], quiet_ms: Mapping[str, float]
               ) -> Timing:
    """Returns one timing of the files of an export: the environment, and the latency on each target.

    Args:
        directory: where the files are.
        architecture: the network in them.
        files: what the certificate says of them: names and targets.
        quiet_ms: what the reference model takes on each target when the machine is quiet, where that is known.
    """
    latencies = {}
    for entry in files:
        if (target := entry.get("target")) is not None:
            runtime = runtime_of(parse_target(target))
            latency = runtime.latency(architecture) if is_predicting(runtime) else measure_once(
                parse_target(target), directory / entry["file"], architecture.program.input_shape, DECIDING,
                quiet_ms=quiet_ms.get(target))
            latencies[target] = _written(latency)
    return {"environment": environment(), "latencies": latencies}


def _written(latency: Latency) -> dict[str, Any]:
    """Returns a latency as certificates have it: whether it is predicted stands for its source."""
    fields = dataclasses.asdict(latency)
    del fields["source"]
    return {"raw_ms": latency.raw_ms, "raw_high_ms": latency.raw_high_ms, "predicted": latency.is_predicted, **fields}


def latencies_of(timing: Timing) -> dict[str, Latency]:
    """Returns the latencies of a timing by target."""
    return {target: Latency.stored(values) for target, values in timing["latencies"].items()}


def open_budgets(budgets: Budgets) -> dict[str, BudgetEntry]:
    """Returns the entries of budgets in a certificate, before anything is assessed."""
    return {name: _open(limit) for name, limit in budgets.limits.items()}


def _open(limit: Limit) -> BudgetEntry:
    unit = QUANTITIES[limit.quantity].certified_in
    if limit.target is None:
        return {"quantity": limit.quantity, "limit": limit.value, "unit": unit}
    return {"quantity": limit.quantity, "target": limit.target, "limit": limit.value, "unit": unit}


def assessed(certificate: Certificate) -> Certificate:
    """Returns a certificate with the value that each budget is compared with, and the verdict, over all its timings."""
    own = [entry for entry in certificate["files"] if entry.get("target") in certificate["targets"]]
    known = {**certificate["costs"], "size_bytes": max(entry["size_bytes"] for entry in own)}
    costs = [Costs.stored(known, latencies_of(timing)) for timing in certificate["timings"]]
    budgets = {name: _compared(entry, costs) for name, entry in certificate["budgets"].items()}
    return {**certificate, "verdict": _verdict(own, budgets), "budgets": budgets}


def _compared(entry: BudgetEntry, costs: Sequence[Costs]) -> BudgetEntry:
    limit = Limit(entry["quantity"], entry["limit"], entry.get("target"))
    found = (one.judged(limit.quantity, limit.target) for one in costs)
    value = statistics.median(value for value in found if value is not None)
    met = value >= limit.value if QUANTITIES[limit.quantity].lower else value <= limit.value
    predicted = any(one.latencies[limit.target].is_predicted for one in costs if limit.target is not None)
    return {**entry, "predicted": value, "met": met} if predicted else {**entry, "measured": value, "met": met}


def _verdict(files: Sequence[File], budgets: Mapping[str, BudgetEntry]) -> str:
    """Returns the verdict on the targets' files: a file that computes something else has none of the merits."""
    if not all(map(_computes_the_network, files)):
        return DIFFERS
    if not budgets:
        return UNLIMITED
    if not all(entry["met"] for entry in budgets.values()):
        return MISSED
    return PREDICTED if any("predicted" in entry for entry in budgets.values()) else MET


def _computes_the_network(entry: File) -> bool:
    if parse_target(entry["target"]).options.precision != Options.precision:
        return entry["top_class_agreement"] >= LEAST_AGREEMENT
    return entry["max_abs_difference"] <= LARGEST_DIFFERENCE * max(1.0, entry["largest_logit"])  # NaN does not


def _quiet_ms(certificate: Certificate) -> dict[str, float]:
    """Returns the time of the reference model on each target when this machine was quiet, where that is known."""
    here, found = environment()["processor"], dict[str, float]()
    for timing in certificate["timings"]:
        if timing["environment"]["processor"] == here:
            for target, latency in latencies_of(timing).items():
                if latency.quiet_reference_ms:
                    found[target] = min(latency.quiet_reference_ms, found.get(target, latency.quiet_reference_ms))
    return found


def _wait(seconds: float, monitor: Monitor) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        monitor.progress("waiting, seconds", round(seconds - left), round(seconds))
        time.sleep(min(left, 1.0))
