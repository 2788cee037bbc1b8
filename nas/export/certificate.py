"""The certificate of an export: the latency of its files each time they were timed, and whether it meets the budgets.

Every timing is one pass over the files in processes that have timed nothing else. A budget of time is judged by the
median over all passes of the upper end of the 95 % interval, in raw milliseconds: neither a lucky pass nor one on a
busy machine decides alone. Beside each latency stands what the reference model took meanwhile.

The files for a device that only a table of timed networks tells of cannot be timed: their latency is predicted. That is
said wherever it stands, and such files are never certified, only predicted to meet their budgets.

Each file is judged by what it computes and costs itself: a quantised one may lose as much accuracy as was allowed. A
file that could not be timed within a bound is delivered all the same, and timed by `nas certify`.
"""

import dataclasses
import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.datasets.metrics import ACCURACY, METRICS, Metric
from evaluators.latency import Latency, MeasurementFailed
from evaluators.machine.files import held, write_whole
from evaluators.machine.trouble import MachineTrouble
from evaluators.runtimes import Options, is_predicting, parse_target, runtime_of
from evaluators.timing.meter import measure_once
from nas.export.entries import BudgetEntry, Certificate, Comparison, File, Timing, Written
from nas.measuring.meters import DECIDING
from nas.problem.budgets import Budgets, Limit
from nas.problem.costs import Costs
from nas.problem.quantities import QUANTITIES, format_bytes
from nas.run.environment import environment
from nas.run.trust import Code, commands_of, identity_of
from search_spaces.architecture import Architecture
from search_spaces.documents import MOST_JSON_BYTES, read_text, refused
from search_spaces.errors import require
from search_spaces.markup import html_table

CERTIFICATE = "certificate.json"
VERDICTS = UNLIMITED, MET, PREDICTED, UNTIMED, MISSED, LOSES, DIFFERS = (
    "no budget", "met", "predicted", "not timed", "missed", "loses accuracy", "differs")  # the worst one last
LARGEST_DIFFERENCE = 1e-4  # of a file's logits from those of Flax, relative to the largest where that exceeds 1
LEAST_AGREEMENT = 0.9  # of the top class, where a file is quantised and there are no labels to judge it by
ACCURACY_LOSS_POINTS = 1.0  # that a file may have less than the network, by default
ROUNDING_POINTS = 1e-9  # of the difference of two shares
WAIT_S = 60.0  # for a turn to time a file, before it is left untimed


@dataclass(frozen=True)
class Exported:
    """An export directory and its certificate."""

    directory: Path
    certificate: Certificate

    def _repr_html_(self) -> str:
        rows = ((entry["file"], entry.get("target", ""), format_bytes(entry["size_bytes"]),
                 f"{entry['test_accuracy']:.2%}" if "test_accuracy" in entry else "", entry.get("verdict", ""))
                for entry in self.certificate["files"])
        return html_table(f"{self.directory}: {self.certificate['verdict']}",
                          ("file", "target", "size", "accuracy on test images", "verdict"), rows)

    @property
    def met(self) -> bool:
        """Tells whether the targets' files compute as the network does and meet all budgets, or are predicted to.

        Only the verdict `MET` says that they were timed.
        """
        return self.certificate["verdict"] in (MET, PREDICTED, UNLIMITED)

    @property
    def named(self) -> tuple[str, tuple[Code, ...]]:
        """The identity of the export, which further timings leave as it is, and the commands that time its files."""
        files, first = self.certificate["files"], self.certificate["timings"][0].get("environment")
        return (identity_of("export", [entry["sha256"] for entry in files], first),
                commands_of(entry["target"] for entry in files if "target" in entry))


def read_export(directory: Path) -> Exported:
    """Returns an export; raises `InvalidInput` if it is none, or a file of it has changed since."""
    certificate = read_certificate(directory)
    for name, expected in digests(certificate).items():
        file = directory / name
        require(file.is_file() and digest(file) == expected, "a certificate is about the files that were exported with "
                f"it, but '{file}' is another or missing")
    return Exported(directory, certificate)


def read_certificate(directory: Path) -> Certificate:
    """Returns the certificate of an export; raises `InvalidInput` if it is none."""
    path = directory / CERTIFICATE
    require(path.is_file(), f"an export holds {CERTIFICATE}, but '{directory}' does not")
    with refused(f"{CERTIFICATE} must be as an export has written it, but '{path}' is not"):
        return from_json(read_text(path, MOST_JSON_BYTES))


