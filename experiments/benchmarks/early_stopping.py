"""Does early stopping find as good a front in a third of the epochs?

    python -m experiments.benchmarks.early_stopping                    # all searches that are missing, and the report
    python -m experiments.benchmarks.early_stopping --seconds 240      # for so long at most
    python -m experiments.benchmarks.early_stopping --report           # the report of what is there

On the table of learning curves (128 networks, 9 epochs each; accuracy against multiply-adds), for each strategy and 20
seeds: a search that trains 60 candidates to the end, 540 epochs, and searches that stop candidates early, after 1 epoch
(the default), after 1 and 3, or with the brackets of Hyperband, of which the first 240 epochs count. Searches of odd
seeds see the trainings of the table's second seed. What counts is the hypervolume of the fully trained candidates as a
share of that of the whole table; its reference is the 5th percentile of accuracy and the largest multiply-adds. The
bars: with a third of the epochs at least 99 % of the hypervolume that the full search ends with, and more than the full
search has after as many epochs, by more than the 95 % interval of the difference. About 15 minutes on one core.
"""

import argparse
import itertools
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.benchmarks.tables import Table, load_table
from evaluators.machine.files import write_whole
from nas.engine.search import run_search
from nas.problem.candidate import Candidate
from nas.problem.pareto import hypervolume
from nas.run.config import SearchConfig

RESULTS = Path(__file__).parents[1] / "results" / "early_stopping.json"
DATA, OBJECTIVES = "table:learning-curves", ("accuracy", "macs")
SEEDS, CANDIDATES, SHARE, BAR = 20, 60, 3, 0.99
STRATEGIES = ("surrogate", "tpe", "random")
BUDGETS = (60, 90, 120, 150, 180, 240)  # epochs
WAYS: dict[str, dict[str, Any]] = {"full": {}, "default": {"early_stopping": True},
                                   "two rungs": {"early_stopping": True, "rungs": (1, 3)},
                                   "hyperband": {"early_stopping": True, "brackets": 2}}
SHOWN = {"full": ("trained to the end", "#8A8A8A"), "default": ("stopped after 1 epoch (default)", "#0072B2"),
         "two rungs": ("after 1 and 3 epochs", "#009E73"),
         "hyperband": ("Hyperband, 2 brackets", "#E69F00")}
Curve = list[tuple[int, float]]  # epochs spent, and the share of the true hypervolume that was found by then


def search_curve(table: Table, strategy: str, way: str, seed: int) -> Curve:
    """Returns the hypervolume of a search as a curve over its epochs."""
    trials = CANDIDATES if way == "full" else int(1.3 * CANDIDATES)  # more than the epochs that count are enough for
    config = SearchConfig(data=DATA, objectives=OBJECTIVES, strategy=strategy, seed=seed, trials=trials, **WAYS[way])
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as directory:  # noqa: PTH112
        return hypervolume_curve(table, seed, run_search(config, Path(directory) / "run").candidates())


def measured(table: Table, seed: int) -> tuple[list[list[float]], list[float], float]:
    """Returns the points of the table as a seed sees them, where their hypervolume ends, and how large it is."""
    points = [[-curves[seed % len(curves), -1], table.space.build(table.space.members[network]).macs]
              for network, curves in table.curves.items()]
    reference = [-float(np.percentile([-loss for loss, _ in points], 5)), max(macs for _, macs in points)]
    return points, reference, hypervolume(points, reference)


def hypervolume_curve(table: Table, seed: int, candidates: Sequence[Candidate]) -> Curve:
    """Returns the epochs and the hypervolume after each trial that has trained something."""
    _, reference, whole = measured(table, seed)
    found: list[list[float]] = []
    spent, curve = 0, [(0, 0.0)]
    before: dict[int | None, int] = {candidate.trial: candidate.epochs for candidate in candidates}
    for candidate in candidates:
        if candidate.duplicate_of is None and candidate.accuracy is not None:
            spent += candidate.epochs - before.get(candidate.continues, 0)
            if candidate.trained:
                found.append([-candidate.accuracy, candidate.costs.macs or math.inf])
            curve.append((spent, hypervolume(found, reference) / whole if found else 0.0))
    return curve


