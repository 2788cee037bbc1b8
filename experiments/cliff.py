"""Does a search avoid the slow blocks of its target without being told?

    python -m experiments.cliff            # what is not recorded yet: a search on each runtime, both fronts on both
    python -m experiments.cliff --report   # the table of what is recorded

LiteRT has a cliff: float32 depthwise kernels above 5x5 leave its fast path, while in ONNX Runtime they cost little more
than small ones. Two searches of `mobile` differ in nothing but their target: the same budget, seed and accuracy, which
is a stand-in that rewards multiply-adds and, twice as much, the sum of the kernel sizes of all depthwise layers, so
that nothing is trained and both would rather have large kernels. A third of the layers of random members are above 5x5.
The fronts are then timed again on both runtimes, in fresh processes. Takes 2 minutes a search; run it alone on the
machine.
"""

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evaluators.machine.files import write_whole
from nas.engine.search import run_search
from nas.measuring.meters import file_gauges
from nas.measuring.remeasuring import decided
from nas.problem.candidate import distinct, front
from nas.run.config import SearchConfig
from nas.run.environment import environment
from search_spaces import Architecture
from search_spaces.layers import Convolution

RESULT = Path(__file__).parent / "results" / "cliff.json"
RUNTIMES = ("onnxruntime", "litert")
BUDGET_MS, TRIALS, SEED = 0.2, 16, 0
FAST = 5  # the largest kernel before the cliff


def depthwise_layers(architecture: Architecture) -> list[tuple[int, int]]:
    """Returns kernel size and multiply-adds of each depthwise layer."""
    return [(max(operation.layer.kernel), operation.macs) for operation in architecture.program.operations
            if isinstance(operation.layer, Convolution) and operation.layer.groups > 1]


def share_above(texts: Iterable[str]) -> float:
    """Returns the share of the multiply-adds in depthwise layers that is beyond the cliff."""
    layers = [layer for text in texts for layer in depthwise_layers(Architecture.parse(text))]
    return sum(macs for kernel, macs in layers if kernel > FAST) / sum(macs for _, macs in layers)


def capacity(architecture: Architecture, data: object, fidelity: object) -> float:
    """Returns a stand-in for the accuracy, in [0, 1]."""
    return math.log10(architecture.macs / 1e3 * sum(kernel for kernel, _ in depthwise_layers(architecture)) ** 2) / 12


def searched(runtime: str) -> dict[str, Any]:
    """Returns the front of a search on a runtime, timed again on both."""
    config = SearchConfig(space="mobile", target=runtime, latency_ms=BUDGET_MS, trials=TRIALS, seed=SEED,
                          evaluator=f"experiments.cliff:{capacity.__name__}")
    with tempfile.TemporaryDirectory() as directory:
        candidates = run_search(config, Path(directory) / "run").candidates()
    members = []
    for candidate in distinct(front(candidates, config.objectives)):
        architecture = Architecture.parse(candidate.architecture)
        with file_gauges(RUNTIMES) as gauges:
            latencies = decided(gauges, architecture)
        members.append({
            "architecture": candidate.architecture, "capacity": round(capacity(architecture, None, None), 4),
            "search_ms": candidate.latency_ms,
            **{f"{name}_ms": [round(value, 5) for value in (latency.median_ms, latency.low_ms, latency.high_ms)]
               for name, latency in latencies.items()}})
        print(runtime, json.dumps(members[-1]), flush=True)
    return {"proposals": len(candidates), "front": members, "environment": environment()}


def table(record: dict[str, Any]) -> str:
    """Returns the fronts as a table in Markdown, with the medians of their latencies."""
    lines = [f"| front of | stand-in | depthwise multiply-adds above {FAST}x{FAST} | onnxruntime (ms) | litert (ms) |",
             "|---" * 5 + "|"]
    for runtime, found in record.items():
        for member in found["front"]:
            times_ms = (member[f"{name}_ms"][0] for name in RUNTIMES)
            lines.append(f"| {runtime} | {member['capacity']:.3f} | {share_above([member['architecture']]):.0%} | "
                         + " | ".join(f"{time_ms:.4f}" for time_ms in times_ms) + " |")
    for runtime, found in record.items():
        share = share_above(member["architecture"] for member in found["front"])
        medians = ", ".join(f"{statistics.median(member[f'{name}_ms'][0] for member in found['front']):.4f} ms on "
                            f"{name}" for name in RUNTIMES)
        lines.append(f"\n{runtime}: {share:.0%} of the multiply-adds in depthwise layers of its front are in kernels "
                     f"above {FAST}x{FAST}; its members take {medians} (median)")
    return "\n".join(lines)


def main() -> None:
    """Makes the searches that lack in the records, and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--report", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    record: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for runtime in RUNTIMES:
        if not arguments.report and runtime not in record:
            record[runtime] = searched(runtime)
            write_whole(RESULT, (json.dumps(record) + "\n").encode())
    print(table(record))


if __name__ == "__main__":
    main()
