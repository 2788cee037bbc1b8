"""Does a second measurement of a latency agree with the first, and does the tool notice when the machine is busy?

    python -m experiments.latency_repeatability            # all passes; what is recorded already is not measured again
    python -m experiments.latency_repeatability --passes 1 # the next pass only
    python -m experiments.latency_repeatability --report   # what the recorded passes say

60 random members of `mobile` are timed on each runtime in four passes, each with a measuring process of its own: two on
a machine with nothing else running, one with a busy loop on another core, one with a busy loop on the core that
measures. A pass takes 1 to 4 minutes; run it alone on the machine. The bars: the two quiet medians differ by at most
2 % in the median case and 6 % at the 95th percentile; the half-width is at most 3 % in the median; the first interval
holds the second median in at least 83 % of cases; at most 2 % of the pairs with disjoint intervals are ranked
differently; under load at least 85 % of measurements are flagged or have an interval that holds the quiet median.
"""

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.machine.files import write_whole
from evaluators.networks.weights import initial_arrays
from evaluators.runtimes import RUNTIMES, Target
from evaluators.timing.meter import LatencyMeter
from nas.measuring.survey import members
from nas.run.environment import environment
from search_spaces import SPACES, Architecture

RESULTS = Path(__file__).parent / "results"
MEMBERS, SEED = 60, 11
PASSES = ("quiet, first", "quiet, second", "busy loop on another core", "busy loop on the same core")
KEPT = ("median_ms", "low_ms", "high_ms", "p95_ms", "duration_s", "quiet_reference_ms", "load", "flags")
DIGITS = 6
BARS = {  # and whether they are upper ones
    "median difference": (0.02, True), "95th percentile of differences": (0.06, True),
    "median half-width": (0.03, True), "first interval holds the second median": (0.83, False),
    "disjoint pairs ranked differently": (0.02, True), "flagged or holds the quiet median": (0.85, False)}


def sample() -> list[Architecture]:
    """Returns the members that are timed."""
    space = SPACES["mobile"].bind(28, 1, 10)
    return [space.decode(assignment) for assignment in members(space, MEMBERS, SEED)]


@contextlib.contextmanager
def busy_loop(condition: str) -> Iterator[None]:
    """Keeps a core busy: that of the measuring process, which is the last one, or another; or none."""
    if condition.startswith("quiet"):
        yield
        return
    cores = sorted(os.sched_getaffinity(0))
    core = cores[-1] if condition.endswith("same core") else cores[0]
    loop = subprocess.Popen([sys.executable, "-c", f"import os\nos.sched_setaffinity(0, [{core}])\nwhile True: pass"])
    try:
        yield
    finally:
        loop.kill()
        loop.wait()


def measure(runtime: str, condition: str) -> list[dict[str, Any]]:
    """Returns the latency of every member, from one measuring process."""
    writer = RUNTIMES[runtime]
    found = []
    with tempfile.TemporaryDirectory() as directory, busy_loop(condition), LatencyMeter(Target(runtime)) as meter:
        for index, architecture in enumerate(sample()):
            path = Path(directory) / f"{architecture.id}{writer.suffix}"
            writer.write(architecture, initial_arrays(architecture.program, seed=0), path, {})
            latency = meter.measure(path, architecture.program.input_shape)
            path.unlink()
            found.append({"id": architecture.id, **{
                name: round(value, DIGITS) if isinstance(value := getattr(latency, name), float) else value
                for name in KEPT}})
            print(f"\r{runtime}, {condition}: {index + 1} of {MEMBERS}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def report(passes: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Returns the figures that the bars are about, as far as the passes are there."""
    if not {*PASSES[:2]} <= passes.keys():
        return {}
    first, second = (np.array([row["median_ms"] for row in passes[name]]) for name in PASSES[:2])
    low, high = (np.array([row[end] for row in passes[PASSES[0]]]) for end in ("low_ms", "high_ms"))
    differences = np.abs(second / first - 1)
    pairs = list(itertools.combinations(range(len(first)), 2))
    disjoint = [(a, b) for a, b in pairs if high[a] < low[b] or high[b] < low[a]]
    reversed_pairs = [(a, b) for a, b in disjoint if (first[a] - first[b]) * (second[a] - second[b]) < 0]
    agreement = sum(np.sign((first[a] - first[b]) * (second[a] - second[b])) for a, b in pairs) / len(pairs)
    found: dict[str, Any] = {
        "median difference": float(np.median(differences)),
        "95th percentile of differences": float(np.quantile(differences, 0.95)),
        "median half-width": float(np.median((high - low) / 2 / first)),
        "first interval holds the second median": float(np.mean((low <= second) & (second <= high))),
        "disjoint pairs ranked differently": len(reversed_pairs) / max(len(disjoint), 1),
        "disjoint pairs": len(disjoint) / len(pairs),
        "Kendall tau": float(agreement),
        "spread (95th / 5th percentile of latencies)": float(np.quantile(first, 0.95) / np.quantile(first, 0.05)),
        "median latency (ms)": float(np.median(first)),
        "flagged, quiet": [sum(bool(row["flags"]) for row in passes[name]) for name in PASSES[:2]],
        "seconds a measurement, quiet": float(np.median([row["duration_s"] for row in passes[PASSES[0]]])),
    }
    quiet = (first + second) / 2
    for name in PASSES[2:]:
        if name in passes:
            rows = passes[name]
            holds = [row["low_ms"] <= value <= row["high_ms"] for row, value in zip(rows, quiet, strict=True)]
            flagged = [bool(row["flags"]) for row in rows]
            found[name] = {
                "flagged or holds the quiet median": float(np.mean(np.array(holds) | flagged)),
                "holds the quiet median": float(np.mean(holds)), "flagged": float(np.mean(flagged)),
                "median half-width": float(np.median([(row["high_ms"] - row["low_ms"]) / 2 / row["median_ms"]
                                                      for row in rows])),
                "median difference": float(np.median(np.abs([row["median_ms"] for row in rows] / quiet - 1))),
            }
    return found


def main() -> None:
    """Makes the measurements that lack in the records, and prints the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runtimes", default="onnxruntime,litert")
    parser.add_argument("--passes", type=int, default=len(PASSES) * len(RUNTIMES), help="at most so many passes")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    left = 0 if arguments.report else arguments.passes
    for runtime in arguments.runtimes.split(","):
        path = RESULTS / f"latency_repeatability_{runtime}.json"
        record: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"passes": {}}
        for condition in PASSES:
            if left and condition not in record["passes"]:
                left -= 1
                record["passes"][condition] = measure(runtime, condition)
                record |= {"environment": environment(), "report": report(record["passes"])}
                write_whole(path, (json.dumps(record) + "\n").encode())
        found = report(record["passes"])
        print(runtime, json.dumps(found, indent=1))
        for name, (bar, at_most) in BARS.items():
            for where in ([found] if name in found else [found.get(busy, {}) for busy in PASSES[2:]]):
                if name in where:
                    print(f"  {name}: {where[name]:.3f}, {'at most' if at_most else 'at least'} {bar}: "
                          f"{'met' if (where[name] <= bar) == at_most or where[name] == bar else 'missed'}")


if __name__ == "__main__":
    main()
