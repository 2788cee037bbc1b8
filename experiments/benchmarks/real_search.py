"""What does a surrogate with early stopping find in a real search, in the same time as random search without?

    python -m experiments.benchmarks.real_search --runs runs/real         # the next search that is missing, 4 minutes
    python -m experiments.benchmarks.real_search --report --plot real_search.png

Searches of `mobile` on the embedded data within 0.09 ms on ONNX Runtime, 9 epochs a candidate, 4 minutes each, 3 seeds
each. Every call runs the next search, alone on the machine, and records its front; a search that was interrupted goes
on. Reported is the hypervolume of each front above the accuracy of guessing and within the budget, relative to the
largest that would fit. 28 minutes on two cores in all; expected: a larger hypervolume in every seed, since
the fronts begin at lower latencies, and best accuracies that differ by less than their intervals (2 %).
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from rich.console import Console

from evaluators.machine.files import write_whole
from nas.cli.terminal import Terminal
from nas.engine.search import run_search
from nas.problem.candidate import distinct, front
from nas.problem.pareto import hypervolume
from nas.run.config import SearchConfig
from nas.run.environment import environment
from nas.trials.tally import tally

RESULTS = Path(__file__).parents[1] / "results" / "real_search.json"
SEEDS, TIME_S, BUDGET_MS, EPOCHS, GUESS = 3, 240, 0.09, 9, 0.1
WAYS: dict[str, dict[str, Any]] = {"surrogate, early stopping": {"strategy": "surrogate", "early_stopping": True},
                                   "random, trained to the end": {"strategy": "random", "early_stopping": False}}
COLOURS = ("#0072B2", "#D55E00")


def search(way: str, seed: int, directory: Path) -> dict[str, Any]:
    """Returns the front of a search and its duration."""
    config = SearchConfig(space="mobile", data="fashion-mnist", latency_ms=BUDGET_MS, epochs=EPOCHS, time_s=TIME_S,
                          seed=seed, workers=1, **WAYS[way])
    with Terminal(Console(width=100)) as monitor:
        run = run_search(config, directory / f"{config.strategy}-{seed}", monitor)
    candidates, counts = run.candidates(), tally(run.told())
    return {"strategy": config.strategy, "counts": vars(counts), "environment": environment(), "front": [
        [round(member.latency_ms or 0, 5), member.accuracy, member.architecture]
        for member in distinct(front(candidates, config.objectives))]}


def share(found: dict[str, Any]) -> float:
    """Returns the hypervolume of a front, relative to that of a perfect network that takes no time."""
    points = [[-accuracy, latency_ms] for latency_ms, accuracy, _ in found["front"]]
    return hypervolume(points, [-GUESS, BUDGET_MS]) / (BUDGET_MS * (1 - GUESS)) if points else 0.0


def report(results: dict[str, dict[str, Any]]) -> None:
    """Prints the hypervolume and the best accuracy of every search."""
    for way in WAYS:
        own = {name: found for name, found in results.items() if name.startswith(way)}
        for name, found in own.items():
            best = max((accuracy for _, accuracy, _ in found["front"]), default=0.0)
            print(f"{name}: hypervolume {share(found):.4f}, best accuracy {100 * best:.1f} %, {found['counts']}")
        if own:
            print(f"{way}: mean {statistics.mean(map(share, own.values())):.4f}")


def plot(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Draws the fronts over one another."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for way, colour in zip(WAYS, COLOURS, strict=True):
        for seed in range(SEEDS):
            points = sorted(results[f"{way} {seed}"]["front"])
            latencies, accuracies = ([point[index] for point in points] for index in (0, 1))
            axes.step([*latencies, BUDGET_MS], [100 * value for value in [*accuracies, accuracies[-1]]], where="post",
                      color=colour, marker="o", markersize=3, markevery=list(range(len(points))),
                      label=None if seed else way)
    axes.set(xlabel="latency on ONNX Runtime (ms)", ylabel="validation accuracy (%)")
    axes.grid(color="#EBEBEB")
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path)


def main() -> None:
    """Runs the next search, or reports."""
    parser = argparse.ArgumentParser(description="Real searches in equal time; see the docstring.")
    parser.add_argument("--runs", type=Path, default=Path("runs/real"))
    parser.add_argument("--report", action="store_true", help="only report")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    arguments = parser.parse_args()
    results: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    missing = [(way, seed) for seed in range(SEEDS) for way in WAYS if f"{way} {seed}" not in results]
    if missing and not arguments.report:
        way, seed = missing[0]
        results[f"{way} {seed}"] = search(way, seed, arguments.runs)
        write_whole(RESULTS, (json.dumps(results, indent=1) + "\n").encode())
    report(results)
    if arguments.plot:
        plot(results, arguments.plot)


if __name__ == "__main__":
    main()