def digests(certificate: Certificate) -> dict[str, str]:
    """Returns the SHA-256 of each file of an export by its name, also of those that others need beside themselves."""
    return {each["file"]: each["sha256"] for entry in certificate["files"]
            for each in (entry, entry.get("beside")) if each}


def moment(timing: Timing) -> str:
    """Returns the time of a timing, to be read."""
    return str(timing["environment"]["written"]).partition("+")[0].replace("T", " ")


def from_json(content: str | bytes) -> Certificate:
    """Returns a certificate as it was written.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is none.
    """
    certificate: Certificate = json.loads(content)
    assessed(certificate)
    digests(certificate)
    for timing in certificate["timings"]:
        moment(timing)
    Architecture.parse(certificate["architecture"])
    return certificate


def to_json(certificate: Certificate) -> bytes:
    """Returns a certificate as it is written."""
    return (json.dumps(certificate, indent=2) + "\n").encode()


def as_written(file: Path) -> Written:
    """Returns the entry of a file that was written."""
    return {"file": file.name, "size_bytes": file.stat().st_size, "sha256": digest(file)}


def digest(file: Path) -> str:
    """Returns the SHA-256 of a file, by which a certificate knows it."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def write_certificate(directory: Path, certificate: Certificate) -> None:
    """Writes the certificate of an export, whole or not at all."""
    write_whole(held(directory, CERTIFICATE), to_json(certificate))


def time_files(directory: Path, architecture: Architecture, files: Sequence[File], quiet_ms: Mapping[str, float]
               ) -> Timing:
    """Returns one timing of the files of an export: the environment, and the latency on each target.

    A file whose turn does not come within `WAIT_S`, or that cannot be run, is left untimed, with the reason.

    Args:
        directory: where the files are.
        architecture: the network in them.
        files: what the certificate says of them: names and targets.
        quiet_ms: what the reference model takes on each target when the machine is quiet, where that is known.
    """
    timing: Timing = {"environment": environment(), "latencies": {}}
    for entry in files:
        if (target := entry.get("target")) is not None:
            runtime = runtime_of(parse_target(target))
            try:
                latency = runtime.latency(architecture) if is_predicting(runtime) else measure_once(
                    parse_target(target), directory / entry["file"], architecture.program.input_shape, DECIDING,
                    quiet_ms=quiet_ms.get(target), wait_s=WAIT_S)
            except (MeasurementFailed, MachineTrouble) as error:
                timing.setdefault("untimed", {})[target] = str(error)
                continue
            timing["latencies"][target] = _written(latency)
    return timing


def _written(latency: Latency) -> dict[str, Any]:
    """Returns a latency as certificates have it: the machine is in the environment, and predicted stands for source."""
    fields = dataclasses.asdict(latency)
    for field in ("source", "host", "processor"):
        del fields[field]
    return {"raw_ms": latency.raw_ms, "raw_high_ms": latency.raw_high_ms, "predicted": latency.is_predicted, **fields}


def latencies_of(timing: Timing) -> dict[str, Latency]:
    """Returns the latencies of a timing by target."""
    return {target: Latency.stored(values) for target, values in timing["latencies"].items()}


def open_budgets(budgets: Budgets) -> dict[str, BudgetEntry]:
    """Returns the entries of budgets in a certificate, before anything is assessed."""
    return {name: _open(limit) for name, limit in budgets.limits.items()}


def budgets_of(certificate: Certificate) -> Budgets:
    """Returns the budgets of a certificate."""
    targets, values = certificate["targets"], dict[str, Any]()
    for entry in certificate["budgets"].values():
        field, target = QUANTITIES[entry["quantity"]].field, entry.get("target")
        if target is None:
            values[field] = entry["limit"]
        else:
            values.setdefault(field, [None] * len(targets))[targets.index(target)] = entry["limit"]
    return Budgets(**values, targets=tuple(targets))


def _open(limit: Limit) -> BudgetEntry:
    unit = QUANTITIES[limit.quantity].certified_in
    if limit.target is None:
        return {"quantity": limit.quantity, "limit": limit.value, "unit": unit}
    return {"quantity": limit.quantity, "target": limit.target, "limit": limit.value, "unit": unit}


def assessed(certificate: Certificate) -> Certificate:
    """Returns a certificate with the value that each budget is compared with, and the verdicts, over all its timings.

    Each file has its own verdict; that of the export is the worst one of the targets' files.
    """
    own = [entry for entry in certificate["files"] if entry.get("target") in certificate["targets"]]
    budgets = _judged_budgets(certificate, own)
    files: list[File] = [{**entry, "verdict": _verdict(certificate, entry)} for entry in certificate["files"]]
    verdicts = [entry["verdict"] for entry in files if entry.get("target") in certificate["targets"]]
    return {**certificate, "files": files, "verdict": max(verdicts, key=VERDICTS.index), "budgets": budgets}


def _judged_budgets(certificate: Certificate, files: Sequence[File]) -> dict[str, BudgetEntry]:
    """Returns the budgets that some files have to meet, each compared with the file that costs most."""
    require(len(certificate["timings"]) > 0, "a certificate has a timing, but got none")
    known = {**certificate["costs"], "size_bytes": max(entry["size_bytes"] for entry in files)}
    costs = [Costs.stored(known, latencies_of(timing)) for timing in certificate["timings"]]
    targets = [None, *(entry.get("target") for entry in files)]
    return {name: _compared(entry, costs) for name, entry in certificate["budgets"].items()
            if entry.get("target") in targets}


def _compared(entry: BudgetEntry, costs: Sequence[Costs]) -> BudgetEntry:
    """Returns a budget beside the cost of the files; as it was, where that has never been timed."""
    limit = Limit(entry["quantity"], entry["limit"], entry.get("target"))
    values = [value for one in costs if (value := one.judged(limit.quantity, limit.target)) is not None]
    if not values:
        return entry
    value = statistics.median(values)
    met = value >= limit.value if QUANTITIES[limit.quantity].lower else value <= limit.value
    latencies = (one.latencies.get(limit.target or "") for one in costs)
    if any(latency.is_predicted for latency in latencies if latency is not None):
        return {**entry, "predicted": value, "met": met}
    return {**entry, "measured": value, "met": met}


def _verdict(certificate: Certificate, entry: File) -> str:
    """Returns the verdict on a file: it has no merit of a network that it does not compute."""
    if not _computes_the_network(entry):
        return DIFFERS
    lost = lost_points(certificate, entry)
    if lost is not None and lost > certificate["accuracy_loss_points"] + ROUNDING_POINTS:
        return LOSES
    budgets = _judged_budgets(certificate, [entry]).values() if entry.get("target") in certificate["targets"] else ()
    if not budgets:
        return UNLIMITED
    if not all(budget.get("met", True) for budget in budgets):
        return MISSED
    if not all("met" in budget for budget in budgets):
        return UNTIMED
    return PREDICTED if any("predicted" in budget for budget in budgets) else MET


def lost_points(certificate: Certificate, entry: File) -> float | None:
    """Returns the loss of a file against the network, in percentage points of the metric; None where it is unknown."""
    accuracy = certificate.get("accuracy")
    if accuracy is None or "test_accuracy" not in entry:
        return None
    decisive = accuracy.get("metric", accuracy)
    return 100 * (decisive["network"] - score_of(entry)) if "network" in decisive else None


def metric_name(certificate: Certificate) -> str:
    """Returns the name of the metric by which the network was chosen and its files are judged."""
    accuracy = certificate["accuracy"]
    return accuracy["metric"]["name"] if accuracy and "metric" in accuracy else ACCURACY


def metric_of(certificate: Certificate) -> Metric:
    """Returns the metric by which the network was chosen and its files are judged."""
    return METRICS[metric_name(certificate)]


def score_of(entry: Comparison) -> float:
    """Returns the score of a file on test images by which it is judged: the metric of its data, else the accuracy."""
    return entry.get("test_metric", entry["test_accuracy"])


def _computes_the_network(entry: File) -> bool:
    if "target" in entry and parse_target(entry["target"]).options.precision != Options.precision:
        return "test_accuracy" in entry or entry["top_class_agreement"] >= LEAST_AGREEMENT
    return entry["max_abs_difference"] <= LARGEST_DIFFERENCE * max(1.0, entry["largest_logit"])  # NaN does not