def ceiling(table: Table, seed: int, epochs: int) -> float:
    """Returns the hypervolume of whoever knows the table: the network that adds most, one after the other."""
    points, reference, whole = measured(table, seed)
    found: list[list[float]] = []
    for _ in range(epochs // table.epochs):
        found.append(max(points, key=lambda point: hypervolume([*found, point], reference)))
    return hypervolume(found, reference) / whole


def after(curve: Curve, epochs: int) -> float:
    """Returns the hypervolume that a search had found when it had spent so many epochs."""
    return max(share for spent, share in curve if spent <= epochs)


def compared(curves: dict[str, Curve], strategy: str, way: str, epochs: int) -> dict[str, float]:
    """Returns the means over seeds with early stopping and without, and their difference with its 95 % interval."""
    seeds = [seed for seed in range(SEEDS)
             if all(f"{strategy} {one} {seed}" in curves for one in (way, "full"))]
    early = [after(curves[f"{strategy} {way} {seed}"], epochs) for seed in seeds]
    cut = [after(curves[f"{strategy} full {seed}"], epochs) for seed in seeds]
    end = [curves[f"{strategy} full {seed}"][-1][1] for seed in seeds]
    gains = [one - other for one, other in zip(early, cut, strict=True)]
    return {"seeds": len(seeds), "epochs": epochs, "early stopping": statistics.mean(early),
            "full, cut": statistics.mean(cut), "full, at its end": statistics.mean(end),
            "share of the end": statistics.mean(early) / statistics.mean(end), "gain": statistics.mean(gains),
            "gain ±": 2.093 * statistics.stdev(gains) / math.sqrt(len(gains))}  # Student's t of 19 degrees


def report(curves: dict[str, Curve], table: Table) -> dict[str, Any]:
    """Returns and prints the comparisons: of all ways at a third of the epochs, of the default at all budgets."""
    found: dict[str, Any] = {"ceiling": {epochs: statistics.mean(ceiling(table, seed, epochs) for seed in (0, 1))
                                         for epochs in BUDGETS}}
    third = CANDIDATES * table.epochs // SHARE
    print("whoever knows the table: " + ", ".join(f"{share:.4f} at {epochs}" for epochs, share in
                                                  found["ceiling"].items()))
    for strategy, way in itertools.product(STRATEGIES, list(WAYS)[1:]):
        if f"{strategy} {way} {SEEDS - 1}" not in curves:
            continue
        for epochs in BUDGETS if way == "default" else (third,):
            own = compared(curves, strategy, way, epochs)
            found[f"{strategy} {way} {epochs}"] = own
            met = own["share of the end"] >= BAR and own["gain"] > own["gain ±"]
            print(f"{strategy:10} {way:9} {epochs} epochs: {own['early stopping']:.4f}, "
                  f"{own['share of the end']:.4f} of the full search's {own['full, at its end']:.4f}; "
                  f"gain on {own['full, cut']:.4f}: {own['gain']:+.4f} ± {own['gain ±']:.4f}"
                  f"{'' if met or epochs != third else '  MISSED'}")
    return found


def plot(curves: dict[str, Curve], table: Table, path: Path) -> None:
    """Draws the mean hypervolume against epochs, with 95 % intervals."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    grid = np.arange(9, CANDIDATES * table.epochs + 1, 3)
    for axes, strategy in zip(figure.subplots(1, len(STRATEGIES), sharey=True), STRATEGIES, strict=True):
        for way, (label, colour) in SHOWN.items():
            own = [curves[f"{strategy} {way} {seed}"] for seed in range(SEEDS) if f"{strategy} {way} {seed}" in curves]
            if not own:
                continue
            limit = min(curve[-1][0] for curve in own)
            x = grid[grid <= limit]
            values = np.array([[after(curve, epochs) for epochs in x] for curve in own])
            mean, half = values.mean(0), 2.093 * values.std(0, ddof=1) / math.sqrt(len(values))
            axes.plot(x, 100 * mean, color=colour, label=label)
            axes.fill_between(x, 100 * (mean - half), 100 * (mean + half), color=colour, alpha=0.2, linewidth=0)
        axes.set(title=strategy, xlabel="epochs of training", ylim=(50, 101))
        axes.grid(color="#EBEBEB")
    figure.axes[0].set_ylabel("hypervolume (% of the whole table's)")
    figure.axes[0].legend(frameon=False, loc="lower right")
    figure.savefig(path)


def write(curves: dict[str, Curve], found: dict[str, Any]) -> None:
    """Writes the results, a curve a line."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in curves.items())
    write_whole(RESULTS, f'{{"report": {json.dumps(found, indent=1)}, "curves": {{\n{lines}\n}}}}\n'.encode())


def main() -> None:
    """Runs the searches that are missing, writes them down, and reports."""
    parser = argparse.ArgumentParser(description="Early stopping against full trainings; see the docstring.")
    parser.add_argument("--seconds", type=float, default=math.inf, help="time after which no search begins")
    parser.add_argument("--report", action="store_true", help="only report")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    arguments = parser.parse_args()
    begin, table = time.monotonic(), load_table(DATA)
    curves: dict[str, Curve] = json.loads(RESULTS.read_text())["curves"] if RESULTS.exists() else {}
    for seed, strategy, way in itertools.product(range(SEEDS), STRATEGIES, WAYS):
        name = f"{strategy} {way} {seed}"
        if name not in curves and not arguments.report and time.monotonic() - begin < arguments.seconds:
            curve = search_curve(table, strategy, way, seed)
            curves[name] = [(spent, round(share, 5)) for spent, share in curve]
            write(curves, {})
    found = report(curves, table)
    write(curves, found)
    if arguments.plot:
        plot(curves, table, arguments.plot)


if __name__ == "__main__":
    main()
