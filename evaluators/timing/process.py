"""The process in which model files are timed: one request a line on its input, one answer a line on its output.

It is spawned by `evaluators.timing.meter`, serves one target, and imports only what that target's runtime needs. A
model file that cannot be run is answered with an error; one that kills the process kills nothing else.

The first request is `{"target": text, "reference": path, "cores": [...], "quiet_ms": number or null}`, every other one
`{"model": path, "images": path of an .npy file, "precision": {...}}`. Answers are `{"latency": {...}}` or
`{"error": text, "trouble": whether it is of the machine}`.
"""

import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.latency import Latency, Precision
from evaluators.machine.processes import leave_ending_to_parent
from evaluators.machine.trouble import is_trouble
from evaluators.runtimes import Place, Target, parse_target, runtime_of
from evaluators.timing.protocol import Bench
from search_spaces.architecture import Architecture

STAT = Path("/proc/stat")  # of Linux
REFERENCE = Architecture.parse(
    "in_r14_c1+conv_k3_c16_s2_relu+mb_k3_e3_c16_s1_se0_relu+mb_k5_e3_c24_s2_se0.25_hswish+mb_k3_e3_c24_s1_se0_relu6"
    "+head_c64_relu_n10")


def noise(batch: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Returns normal noise `[B, H, W, C]`, always the same."""
    return np.random.default_rng(0).standard_normal((batch, *shape), np.float32)


def machine_ns() -> int:
    """Returns the time that all processes have spent on all cores since the machine started; 0 where it is not told."""
    if not STAT.exists():
        return 0
    user, nice, system, _, _, irq, softirq, *_ = map(int, STAT.read_text().partition("\n")[0].split()[1:])
    return (user + nice + system + irq + softirq) * 10**9 // os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Station:
    """A target, ready to time its model files in this process."""

    target: Target
    bench: Bench

    @classmethod
    def open(cls, target: Target, reference: Path, quiet_ms: float | None) -> "Station":
        """Returns the station of a target, given the file of `REFERENCE` that its runtime has written."""
        runtime = runtime_of(target)
        run = runtime.load(reference, target.options).prepared(
            noise(target.options.batch, REFERENCE.program.input_shape))
        return cls(target, Bench(run, quiet_ms, None if runtime.place is Place.HERE else time.process_time_ns,
                                 machine_ns=machine_ns))

    def measure(self, model: Path, images: np.ndarray, precision: Precision) -> Latency:
        """Returns the latency of a model file on images `[B, H, W, C]`."""
        session = runtime_of(self.target).load(model, self.target.options)
        return self.bench.measure(session.prepared(images), precision)


def main() -> None:
    """Serves requests until the input ends; libraries that print on the standard output reach the error output."""
    leave_ending_to_parent()  # which closes our input
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        station: Station | None = None
        answer: dict[str, Any]
        for line in sys.stdin:
            try:
                request = json.loads(line)
                if station is None:
                    station, answer = _open(request), {}
                else:
                    answer = {"latency": dataclasses.asdict(_measure(station, request))}
            except Exception as error:  # whatever a model file or its runtime raises is the answer
                answer = {"error": " ".join(f"{type(error).__name__}: {error}".split()), "trouble": is_trouble(error)}
            print(json.dumps(answer), file=answers, flush=True)


def _open(request: dict[str, Any]) -> Station:
    if request["cores"]:
        os.sched_setaffinity(0, request["cores"])
    return Station.open(parse_target(request["target"]), Path(request["reference"]), request["quiet_ms"])


def _measure(station: Station, request: dict[str, Any]) -> Latency:
    images = np.load(request["images"], allow_pickle=False)
    return station.measure(Path(request["model"]), images, Precision(**request["precision"]))


if __name__ == "__main__":
    main()
