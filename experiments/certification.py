"""Do the winners of searches under latency budgets keep their budgets when their files are timed again later?

    python -m experiments.certification --minutes 4.5  # begins nothing after so many; the same command goes on
    python -m experiments.certification                # all that is not recorded yet: searches, then a later timing
    python -m experiments.certification --report       # what the records say

50 searches of `mobile` with the real engine and real timing. Their budgets lie at the 10th to 70th percentile of the
space. The accuracy is a stand-in, so that nothing is trained: the logarithm of the multiply-adds times the square of
the number of layers, which grows with the latency on ONNX Runtime (rank correlation 0.98 over the 60 members of
`latency_repeatability`), so that every search pushes against its budget. The winner is confirmed as an export does it,
in a fresh process. Later, after the last search, its file is timed as `nas certify` does it; beside it, a plain loop
with no protocol takes the median of 2,000 runs. A search takes about 25 s, a later timing 5 s; run it alone on the
machine. The bars: the later median, in raw milliseconds, is at most the budget for at least 49 of 50, and the winners
use at least 90 % of their budget in the median.
"""

import argparse
import dataclasses
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.latency import Latency, Precision
from evaluators.machine.files import write_whole
from evaluators.networks.weights import initial_arrays
from evaluators.runtimes import Options, parse_target, runtime_of
from evaluators.timing.meter import measure_once
from evaluators.timing.process import noise
from nas.engine.search import run_search
from nas.export.winner import confirmed
from nas.measuring.meters import DECIDING, FileGauge, file_gauge
from nas.measuring.survey import survey
from nas.problem.candidate import Candidate, winner
from nas.run.config import SearchConfig
from nas.run.directory import RunDirectory
from nas.run.environment import environment
from nas.run.monitor import Silent
from search_spaces import SPACES, Architecture

RESULTS = Path(__file__).parent / "results"
SEARCHES, LOWEST, HIGHEST = 50, 10.0, 70.0  # percentiles
MEMBERS = 60  # that tell the percentiles
TRIALS = 8  # candidates within the budget that a search looks for
PLAIN_RUNS = 2000
DIGITS = 6
KEPT = ("raw_ms", "raw_high_ms", "median_ms", "clock", "reference_ms", "quiet_reference_ms", "load", "flags")


def capacity(architecture: Architecture, data: object, fidelity: object) -> float:
    """Returns a stand-in for the accuracy, in [0, 1], that grows with multiply-adds and, twice as much, with layers."""
    return math.log10(architecture.macs / 1e3 * len(architecture.program.operations) ** 2) / 12


@dataclass(frozen=True)
class SharedGauge:
    """Times a network once for all searches, but anew, in a fresh process, where a search decides.

    Attributes:
        gauge: what times.
        found: the latencies so far, by architecture and precision.
    """

    gauge: FileGauge
    found: dict[tuple[str, Precision], Latency] = field(default_factory=dict)

    def size_bytes(self, architecture: Architecture) -> int:
        """Returns the size of its model file."""
        return self.gauge.size_bytes(architecture)

    def latency(self, architecture: Architecture, precision: Precision) -> Latency:
        """Returns the latency of an architecture on the target."""
        if precision == DECIDING:
            with file_gauge(self.gauge.target) as fresh:
                return fresh.latency(architecture, precision)
        precision = dataclasses.replace(precision, limit_ms=math.inf)  # that of one search is not that of another
        key = architecture.id, precision
        if key not in self.found:
            self.found[key] = self.gauge.latency(architecture, precision)
        return self.found[key]


def percentiles(gauge: SharedGauge) -> list[float]:
    """Returns the budget of each search in milliseconds, evenly spaced among the percentiles of the space."""
    found = survey(SPACES["mobile"].bind(28, 1, 10), {gauge.gauge.target.text: gauge}, seed=0, count=MEMBERS)
    return [round(float(value), 5)
            for value in np.percentile(found.values["latency"], np.linspace(LOWEST, HIGHEST, SEARCHES))]


def searched(gauge: SharedGauge, seed: int, budget_ms: float) -> dict[str, Any]:
    """Returns the winner of a search, as an export would take it, and the timing that has confirmed it."""
    target, start = gauge.gauge.target.text, time.monotonic()
    config = SearchConfig(space="mobile", target=target, latency_ms=budget_ms, objectives=("accuracy",), trials=TRIALS,
                          evaluator=f"experiments.certification:{capacity.__name__}", seed=seed)
    with tempfile.TemporaryDirectory() as directory:
        run = run_search(config, Path(directory) / "run", gauge=gauge)
        while not (chosen := confirmed(run, _winner(run), run.budgets, Silent())).feasible:
            pass  # it has fallen out
        candidates = run.candidates()
    return {"seed": seed, "budget_ms": budget_ms, "architecture": chosen.architecture, "proposals": len(candidates),
            "search_s": round(time.monotonic() - start, 1), "confirmed": kept(chosen.costs.latencies[target]),
            "written": environment()["written"], "later": []}


