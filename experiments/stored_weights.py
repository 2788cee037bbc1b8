"""What do files of int8, float16 and int8-weights save of those of float32, and what do they cost?

    python -m experiments.stored_weights            # what is not recorded yet
    python -m experiments.stored_weights --report   # the table of what is recorded

The networks of `experiments.int8`, with the weights that are kept in build/int8 (half an hour on two cores where they
are not), are written in every precision for ONNX Runtime and for LiteRT, those of int8 calibrated as in an export. Each
file is run on all test images, and timed in turns with the others in one process; the record is `stored_weights.json`.
A network takes half a minute; run it alone on the machine. Expected: stored weights cost no time and next to no
accuracy, and int8 is slower than float32 in some networks.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from evaluators.datasets import Dataset
from evaluators.machine.ownership import temporary_directory
from evaluators.networks.weights import Weights
from evaluators.runtimes import in_precision, parse_target
from evaluators.runtimes.target import FLOAT32, PRECISIONS
from evaluators.timing.meter import LatencyMeter
from experiments.int8 import ROOT, recorded
from nas.export.comparison import TURNS
from nas.export.delivery import SLOWER
from nas.export.formats import format_of
from nas.measuring.inputs import batches_of, calibration_images, logits_for
from nas.measuring.meters import CAREFUL
from search_spaces import Architecture

RESULT = ROOT / "experiments/results/stored_weights.json"
RUNTIMES = "onnxruntime", "litert"
OTHERS = tuple(precision for precision in PRECISIONS if precision != FLOAT32)


def measured(architecture: Architecture, arrays: Weights, dataset: Dataset) -> dict[str, Any]:
    """Returns the results of `by_precision` for each runtime."""
    return {runtime: by_precision(architecture, arrays, dataset, runtime) for runtime in RUNTIMES}


def by_precision(architecture: Architecture, arrays: Weights, dataset: Dataset, runtime: str) -> dict[str, Any]:
    """Returns the size, the accuracy and, for each turn, the latency of a network's files by precision."""
    calibration = calibration_images(architecture, dataset, seed=0)
    found: dict[str, Any] = {}
    with temporary_directory() as place, LatencyMeter(parse_target(runtime)) as meter:
        files = {}
        for precision in PRECISIONS:
            form = format_of(parse_target(in_precision(runtime, precision)))
            path = files[precision] = place / f"{precision}{form.suffix}"
            form.write(architecture, arrays, path, {}, calibration)
            logits = logits_for(form.load(path), batches_of(architecture, dataset, dataset.test), len(dataset.test))
            found[precision] = {"size_bytes": path.stat().st_size,
                                "accuracy": float(np.mean(logits.argmax(-1) == dataset.test.labels)),
                                "latencies_ms": []}
        for _ in range(TURNS):
            for precision, path in files.items():
                latency = meter.measure(path, architecture.program.input_shape, CAREFUL)
                found[precision]["latencies_ms"].append(round(latency.median_ms, 6))
    return found


def size_percent(file: Mapping[str, Any], float32: Mapping[str, Any]) -> float:
    """Returns the size of a file as a share of that of its float32 form."""
    return 100 * file["size_bytes"] / float32["size_bytes"]


def points_lost(file: Mapping[str, Any], float32: Mapping[str, Any]) -> float:
    """Returns the accuracy that a file loses against its float32 form, in percentage points."""
    return 100 * (float32["accuracy"] - file["accuracy"])


def latency_ratio(file: Mapping[str, Any], float32: Mapping[str, Any]) -> float:
    """Returns the latency of a file as a multiple of that of its float32 form: the median over the turns."""
    return statistics.median(own / other for own, other in
                             zip(file["latencies_ms"], float32["latencies_ms"], strict=True))


COLUMNS: dict[str, tuple[Callable[[Mapping[str, Any], Mapping[str, Any]], float], str]] = {
    "size (% of float32)": (size_percent, ".0f"), "points lost": (points_lost, ".2f"),
    "latency (times float32)": (latency_ratio, ".2f")}


def table(record: Mapping[str, Any]) -> str:
    """Returns the medians over the recorded networks, with the least and the most, as a table in Markdown."""
    networks = record["networks"].values()
    lines = [f"| of {len(networks)} networks | " + " | ".join(COLUMNS) + " | slower than float32 |",
             "|---|" + "---|" * (len(COLUMNS) + 1)]
    for runtime in RUNTIMES if networks else ():
        lines += [row(runtime, precision, [network[runtime] for network in networks]) for precision in OTHERS]
    return "\n".join(lines)


def row(runtime: str, precision: str, networks: Sequence[Mapping[str, Any]]) -> str:
    """Returns the row of a table for the files of a precision, given each network's files by precision."""
    pairs = [(files[precision], files[FLOAT32]) for files in networks]
    cells = []
    for figure, form in COLUMNS.values():
        values = [figure(*pair) for pair in pairs]
        cells.append(f"{statistics.median(values):{form}} [{min(values):{form}}, {max(values):{form}}]")
    slower = sum(latency_ratio(*pair) > SLOWER for pair in pairs)
    return f"| {runtime}, {precision} | {' | '.join(cells)} | {slower} |"


def main() -> None:
    """Measures the networks that are not recorded yet, and prints the table."""
    print(table(recorded(__doc__ or "", RESULT, measured)))


if __name__ == "__main__":
    main()
