"""Compared runs as rows, as a table and as lines."""

import dataclasses
from collections.abc import Iterator

from rich import box
from rich.table import Table
from rich.text import Text

from nas.problem.candidate import OBJECTIVES, Candidate
from nas.problem.quantities import QUANTITIES
from nas.report.fronts import LATENCY, ComparedRun, Comparison, Estimate
from nas.report.measured import UNKNOWN, accuracy_text, latency_text
from nas.report.records import Row
from nas.report.table import easy_text

CAPTION = ("volume: the share of the box from guessing to all correct, and from no {cost} to {end}, that the front "
           "covers; brackets are 95 % intervals")
SIGNS = "●▲■◆▼✚"  # of the runs, in their order
LINES, COLUMNS, GUTTER = 14, 88, 7


def comparison_rows(comparison: Comparison) -> list[Row]:
    """Returns a row for each run; differences are against the first."""
    return [{"run": run.name, "networks": run.networks, "front": [one.trial for one in run.front],
             "cost": comparison.cost, "reference": comparison.reference,
             **{name: value for field in ("volume", "gain", "accuracy_gain", "cost_gain")
                for name, value in _estimate_row(field, getattr(run, field)).items()},
             "winner": run.winner.trial if run.winner else None,
             "accuracy": run.winner.accuracy if run.winner else None,
             "accuracy_ci": list(run.winner.accuracy_ci or ()) or None if run.winner else None,
             "winner_cost": OBJECTIVES[comparison.cost](run.winner) if run.winner else None,
             "architecture": run.winner.architecture if run.winner else None,
             "by_hand_accuracy": run.by_hand.accuracy if run.by_hand else None,
             "logistic_regression_accuracy": run.resolved.easy_accuracy,
             "remarks": list(comparison.remarks)} for run in comparison.runs]


def comparison_table(comparison: Comparison) -> Table:
    """Returns two lines for each run, its own values and how they differ from those of the first."""
    cost = comparison.cost
    table = Table(box=box.SIMPLE_HEAD, caption_justify="left", caption="\n".join([
        CAPTION.format(cost=cost, end=cost_text(cost, comparison.reference)),
        *(f"{sign} on the same images: {easy}" for sign, run in zip(SIGNS, comparison.runs, strict=False)
          if (easy := easy_text(run.by_hand, run.resolved.easy_accuracy)))]))
    table.add_column("")
    for name in ("front", "volume (%)", f"winner's {comparison.metric.title} (%)", f"its {title_of(cost)}"):
        table.add_column(name, justify="right", no_wrap=True)
    for sign, run in zip(SIGNS, comparison.runs, strict=False):
        table.add_row(*map(Text, (sign, f"{len(run.front)} of {run.networks}", *values_of(run, cost))))
        if run.gain:
            table.add_row("", "", *map(Text, gains_of(run)), style="dim")
    return table


def values_of(run: ComparedRun, cost: str) -> tuple[str, str, str]:
    """Returns the volume of a run, and the accuracy and the cost of its winner, in words."""
    if run.winner is None or run.volume is None:
        return UNKNOWN, "no winner yet", UNKNOWN
    return (percent_text(run.volume), accuracy_text(run.winner.accuracy, run.winner.accuracy_ci),
            winner_text(run.winner, cost))


def gains_of(run: ComparedRun) -> tuple[str, ...]:
    """Returns the differences in volume, and in the winner's accuracy and cost, from the first run, in words."""
    units = (("gain", "points"), ("accuracy_gain", "points"), ("cost_gain", "%"))
    return tuple(f"{percent_text(getattr(run, name), '+')} {unit}" for name, unit in units if getattr(run, name))


def verdicts(comparison: Comparison) -> Iterator[str]:
    """Yields lines on each run against the first: which differences are beyond noise."""
    first = comparison.runs[0]
    for run in comparison.runs[1:]:
        if run.gain is None or run.accuracy_gain is None or run.cost_gain is None:
            yield f"{run.name} against {first.name}: not known, as one of them has no winner yet"
            continue
        words = [_verdict(run.gain, "the front covers more", "the front covers less", "fronts"),
                 _verdict(run.accuracy_gain, "the winner is more accurate", "the winner is less accurate",
                          "winners' accuracies"),
                 _verdict(run.cost_gain, "it costs more", "it costs less", "their costs")]
        yield f"{run.name} against {first.name}: {', '.join(words)}"


def plot_fronts(comparison: Comparison) -> Text:
    """Returns the fronts over one another in plain characters, each with the sign that its run has in the table.

    The names of the runs stand below.
    """
    cost = OBJECTIVES[comparison.cost]
    points = [(sign, cost(one), one.accuracy or 0.0) for sign, run in zip(SIGNS, comparison.runs, strict=False)
              for one in run.front]
    left, right = 0.0, max(comparison.reference, *(spent for _, spent, _ in points))
    low, high = (choose(accuracy for *_, accuracy in points) for choose in (min, max))
    grid = [[" "] * COLUMNS for _ in range(LINES)]
    for sign, spent, accuracy in points:
        line = round((high - accuracy) / ((high - low) or 1) * (LINES - 1))
        grid[line][min(COLUMNS - 1, int((spent - left) / (right - left) * COLUMNS))] = sign
    text = Text(no_wrap=True)
    for line, cells in enumerate(grid):
        accuracy = high - (high - low) * line / (LINES - 1)
        text.append(f"{100 * accuracy:5.1f}┤" if line in (0, LINES - 1) else "     │", "dim")
        text.append("".join(cells) + "\n")
    end = cost_text(comparison.cost, right)
    text.append(f"    %└{'─' * COLUMNS}\n{' ' * (GUTTER - 1)}0{end:>{COLUMNS - 1}}", "dim")
    return text.append("".join(f"\n{sign} {run.name}" for sign, run in zip(SIGNS, comparison.runs, strict=False)))


def cost_text(cost: str, value: float) -> str:
    """Returns a cost with its unit."""
    return QUANTITIES[cost].scale.format(value)


def winner_text(candidate: Candidate, cost: str) -> str:
    """Returns the cost of a candidate, with the interval of a latency."""
    if cost == LATENCY:
        return latency_text(candidate.latency_ms, candidate.latency_ci_ms)
    return cost_text(cost, OBJECTIVES[cost](candidate))


def percent_text(estimate: Estimate, sign: str = "") -> str:
    """Returns an estimate in per cent, without the sign.

    >>> percent_text(Estimate(0.012, -0.001, 0.025), "+")
    '+1.2 [-0.1, +2.5]'
    """
    value, low, high = (f"{100 * one:{sign}.1f}" for one in dataclasses.astuple(estimate))
    return f"{value} [{low}, {high}]"


def title_of(cost: str) -> str:
    """Returns the name of a cost, with the unit of a latency."""
    return f"{QUANTITIES[cost].title or cost}{' (ms)' if cost == LATENCY else ''}"


def _verdict(difference: Estimate, more: str, less: str, both: str) -> str:
    if not difference.differs:
        return f"{both} are within noise"
    return more if difference.value > 0 else less


def _estimate_row(name: str, estimate: Estimate | None) -> Row:
    return {name: estimate.value if estimate else None,
            f"{name}_ci": [estimate.low, estimate.high] if estimate else None}
