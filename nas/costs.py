"""What a candidate costs on its target, cheap things first: counts, the size of its file, measured latency."""

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evaluators.latency import Latency, LatencyMeter, Precision
from evaluators.runtimes import RUNTIMES, Target
from evaluators.weights import initial_weights
from nas.budget import Budgets, Costs, is_feasible
from search_spaces.architecture import Architecture

CAREFUL = Precision()
ROUGH = Precision(half_width=0.1, at_least_s=0.1, at_most_s=1.0)


class Gauge(Protocol):
    """What finds the costs of an architecture that are not in its text."""

    def size_bytes(self, architecture: Architecture) -> int:
        """Returns the size of its model file."""
        ...

    def latency(self, architecture: Architecture, precision: Precision) -> Latency:
        """Returns its measured latency, as exactly as asked."""
        ...


@dataclass(frozen=True)
class FileGauge:
    """Writes model files of untrained networks and times them in a process of their own."""

    target: Target
    meter: LatencyMeter
    directory: Path

    def size_bytes(self, architecture: Architecture) -> int:
        """Returns the size of the model file that the target's runtime writes."""
        return self._file(architecture).stat().st_size

    def latency(self, architecture: Architecture, precision: Precision) -> Latency:
        """Returns the latency measured on the target, as exactly as asked."""
        shape = (architecture.input.resolution, architecture.input.resolution, architecture.input.channels)
        return self.meter.measure(self._file(architecture), shape, precision)

    def _file(self, architecture: Architecture) -> Path:
        runtime = RUNTIMES[self.target.runtime]
        path = self.directory / f"{architecture.id}{runtime.suffix}"
        if not path.exists():
            for old in self.directory.iterdir():
                old.unlink()
            weights, statistics = initial_weights(architecture.program, seed=0)
            runtime.write(architecture, {**weights, **statistics}, path, {})
        return path


@contextmanager
def file_gauge(target: Target, quiet_ms: float | None = None) -> Iterator[FileGauge]:
    """Yields the gauge of a target; its process and files end with the context.

    `quiet_ms` is what the reference model takes when the machine is quiet, if that is known from before.
    """
    directory = Path(tempfile.mkdtemp(prefix="paretonas-"))
    try:
        with LatencyMeter(target, quiet_ms=quiet_ms) as meter:
            yield FileGauge(target, meter, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def counted(architecture: Architecture) -> Costs:
    """Returns the costs that follow from the text alone."""
    return Costs(macs=architecture.macs, params=architecture.params, memory_bytes=architecture.memory_bytes)


def costs_within(architecture: Architecture, budgets: Budgets, gauge: Gauge, timed: bool,
                 precision: Precision = CAREFUL) -> tuple[Costs, Latency | None]:
    """Returns the costs of an architecture, found one after the other until one breaks its budget.

    Args:
        architecture: the candidate.
        budgets: the limits; nothing dearer is measured once one is exceeded.
        gauge: what measures.
        timed: whether the latency is wanted even without a budget for it.
        precision: how exact the latency is to be.
    """
    costs = counted(architecture)
    if is_feasible(budgets.violations(costs)):
        costs = dataclasses.replace(costs, size_bytes=gauge.size_bytes(architecture))
    if is_feasible(budgets.violations(costs)) and timed:
        latency = gauge.latency(architecture, precision)
        return dataclasses.replace(costs, latency_ms=latency.median_ms,
                                   latency_ci_ms=(latency.low_ms, latency.high_ms)), latency
    return costs, None
