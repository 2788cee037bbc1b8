"""How many trials a second come of several workers on one study, and how many does a server take?

    python -m experiments.throughput                       # all; on a machine that does nothing else
    python -m experiments.throughput --storages sqlite --workers 1 8

Processes search in one study, each evaluation of which sleeps for half a second in place of a training, or takes no
time at all (PostgreSQL, 8 workers). Trials are counted from the moment at which each worker has told one. The bars: 8
workers tell at least 6 times as many as one, and PostgreSQL takes at least 20 a second in all. Results:
`experiments/results/throughput.json` and `docs/throughput.png`.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluators.datasets import Dataset
from evaluators.evaluator import Fidelity
from evaluators.machine.files import write_whole
from experiments.kills import OF_IMAGES, Case, Place, inputs
from experiments.postgresql import Server, running
from nas.problem.candidate import Candidate, Outcome
from nas.run.environment import environment
from search_spaces.architecture import Architecture

RESULTS = Path(__file__).with_name("results") / "throughput.json"
PLOT = Path(__file__).parents[1] / "docs" / "throughput.png"
WORKERS = (1, 2, 4, 8)
STORAGES = ("sqlite", "postgresql")
TRIALS = 24  # of each worker
SLEEP_S = 0.5


def sleeping(architecture: Architecture, data: Dataset, fidelity: Fidelity) -> float:
    """Returns a hash of the architecture as its accuracy, after half a second."""
    time.sleep(SLEEP_S)
    return hashed(architecture, data, fidelity)


def hashed(architecture: Architecture, data: Dataset, fidelity: Fidelity) -> float:
    """Returns a hash of the architecture as its accuracy."""
    return int(architecture.id, 16) % 1001 / 1000


def rate_per_s(found: Sequence[Candidate]) -> float:
    """Returns the trainings told a second, from the moment at which each worker has told one; 0 without any after it.

    A candidate that was met before takes no time, and does not count.
    """
    first: dict[str | None, float] = {}
    ended_s = sorted((candidate.ended.timestamp(), candidate.worker) for candidate in found
                     if candidate.ended and candidate.outcome is Outcome.TRAINED)
    for moment_s, worker in ended_s:
        first.setdefault(worker, moment_s)
    after = [moment_s for moment_s, _ in ended_s if moment_s > max(first.values())]
    return len(after) / (after[-1] - max(first.values())) if after else 0.0


def measured(evaluator: str, workers: int, server: Server | None) -> float:
    """Returns the trials a second of a study with some workers."""
    case = Case(OF_IMAGES, TRIALS * workers, ("--evaluator", f"experiments.throughput:{evaluator}"), workers)
    with tempfile.TemporaryDirectory(prefix="throughput-") as folder:
        place = Place(Path(folder), server.new_database() if server else "")
        inputs(place.folder)
        (place.folder / "temporary").mkdir()
        first, *others = place.commands(case, 0)
        first.start()
        while not place.read():
            time.sleep(0.1)
        for worker in others:
            worker.start()
        for worker in (first, *others):
            worker.join(600.0)
        return rate_per_s(place.read())


def report(results: dict[str, dict[str, float]]) -> str:
    """Returns a line for each kind of study."""
    return "\n".join(f"{name:24} " + "  ".join(
        f"{workers}: {rate:.2f}/s ({rate / next(iter(rates.values())):.1f}x)" for workers, rate in rates.items())
        for name, rates in results.items())


def draw(results: dict[str, dict[str, float]], path: Path) -> None:
    """Draws the trials a second against workers."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for name, rates in results.items():
        if name.endswith("sleeping"):
            axes.plot([int(workers) for workers in rates], list(rates.values()), "o-", label=name.partition(",")[0])
    axes.plot(WORKERS, [workers / SLEEP_S for workers in WORKERS], ":", color="grey", label="sleep alone")
    axes.set_xlabel("workers")
    axes.set_ylabel("trials a second")
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measures the storages and numbers of workers that are asked for, and writes the record and its plot."""
    parser = argparse.ArgumentParser(description="Counts trials a second; see the docstring.")
    parser.add_argument("--storages", nargs="+", choices=STORAGES, default=STORAGES)
    parser.add_argument("--workers", nargs="+", type=int, default=WORKERS)
    parser.add_argument("--record", type=Path, default=RESULTS)
    parser.add_argument("--plot", type=Path, default=PLOT)
    arguments = parser.parse_args()
    record: dict[str, Any] = json.loads(arguments.record.read_text()) if arguments.record.exists() else {}
    results: dict[str, dict[str, float]] = record.get("trials_per_s", {})
    kinds = [(storage, "sleeping", workers) for storage in arguments.storages for workers in arguments.workers]
    if "postgresql" in arguments.storages:
        kinds.append(("postgresql", "hashed", max(arguments.workers)))
    with running() as server:
        for storage, evaluator, workers in kinds:
            rate = measured(evaluator, workers, server if storage == "postgresql" else None)
            results.setdefault(f"{storage}, {evaluator}", {})[str(workers)] = round(rate, 2)
            content = json.dumps({"trials_per_s": results, "environment": environment()}, indent=1)
            write_whole(arguments.record, (content + "\n").encode())
            print(report(results), flush=True)
    draw(results, arguments.plot)


if __name__ == "__main__":
    main()
