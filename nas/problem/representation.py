"""Candidates as notebooks show them."""

from collections.abc import Iterator, Sequence

from nas.problem.candidate import Candidate, Interval
from nas.problem.quantities import QUANTITIES
from search_spaces.markup import html_table


class Front(list[Candidate]):
    """The candidates of a front, fastest first; a list that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return front_html(self)


def candidate_html(candidate: Candidate) -> str:
    """Returns a table of all that is known of a candidate."""
    return html_table(f"trial {candidate.trial}: {candidate.outcome}", ("", "value"), _facts(candidate))


def front_html(candidates: Sequence[Candidate], caption: str = "") -> str:
    """Returns a table with a row for each candidate."""
    costs = [name for name, quantity in QUANTITIES.items() if not quantity.of_target]
    head = ("trial", "accuracy (%)", "latency (ms)", *(QUANTITIES[name].title for name in costs), "architecture")
    rows = ((one.trial, _percent(one), _latency(one), *(_cost(one, name) for name in costs), one.architecture)
            for one in candidates)
    return html_table(caption or f"{len(candidates)} candidates", head, rows)


def _facts(candidate: Candidate) -> Iterator[tuple[str, str]]:
    yield "accuracy (%)", _percent(candidate)
    yield "epochs", f"{candidate.epochs}{'' if candidate.trained else ', not all'}"
    for target, latency in candidate.costs.latencies.items():
        yield f"latency (ms) on {target}", _interval(latency.median_ms, (latency.low_ms, latency.high_ms), ".4g")
    for name, quantity in QUANTITIES.items():
        if not quantity.of_target:
            yield quantity.title, _cost(candidate, name)
    yield "within the budgets", "yes" if candidate.feasible else "no"
    if candidate.reason:
        yield "reason", candidate.reason
    yield "architecture", candidate.architecture


def _percent(candidate: Candidate) -> str:
    if candidate.accuracy is None:
        return ""
    interval = candidate.accuracy_ci
    return _interval(100 * candidate.accuracy, interval and (100 * interval[0], 100 * interval[1]), ".2f")


def _latency(candidate: Candidate) -> str:
    return "" if candidate.latency_ms is None else _interval(candidate.latency_ms, candidate.latency_ci_ms, ".4g")


def _cost(candidate: Candidate, name: str) -> str:
    value = candidate.costs.value(name)
    return "" if value is None else QUANTITIES[name].scale.format(value)


def _interval(value: float, ends: Interval | None, form: str) -> str:
    return f"{value:{form}}" + (f" [{ends[0]:{form}}, {ends[1]:{form}}]" if ends else "")
