"""Rows for other programs, as JSON and CSV; and those of candidates."""

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from nas.problem.candidate import DEFAULT_OBJECTIVES, Candidate, distinct, front
from nas.problem.quantities import QUANTITIES

Row = dict[str, Any]

COLUMNS = ("trial", "architecture", "accuracy", "accuracy_ci", "epochs", "trained", "latency_ms", "latency_ci_ms",
           *(quantity.field for quantity in QUANTITIES.values() if not quantity.of_target), "feasible", "on_front",
           "latencies", "state", "reason", "duplicate_of", "accuracies", "continues", "taken_from", "compiled",
           "float32_accuracy", "log_loss", "by_hand")


def rows(candidates: Iterable[Candidate], objectives: Sequence[str] = DEFAULT_OBJECTIVES) -> list[Row]:
    """Returns a row of `COLUMNS` for each trial, in order; intervals are `[low, high]`, unknown values None.

    A trial that came upon an architecture again has the values of the first, and is not on the front beside it.

    `accuracies` has the epochs and the accuracy at each rung of early stopping, and after the whole training;
    `continues` is the trial whose training was taken up again, `taken_from` the other run that a training was of;
    `compiled` is what was compiled at a time for it; `float32_accuracy` is that of the network where `accuracy` is that
    of its file of another precision; `log_loss` is that of the validation images, as `Metric.log_loss` says; `by_hand`
    tells the published networks that fill a budget or a share of it. `latency_ms` and `latency_ci_ms` are those on the
    first target; `latencies` has all that was measured, by target.
    """
    ordered = sorted(candidates, key=lambda candidate: candidate.trial)
    on_front = {candidate.trial for candidate in distinct(front(ordered, objectives))}
    return [_row(candidate, candidate.trial in on_front) for candidate in ordered]


def to_json(records: Sequence[Row]) -> str:
    """Returns a JSON array with one row a line."""
    lines = ",\n".join("  " + json.dumps(row, allow_nan=False) for row in records)
    return f"[\n{lines}\n]\n" if records else "[]\n"


def to_csv(records: Sequence[Row], columns: Sequence[str] = ()) -> str:
    """Returns a table with a header; cells are as in JSON, but text has no quotes and unknown values are empty.

    The columns are those of the first row, where none are given.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns or list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in records)
    return text.getvalue()


def _row(candidate: Candidate, on_front: bool) -> Row:
    values = {**vars(candidate.costs), **vars(candidate), "accuracy_ci": candidate.accuracy_ci,
              "latency_ms": candidate.latency_ms,
              "latency_ci_ms": candidate.latency_ci_ms, "feasible": candidate.feasible, "on_front": on_front,
              "latencies": {target: {**dataclasses.asdict(latency), "flags": list(latency.flags)}
                            for target, latency in candidate.costs.latencies.items()}}
    return listed({name: values[name] for name in COLUMNS})


def listed(row: Row) -> Row:
    """Returns a row whose tuples are lists, as they are when JSON is read back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in row.items()}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, allow_nan=False)
