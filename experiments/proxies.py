"""Does a search for latency find better networks for a runtime than one for multiply-adds?

    python -m experiments.proxies            # the searches and timings that are not recorded yet
    python -m experiments.proxies --report   # writes what is recorded into docs/experiments.md

Three searches of `mobile`, of 12 candidates each: for the front of accuracy and latency on ONNX Runtime, for that on
LiteRT, and for that of accuracy and multiply-adds. The members of all fronts are then timed in turns on both.
About 6 minutes on two cores. Expected: on each runtime its own search has the better front. Found: only in ONNX
Runtime, with twelve candidates to a search; in LiteRT that for multiply-adds was as good.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import nas
from experiments.comparison import (
    ROOT,
    RUNTIMES,
    STYLES,
    Record,
    against_latency,
    arguments,
    keep,
    latencies_ms,
    latency_ms,
    publish,
)
from nas.report.figure import PALETTE, add_legend
from search_spaces import Architecture

RESULT = ROOT / "experiments" / "results" / "proxies.json"
TRIALS, TURNS = 12, 3
GOALS: dict[str, dict[str, Any]] = {
    **{f"latency on {runtime}": {"target": runtime} for runtime in RUNTIMES},
    "multiply-adds": {"objectives": ("accuracy", "macs")}}


def front(goal: str) -> list[dict[str, Any]]:
    """Returns the front that a search for a goal finds: texts and validation accuracies, the fastest first."""
    config = nas.SearchConfig(space="mobile", trials=TRIALS, latency_from=("timing",), **GOALS[goal])
    with tempfile.TemporaryDirectory() as directory:
        return [{"architecture": one.architecture, "accuracy": one.accuracy}
                for one in nas.search(config, run=Path(directory) / "run").pareto()]


def fill(record: Record, path: Path) -> None:
    """Makes the searches and timings that lack in a record, which is written after each."""
    fronts = record.setdefault("fronts", {})
    for goal in GOALS:
        if goal not in fronts:
            fronts[goal] = front(goal)
            keep(record, path)
    members = {one["architecture"]: Architecture.parse(one["architecture"]) for own in fronts.values() for one in own}
    for runtime in RUNTIMES:
        if runtime not in record.setdefault("latency_ms", {}):
            record["latency_ms"][runtime] = latencies_ms(members, runtime, TURNS)
            keep(record, path)


def table(record: Record) -> str:
    """Returns the best accuracy of each search within each of three latencies on each runtime, in Markdown."""
    limits = {runtime: thirds(record, runtime) for runtime in RUNTIMES}
    head = [f"{runtime}, {limit:.3f} ms" for runtime in RUNTIMES for limit in limits[runtime]]
    lines = [f"| best accuracy (%) of a search for | members | {' | '.join(head)} |", "|---" * (2 + len(head)) + "|"]
    for goal, own in record["fronts"].items():
        cells = []
        for runtime in RUNTIMES:
            for limit in limits[runtime]:
                within = [one["accuracy"] for one in own if latency_ms(record, runtime, one["architecture"]) <= limit]
                cells.append(f"{100 * max(within):.1f}" if within else "none")
        lines.append(f"| {goal} | {len(own)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def thirds(record: Record, runtime: str) -> list[float]:
    """Returns the latencies within which a third, two thirds and all of the members of all fronts are."""
    times = sorted(latency_ms(record, runtime, name) for name in record["latency_ms"][runtime])
    return [times[max(len(times) * part // 3 - 1, 0)] for part in (1, 2, 3)]


def draw(record: Record) -> Figure:
    """Returns the picture: on each runtime, the front of its own search and that of the one for multiply-adds."""
    figure, axes = against_latency("Searches for latency and for multiply-adds", f"fronts of searches of {TRIALS} "
                                   "candidates, timed again on both runtimes", "validation accuracy (%)")
    handles = []
    for runtime, (marker, line) in STYLES.items():
        for goal, color in ((f"latency on {runtime}", PALETTE[0]), ("multiply-adds", PALETTE[2])):
            points = sorted((latency_ms(record, runtime, one["architecture"]), 100 * one["accuracy"])
                            for one in record["fronts"][goal])
            handles += axes.plot(*zip(*points, strict=True), marker=marker, linestyle=line, color=color,
                                 label=f"search for {goal.removesuffix(f' on {runtime}')}, on {runtime}")
    add_legend(figure, handles)
    return figure


def main() -> None:
    """Completes the record, prints its table, and writes it with the picture into docs/."""
    report = arguments(__doc__).report
    record: Record = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    if not report:
        fill(record, RESULT)
    print(table(record))
    publish("proxies", table(record), draw(record))


if __name__ == "__main__":
    main()
