"""How well do 150 timed networks foretell the latency of others on real runtimes?

    python -m experiments.predictor record --target onnxruntime          # all passes that are not recorded yet
    python -m experiments.predictor record --target litert --passes 1    # the next pass only
    python -m experiments.predictor evaluate                             # what recorded passes say; times nothing, 10 s

150 members of `mobile` that the predictor has chosen from 1,000 random ones are timed, and 200 random ones that are
none of these; all three times, each time in another process and order. From each pass over the 150 is learned; the
truth is the median of the three of each of the 200. The predictor is told what the reference model took in the passes
over the 200, since the machine is up to 5 % faster or slower in one pass than in another, with all networks; what it
says without that is beside it. A pass takes 1 to 3 minutes; run `record` alone on the machine.

The bars, on each runtime: the median error is at most 3 % and at most half of that of a straight line through
multiply-adds that is fitted to the same rows; 90 % of the errors are within 10 %; 85 to 95 % of the 90 % intervals hold
the truth.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.machine.files import write_whole
from evaluators.prediction.predictor import LEVEL, Prediction, chosen, fit
from evaluators.prediction.rows import Row
from evaluators.runtimes import parse_target
from experiments.predictor_tables import figures
from nas.measuring.calibration import line_through_macs
from nas.measuring.meters import CAREFUL, file_gauge
from nas.measuring.survey import members
from nas.run.environment import environment
from search_spaces import SPACES, Architecture

RESULTS = Path(__file__).parent / "results"
POOL, TRAINING, TEST = 1000, 150, 200
TRAINING_SEED, TEST_SEED = 21, 22
ROUNDS = 3
PASSES = tuple(f"{part} {index + 1}" for index in range(ROUNDS) for part in ("training", "test"))
KEPT = ("median_ms", "low_ms", "high_ms", "reference_ms", "quiet_reference_ms", "load", "clock")  # of each timing
MEDIAN, REFERENCE = KEPT.index("median_ms"), KEPT.index("quiet_reference_ms")
DIGITS = 6


def networks() -> dict[str, list[Architecture]]:
    """Returns the members that are learned from, and those that are foretold."""
    space = SPACES["mobile"].bind(28, 1, 10)
    pool = [space.decode(assignment) for assignment in members(space, POOL, TRAINING_SEED)]
    training = [pool[index] for index in chosen(pool, TRAINING)]
    others = [space.decode(assignment) for assignment in members(space, TEST + TRAINING, TEST_SEED)]
    return {"training": training, "test": [network for network in others if network not in training][:TEST]}


def timed(target: str, sample: list[Architecture], seed: int, quiet_ms: float | None) -> dict[str, Any]:
    """Returns a timing of every network, in the order of the networks, from one measuring process."""
    start, rows = time.monotonic(), {}
    with file_gauge(parse_target(target), quiet_ms) as gauge:
        for index in np.random.default_rng(seed).permutation(len(sample)).tolist():
            latency = gauge.latency(sample[index], CAREFUL)
            rows[index] = [round(getattr(latency, name), DIGITS) for name in KEPT] + [len(latency.flags)]
            print(f"\r{target}: {len(rows)} of {len(sample)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {"duration_s": round(time.monotonic() - start, 1), "rows": [rows[index] for index in sorted(rows)]}


def record(target: str, passes: int, path: Path) -> None:
    """Times the networks in the passes that are not recorded yet, at most `passes` of them."""
    stored: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {
        "networks": {part: [network.text for network in found] for part, found in networks().items()},
        "columns": [*KEPT, "flags"], "passes": {}}
    done = stored["passes"].setdefault(target, {})
    for name in [name for name in PASSES if name not in done][:passes]:
        sample = [Architecture.parse(text) for text in stored["networks"][name.split()[0]]]
        quiet_ms = min((row[REFERENCE] for found in done.values() for row in found["rows"]), default=None)
        done[name] = timed(target, sample, PASSES.index(name), quiet_ms)
        stored["environment"] = environment()
        write_whole(path, (json.dumps(stored, separators=(",", ":")).replace('],"', '],\n"') + "\n").encode())
        print(f"{target}, {name}: {done[name]['duration_s']} s, "
              f"{sum(row[-1] > 0 for row in done[name]['rows'])} of {len(sample)} flagged")


def evaluate(stored: dict[str, Any]) -> dict[str, Any]:
    """Returns the figures that the bars are about, for each target whose passes are all there."""
    training, test = ([Architecture.parse(text) for text in stored["networks"][part]] for part in ("training", "test"))
    found: dict[str, Any] = {}
    for target, passes in stored["passes"].items():
        if not {*PASSES} <= passes.keys():
            continue
        tests = [np.array(passes[name]["rows"]) for name in PASSES if name.startswith("test")]
        truth = np.median([rows[:, MEDIAN] for rows in tests], axis=0)
        reference_ms = float(np.median([rows[:, REFERENCE] for rows in tests]))
        found[target] = {"median latency (ms)": float(np.median(truth)),
                         "95th / 5th percentile": float(np.quantile(truth, 0.95) / np.quantile(truth, 0.05))}
        for name in (name for name in PASSES if name.startswith("training")):
            rows = [Row(network, row[MEDIAN], row[REFERENCE])
                    for network, row in zip(training, passes[name]["rows"], strict=True)]
            found[target][f"learned from {name}"] = {
                "seconds of timing": passes[name]["duration_s"], **learned(rows, test, truth, reference_ms)}
    return found


def learned(rows: list[Row], test: list[Architecture], truth: np.ndarray, reference_ms: float) -> dict[str, Any]:
    """Returns the agreement with the truth `[N]` of a predictor and of a line through MACs, both fitted to rows."""
    predictor = fit(rows)
    line = line_through_macs(rows, test) * predictor.slowdown(reference_ms)
    return {"slowdown since": predictor.slowdown(reference_ms),
            "predictor": judged(predictor.predict(test, reference_ms), truth),
            "predictor that is not told the slowdown": judged(predictor.predict(test), truth),
            "line through MACs": figures(line, truth)}


def judged(predictions: list[Prediction], truth: np.ndarray) -> dict[str, float]:
    """Returns the agreement of predictions with the truth `[N]`, and the coverage and half-width of their intervals."""
    low, high = np.array([prediction.interval_ms() for prediction in predictions]).T
    return figures(np.array([prediction.median_ms for prediction in predictions]), truth) | {
        f"inside the {LEVEL:.0%} interval": float(np.mean((low <= truth) & (truth <= high))),
        "median half-width": float(np.median(high / low) / 2 - 0.5)}


def main() -> None:
    """Records the timings, or evaluates the predictor on them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("phase", choices=("record", "evaluate"))
    parser.add_argument("--target", default="onnxruntime")
    parser.add_argument("--passes", type=int, default=len(PASSES), help="at most so many passes")
    parser.add_argument("--timings", type=Path, default=RESULTS / "predictor_timings.json")
    arguments = parser.parse_args()
    if arguments.phase == "record":
        record(arguments.target, arguments.passes, arguments.timings)
        return
    found = evaluate(json.loads(arguments.timings.read_text()))
    for target, result in found.items():
        print(target, json.dumps(result, indent=1))
    write_whole(RESULTS / "predictor.json", (json.dumps({"results": found}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
