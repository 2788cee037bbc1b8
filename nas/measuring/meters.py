"""The costs of a candidate on its targets, cheap ones first: counts, the size of its file, measured latency."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from evaluators.latency import Latency, Precision
from evaluators.machine.ownership import temporary_directory
from evaluators.networks.weights import initial_arrays
from evaluators.runtimes import Target, is_predicting, parse_target, require_usable, runtime_of
from evaluators.timing.meter import LatencyMeter
from nas.problem.budgets import Budgets, is_feasible
from nas.problem.costs import Costs
from search_spaces.architecture import Architecture

ROUGH = Precision(half_width=0.1, at_least_s=0.1, at_most_s=1.0)
CAREFUL = Precision()
CLOSE = Precision(half_width=0.025, at_least_s=1.5, at_most_s=6.0)
DECIDING = Precision(half_width=0.025, at_least_s=2.0, at_most_s=10.0)  # of what is certified


class Gauge(Protocol):
    """A source of the costs of an architecture on a target, as far as they are not in its text."""

    def size_bytes(self, architecture: Architecture) -> int:
        """Returns the size of its model file."""
        ...

    def latency(self, architecture: Architecture, precision: Precision) -> Latency:
        """Returns the measured latency of the network, as exactly as asked."""
        ...


@dataclass(frozen=True)
class FileGauge:
    """Writes model files of untrained networks and times them; without a meter the target's runtime predicts."""

    target: Target
    meter: LatencyMeter | None
    directory: Path

    def size_bytes(self, architecture: Architecture) -> int:
        """Returns the size of the model file that the target's runtime writes."""
        return self._file(architecture).stat().st_size

    def latency(self, architecture: Architecture, precision: Precision) -> Latency:
        """Returns the latency measured on the target, as exactly as asked, or predicted for it."""
        if is_predicting(runtime := runtime_of(self.target)):
            return runtime.latency(architecture)
        assert self.meter is not None, "files are timed by a meter"
        shape = (architecture.input.resolution, architecture.input.resolution, architecture.input.channels)
        return self.meter.measure(self._file(architecture), shape, precision)

    def _file(self, architecture: Architecture) -> Path:
        runtime = runtime_of(self.target)
        path = self.directory / f"{architecture.id}{runtime.suffix}"
        if not path.exists():
            for old in self.directory.iterdir():
                old.unlink()
            runtime.write(architecture, initial_arrays(architecture.program, seed=0), path, {})
        return path


@dataclass(frozen=True)
class RememberingGauge:
    """A gauge that does not time a network again which was timed before, to find out whether it meets the same limit.

    A search times networks to see which fill its budget, and begins with these: a second timing would take as long, and
    a neighbour that has come in between might rule them out. A third question is answered by a timing again, and so is
    one about the network that was timed last, which is to be known more exactly.
    """

    gauge: Gauge
    _known: dict[Architecture, Latency] = field(default_factory=dict)

    def size_bytes(self, architecture: Architecture) -> int:
        """Returns the size of its model file."""
        return self.gauge.size_bytes(architecture)

    def latency(self, architecture: Architecture, precision: Precision) -> Latency:
        """Returns the latency, measured as exactly as asked, or before if that tells on which side of a limit it is."""
        last = next(reversed(self._known), None)
        known = self._known.pop(architecture, None)
        limit_ms = precision.limit_ms
        if known and architecture != last and math.isfinite(limit_ms) and not known.may_be(limit_ms):
            return known
        found = self._known[architecture] = self.gauge.latency(architecture, precision)
        return found


@contextmanager
def file_gauge(target: Target, quiet_ms: float | None = None, wait_s: float = math.inf) -> Iterator[FileGauge]:
    """Yields the gauge of a target; its process and files end with the context.

    `quiet_ms` is what the reference model takes when the machine is quiet, if that is known from before; `wait_s` is
    how long a measurement waits for its turn.
    """
    require_usable(target)
    with ExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        meter = (None if is_predicting(runtime_of(target)) else
                 stack.enter_context(LatencyMeter(target, quiet_ms=quiet_ms, wait_s=wait_s)))
        yield FileGauge(target, meter, directory)


def counted(architecture: Architecture) -> Costs:
    """Returns the costs that follow from the text alone."""
    return Costs(macs=architecture.macs, params=architecture.params, memory_bytes=architecture.memory_bytes)


Gauges = Mapping[str, Gauge]  # one for each target, by its text, in the order of the search's targets


@contextmanager
def file_gauges(targets: Sequence[str], quiet_ms: Mapping[str, float] | None = None, wait_s: float = math.inf
                ) -> Iterator[Gauges]:
    """Yields the gauge of each target; their processes and files end with the context.

    `quiet_ms` is what the reference model takes on each target when the machine is quiet, where that is known; `wait_s`
    is how long a measurement waits for its turn.
    """
    with ExitStack() as stack:
        yield {target: stack.enter_context(file_gauge(parse_target(target), (quiet_ms or {}).get(target), wait_s))
               for target in targets}


def costs_within(architecture: Architecture, budgets: Budgets, gauges: Gauges, timed: Sequence[str],
                 precisions: Sequence[Precision] = (CAREFUL, CLOSE)) -> Costs:
    """Returns the costs of an architecture, found one after the other until one breaks its budget.

    Args:
        architecture: the candidate.
        budgets: the limits; nothing dearer is measured once one is exceeded.
        gauges: what measures.
        timed: the targets on which the latency is wanted.
        precisions: how exact a latency is to be; the next one is asked for where a limit lies within the interval. One
            that surely exceeds a limit of the median may be known less exactly.
    """
    costs = counted(architecture)
    if is_feasible(budgets.violations(costs)):
        sizes_bytes = [gauge.size_bytes(architecture) for gauge in gauges.values()]
        costs = dataclasses.replace(costs, size_bytes=max(sizes_bytes, default=None))
    for target in timed:
        if not is_feasible(budgets.violations(costs)):
            break
        limit_ms = min((limit.value for limit in budgets.limits.values()
                        if limit.quantity == "latency" and limit.target == target), default=math.inf)
        for precision in precisions:
            latency = gauges[target].latency(architecture, dataclasses.replace(precision, limit_ms=limit_ms))
            costs = dataclasses.replace(costs, latencies={**costs.latencies, target: latency})
            if is_feasible(budgets.violations(costs)) or exceeds_at_best(budgets, target, latency):
                break
    return costs


def exceeds_at_best(budgets: Budgets, target: str, latency: Latency) -> bool:
    """Tells whether even the lower end of a latency's interval on a target is over a limit there."""
    at_best = Costs(latencies={target: dataclasses.replace(latency, high_ms=latency.low_ms)})
    return not is_feasible(budgets.violations(at_best))
