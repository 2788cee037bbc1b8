"""Does a model slow down in proportion when the reference model does, below the slow spells of a noisy machine?

    python -m experiments.clock_of_the_reference

Four members of `mobile` run on each runtime for 9 s in short bursts, each between two bursts of the reference, as in a
measurement. Takes 80 s; run it alone on the machine. Bursts are sorted by how much slower than its best the reference
was; printed and written to results/clock_of_the_reference.json are the share of each class and how much slower than its
best the model was in it (median). Proportion means that both columns grow alike.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.machine.files import write_whole
from evaluators.networks.weights import initial_arrays
from evaluators.runtimes import RUNTIMES, Options, Runtime
from evaluators.timing.process import REFERENCE, noise
from evaluators.timing.protocol import BURST_MS, LOST, Bench, Run
from experiments.latency_repeatability import sample
from nas.run.environment import environment
from search_spaces import Architecture

RESULT = Path(__file__).parent / "results" / "clock_of_the_reference.json"
MEMBERS, SECONDS = (0, 7, 20, 33), 9.0
CLASSES = (1.0, 1.01, 1.02, 1.03, 1.04, 1.05)
BEST = 0.02  # the quantile that stands for the best
FEWEST = 20  # bursts of a class


def prepared(runtime: Runtime, architecture: Architecture, directory: Path) -> Run:
    """Returns one run of an untrained network on a runtime."""
    path = directory / f"{architecture.id}{runtime.suffix}"
    runtime.write(architecture, initial_arrays(architecture.program, seed=0), path, {})
    return runtime.load(path, Options()).prepared(noise(1, architecture.program.input_shape))


def classes(bench: Bench, run: Run) -> list[dict[str, Any]]:
    """Returns the share of each class of bursts, and how much slower than its best the model was in it."""
    runs = min(max(round(BURST_MS / bench._warm_up(run)), 1), 50)
    references, values, kept = [bench._reference_ms()], [], []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        burst, lost = bench._burst(run, runs)
        references.append(bench._reference_ms())
        values.append(float(np.median(burst)))
        kept.append(lost <= LOST)
    slower = np.maximum(references[1:], references[:-1])[kept]
    model = np.array(values)[kept]
    slower, model = slower / np.quantile(slower, BEST), model / np.quantile(model, BEST)
    found = []
    for low, high in zip(CLASSES, (*CLASSES[1:], np.inf), strict=True):
        within = (slower >= low) & (slower < high) if low > 1 else slower < high
        found.append({"reference": low, "share": round(float(np.mean(within)), 4),
                      "model": round(float(np.median(model[within])), 4) if np.sum(within) >= FEWEST else None})
    return found


def main() -> None:
    """Runs the study."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    found: dict[str, Any] = {}
    members = sample()
    for name in ("onnxruntime", "litert"):
        with tempfile.TemporaryDirectory() as directory:
            bench = Bench(prepared(RUNTIMES[name], REFERENCE, Path(directory)))
            for index in MEMBERS:
                rows = classes(bench, prepared(RUNTIMES[name], members[index], Path(directory)))
                found[f"{name} {members[index].id}"] = rows
                print(name, members[index].id, *(f"{row['reference']:.2f}: {row['model']} ({row['share']:.1%})"
                                                 for row in rows), sep="  ")
    write_whole(RESULT, (json.dumps({"classes": found, "environment": environment()}) + "\n").encode())


if __name__ == "__main__":
    main()