def _winner(run: RunDirectory) -> Candidate:
    best = winner(run.candidates())
    assert best is not None
    return best


def kept(latency: Latency) -> dict[str, Any]:
    """Returns the recorded fields of a timing."""
    return {name: round(value, DIGITS) if isinstance(value := getattr(latency, name), float) else value
            for name in KEPT}


def timed(runtime: str, text: str) -> dict[str, Any]:
    """Returns the latency of the file of an untrained network in a fresh process, and in a plain loop in another."""
    architecture, target = Architecture.parse(text), parse_target(runtime)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        file = directory / f"model{runtime_of(target).suffix}"
        runtime_of(target).write(architecture, initial_arrays(architecture.program, seed=0), file, {})
        latency = measure_once(target, file, architecture.program.input_shape, DECIDING)
        plain = subprocess.run([sys.executable, "-m", "experiments.certification", "--plain", file, "--runtime",
                                runtime, "--side", str(architecture.input.resolution)],
                               check=True, capture_output=True, text=True)
    return {"written": environment()["written"], "plain_ms": float(plain.stdout), **kept(latency)}


def plain_ms(runtime: str, file: Path, side: int) -> float:
    """Returns the median of many runs of a file in a plain loop on the last core, after as many that do not count."""
    os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
    run = runtime_of(parse_target(runtime)).load(file, Options()).prepared(noise(1, (side, side, 1)))
    times_ns = []
    for _ in range(2 * PLAIN_RUNS):
        start = time.perf_counter_ns()
        run()
        times_ns.append(time.perf_counter_ns() - start)
    return statistics.median(times_ns[PLAIN_RUNS:]) / 1e6


def report(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the figures that the bars are about, of the searches whose winners were timed later."""
    rows = [row for row in rows if row["later"]]
    if not rows:
        return {}
    budgets_ms, later = np.array([row["budget_ms"] for row in rows]), [row["later"][-1] for row in rows]
    raw_ms, high_ms, plain_ms = (np.array([timing[name] for timing in later])
                                 for name in ("raw_ms", "raw_high_ms", "plain_ms"))
    confirmed_ms, clocks = (np.array([row["confirmed"][name] for row in rows]) for name in ("raw_ms", "clock"))
    apart_s = [(datetime.fromisoformat(row["later"][-1]["written"]) - datetime.fromisoformat(row["written"])
                ).total_seconds() for row in rows]
    return {
        "winners": len(rows), "different ones": len({row["architecture"] for row in rows}),
        "minutes between the timings, at least": min(apart_s) / 60,
        "later medians within the budget": int(np.sum(raw_ms <= budgets_ms)),
        "later upper ends within the budget (certified)": int(np.sum(high_ms <= budgets_ms)),
        "medians of the plain loop within the budget": int(np.sum(plain_ms <= budgets_ms)),
        "median share of the budget used": float(np.median(raw_ms / budgets_ms)),
        "largest share of the budget used": float(np.max(raw_ms / budgets_ms)),
        "median share of the budget used when confirmed": float(np.median(confirmed_ms / budgets_ms)),
        "median clock when confirmed, later": [float(np.median(each)) for each in (
            clocks, [timing["clock"] for timing in later])],
        "flagged later": sum(bool(timing["flags"]) for timing in later),
        "median seconds a search": float(np.median([row["search_s"] for row in rows])),
        "median proposals": float(np.median([row["proposals"] for row in rows]))}


def main() -> None:
    """Makes the searches and timings that lack in the records, and prints the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin nothing after so many")
    parser.add_argument("--searches", type=int, default=SEARCHES, help="at most so many in all")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    runtime = arguments.runtime
    if arguments.plain:
        print(plain_ms(runtime, arguments.plain, arguments.side))
        return
    end = time.monotonic() + (0 if arguments.report else 60 * arguments.minutes)
    path = RESULTS / f"certification_{runtime}.json"
    record: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"rows": []}
    rows = record["rows"]

    def keep() -> None:
        write_whole(path, (json.dumps(record | {"environment": environment(), "report": report(rows)}) + "\n").encode())

    order = [int(seed) for seed in np.random.default_rng(0).permutation(SEARCHES)]  # so that a part is of all budgets
    order = order[:arguments.searches]
    if len(rows) < len(order) and time.monotonic() < end:
        with file_gauge(parse_target(runtime)) as gauge:
            shared = SharedGauge(gauge)
            if "budgets_ms" not in record:
                record["budgets_ms"] = percentiles(shared)
            for seed in order[len(rows):]:
                if time.monotonic() < end:
                    rows.append(searched(shared, seed, record["budgets_ms"][seed]))
                    print(len(rows), json.dumps(rows[-1]), flush=True)
                    keep()
    if len(rows) == len(order):
        for row in rows:
            if not row["later"] and time.monotonic() < end:
                row["later"].append(timed(runtime, row["architecture"]))
                keep()
    print(json.dumps(report(rows), indent=1))


if __name__ == "__main__":
    main()
