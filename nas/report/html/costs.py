"""The costs that accuracy is drawn against, each with its axis."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from nas.problem.candidate import Candidate, Interval
from nas.problem.quantities import QUANTITIES
from nas.report.html.axes import Axis
from nas.report.html.findings import Findings

TITLES = {"macs": "multiply-adds", "params": "parameters", "memory": "memory of activations",
          "size": "size of the file"}
FAR = 1.5  # times the largest cost of interest: what costs more stands at the end of the axis


@dataclass(frozen=True)
class Cost:
    """A cost that accuracy is drawn against.

    Attributes:
        name: what it is called, with its target where it is of one.
        axis: its axis.
        value: of a candidate, None where it is not known.
        interval: of its value, where it has one.
        limit: its budget, if there is one.
        written: a value in words.
        objective: whether the front is of it.
    """

    name: str
    axis: Axis
    value: Callable[[Candidate], float | None]
    interval: Callable[[Candidate], Interval | None]
    limit: float | None
    written: Callable[[float], str]
    objective: bool


def costs_of(found: Findings) -> Iterator[Cost]:
    """Yields the costs that are known of some network: latencies on the targets first, then what its text tells."""
    limits, objectives = found.budgets.limits, found.config.objectives
    for index, target in enumerate(found.config.targets):
        limit, value, interval = limits.get(f"latency@{target}" if index else "latency"), *_on(target)
        ends = [end for one in found.drawn if one.epochs for end in interval(one) or ()]
        yield from _cost(found, f"latency on {target}", " (ms)", value, interval, limit.value if limit else None, ends,
                         "{:.3g}".format, QUANTITIES["latency"].scale.format, not index and "latency" in objectives)
    for name, title in TITLES.items():
        limit, written = limits.get(name), QUANTITIES[name].scale.format
        yield from _cost(found, title, "", partial(_known, name), lambda one: None, limit.value if limit else None, (),
                         partial(_rounded, written), written, name in objectives)


def _cost(found: Findings, name: str, unit: str, value: Callable[[Candidate], float | None],
          interval: Callable[[Candidate], Interval | None], limit: float | None, ends: Sequence[float],
          at_ticks: Callable[[float], str], written: Callable[[float], str], objective: bool) -> Iterator[Cost]:
    known = [(one, cost) for one in found.drawn if (cost := value(one))]
    if known:
        of_interest = [cost for one, cost in known if one.epochs] or [cost for _, cost in known]
        most = FAR * max(*of_interest, limit or 0.0, *ends)
        values = [*(min(cost, most) for _, cost in known), *ends, *([limit] if limit else [])]
        yield Cost(name, Axis.around(f"{name}{unit}", values, at_ticks), value, interval, limit, written, objective)


def _known(name: str, one: Candidate) -> float | None:
    return one.costs.value(name)


def _rounded(written: Callable[[float], str], value: float) -> str:
    return written(round(value))


def _on(target: str) -> tuple[Callable[[Candidate], float | None], Callable[[Candidate], Interval | None]]:
    """Returns the latency of a candidate on a target, and its interval."""
    def value(one: Candidate) -> float | None:
        latency = one.costs.latencies.get(target)
        return latency.median_ms if latency else None

    def interval(one: Candidate) -> Interval | None:
        latency = one.costs.latencies.get(target)
        return (latency.low_ms, latency.high_ms) if latency and latency.low_ms < latency.high_ms else None

    return value, interval
