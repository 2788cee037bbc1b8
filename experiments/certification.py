"""Do the winners of searches under latency budgets keep their budgets when their files are timed again later?

    python -m experiments.certification                # what is not recorded yet: searches, then two later timings
    python -m experiments.certification --minutes 10   # begins nothing after ten minutes; the same command goes on
    python -m experiments.certification --report       # what the records say

50 searches of `mobile` with the real engine and real timing: their budgets lie at the 10th to 70th percentile of the
space, and the accuracy is a stand-in, the logarithm of the multiply-adds, so that nothing is trained and every search
pushes against its budget. The winner is confirmed as an export does it, its file is written and timed. Later, minutes
after the last search, every file is timed in a fresh process; beside it, a plain loop with no protocol takes the median
of 2,000 runs. A search takes about 20 s, a timing of all files 3 minutes; run it alone on the machine. The bars: the
later median, in raw milliseconds, is at most the budget for at least 49 of 50, and the winners use at least 90 % of
their budget in the median.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.files import write_whole
from evaluators.runtimes import Options, parse_target, runtime_of
from evaluators.runtimes.measuring_process import noise
from evaluators.weights import initial_weights
from nas.certificate import time_files
from nas.config import SearchConfig
from nas.costs import file_gauges
from nas.engine import run_search
from nas.export import confirmed_winner
from nas.monitor import Silent
from nas.run import environment
from nas.survey import survey
from search_spaces import SPACES, Architecture

RESULTS = Path(__file__).parent / "results"
SEARCHES, LOWEST, HIGHEST = 50, 10.0, 70.0  # percentiles
MEMBERS = 60  # that tell the percentiles
TRIALS = 12  # candidates within the budget that a search looks for
LATER = 2  # timings of every file
PLAIN_RUNS = 2000
KEPT = ("raw_ms", "raw_high_ms", "median_ms", "clock", "reference_ms", "quiet_reference_ms", "load", "flags")


def log_macs(architecture: Architecture, data: object, fidelity: object) -> float:
    """Returns a stand-in for the accuracy: 0 at a thousand multiply-adds, 1 at a billion."""
    return math.log10(architecture.macs / 1e3) / 6


def percentiles(runtime: str) -> list[float]:
    """Returns the budget of each search in milliseconds, evenly spaced among the percentiles of the space."""
    space = SPACES["mobile"].bind(28, 1, 10)
    with file_gauges([runtime]) as gauges:
        found = survey(space, gauges, seed=0, count=MEMBERS).values["latency"]
    return [round(float(value), 5) for value in np.percentile(found, np.linspace(LOWEST, HIGHEST, SEARCHES))]


def searched(runtime: str, seed: int, budget_ms: float) -> dict[str, Any]:
    """Returns the winner of a search, as an export would take it, and the first timing of its file."""
    config = SearchConfig(space="mobile", target=runtime, latency_ms=budget_ms, objectives=("accuracy",), trials=TRIALS,
                          evaluator=f"experiments.certification:{log_macs.__name__}", seed=seed)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        run = run_search(config, Path(directory) / "run")
        chosen = confirmed_winner(run, run.budgets, Silent())
        candidates = run.candidates()
    return {"seed": seed, "budget_ms": budget_ms, "architecture": chosen.architecture, "proposals": len(candidates),
            "within": sum(candidate.feasible for candidate in candidates),
            "search_s": round(time.monotonic() - start, 1), "timings": [timed(runtime, chosen.architecture)]}


def timed(runtime: str, text: str) -> dict[str, Any]:
    """Returns what the file of an untrained network takes in a fresh process, and in a plain loop in another."""
    architecture, target = Architecture.parse(text), parse_target(runtime)
    weights, running = initial_weights(architecture.program, seed=0)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        file = directory / f"model{runtime_of(target).suffix}"
        runtime_of(target).write(architecture, {**weights, **running}, file, {})
        timing = time_files(directory, {"architecture": text, "files": [{"file": file.name, "target": runtime}]}, {})
        plain = subprocess.run([sys.executable, "-m", "experiments.certification", "--plain", file, "--runtimes",
                                runtime, "--side", str(architecture.input.resolution)],
                               check=True, capture_output=True, text=True)
    latency = timing["latencies"][runtime]
    return {"written": timing["environment"]["written"], "plain_ms": float(plain.stdout),
            **{name: round(latency[name], 6) if isinstance(latency[name], float) else latency[name] for name in KEPT}}


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
    """Returns the figures that the bars are about, for each later timing, as far as they are recorded."""
    budgets_ms = np.array([row["budget_ms"] for row in rows])
    found: dict[str, Any] = {"winners": len(rows)}
    for number in range(min((len(row["timings"]) for row in rows), default=0)):
        timings = [row["timings"][number] for row in rows]
        raw_ms, high_ms, plain = (np.array([timing[name] for timing in timings])
                                  for name in ("raw_ms", "raw_high_ms", "plain_ms"))
        found["at the export" if number == 0 else f"later, {number}"] = {
            "medians within the budget": int(np.sum(raw_ms <= budgets_ms)),
            "medians of the plain loop within the budget": int(np.sum(plain <= budgets_ms)),
            "upper ends within the budget (certified)": int(np.sum(high_ms <= budgets_ms)),
            "median share of the budget used": float(np.median(raw_ms / budgets_ms)),
            "largest share of the budget used": float(np.max(raw_ms / budgets_ms)),
            "median clock": float(np.median([timing["clock"] for timing in timings])),
            "slowest clock": float(np.max([timing["clock"] for timing in timings])),
            "flagged": sum(bool(timing["flags"]) for timing in timings)}
    return found


def main() -> None:
    """Searches and times what is not recorded yet, and prints what the records say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runtimes", default="onnxruntime")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin nothing after so many")
    parser.add_argument("--searches", type=int, default=SEARCHES, help="at most so many in all")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        print(plain_ms(arguments.runtimes, arguments.plain, arguments.side))
        return
    end = -math.inf if arguments.report else time.monotonic() + 60 * arguments.minutes
    for runtime in arguments.runtimes.split(","):
        path = RESULTS / f"certification_{runtime}.json"
        record: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"rows": []}
        rows = record["rows"]

        def keep(path: Path = path, record: dict[str, Any] = record, rows: list[dict[str, Any]] = rows) -> None:
            write_whole(path, (json.dumps(record | {"environment": environment(), "report": report(rows)}) + "\n"
                               ).encode())

        if "budgets_ms" not in record and time.monotonic() < end:
            record["budgets_ms"] = percentiles(runtime)
            keep()
        order = np.random.default_rng(0).permutation(SEARCHES)[:arguments.searches]  # so that a part is of all budgets
        for seed in map(int, order[len(rows):]):
            if time.monotonic() < end:
                rows.append(searched(runtime, seed, record["budgets_ms"][seed]))
                print(runtime, len(rows), json.dumps(rows[-1]), flush=True)
                keep()
        for number in range(1, LATER + 1):
            for row in rows:
                if len(row["timings"]) == number and len(rows) == len(order) and time.monotonic() < end:
                    row["timings"].append(timed(runtime, row["architecture"]))
                    keep()
        print(runtime, json.dumps(report(rows), indent=1))


if __name__ == "__main__":
    main()
