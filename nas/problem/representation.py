"""Candidates as notebooks show them."""

from collections.abc import Iterator, Sequence

from nas.problem.candidate import Candidate, Interval, metric_of
from nas.problem.quantities import QUANTITIES
from search_spaces.markup import html_table
from search_spaces.numbers import count_of

COSTS = [name for name, quantity in QUANTITIES.items() if not quantity.of_target]


class Front(list[Candidate]):
    """The candidates of a front: a list that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return front_html(self)


def candidate_html(candidate: Candidate) -> str:
    """Returns a table of all that is known of a candidate."""
    known = (fact for fact in _facts(candidate) if fact[1])
    return html_table(f"trial {candidate.trial}: {candidate.outcome}", ("", "value"), known)


def front_html(candidates: Sequence[Candidate], caption: str = "") -> str:
    """Returns a table with a row for each candidate, and a column for all that is known of one of them."""
    columns = {"trial": [str(one.trial) for one in candidates],
               f"{metric_of(candidates).title} (%)": list(map(_percent, candidates)),
               "latency (ms)": list(map(_latency, candidates)),
               **{QUANTITIES[name].title: [_cost(one, name) for one in candidates] for name in COSTS},
               "architecture": [one.architecture for one in candidates]}
    known = {title: column for title, column in columns.items() if any(column)}
    return html_table(caption or count_of(len(candidates), "candidate"), known, zip(*known.values(), strict=True))


def _facts(candidate: Candidate) -> Iterator[tuple[str, str]]:
    yield f"{metric_of([candidate]).title} (%)", _percent(candidate)
    yield "float32 (%)", "" if candidate.float32_accuracy is None else f"{100 * candidate.float32_accuracy:.2f}"
    yield "epochs", f"{candidate.epochs}{'' if candidate.trained else ', not all'}"
    for target, latency in candidate.costs.latencies.items():
        yield f"latency (ms) on {target}", _interval(latency.median_ms, (latency.low_ms, latency.high_ms), ".4g")
    for name in COSTS:
        yield QUANTITIES[name].title, _cost(candidate, name)
    yield "within the budgets", "yes" if candidate.feasible else "no"
    yield "reason", candidate.reason or ""
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
