"""Compared runs as one HTML file that needs no network."""

from collections.abc import Sequence

from nas.problem.candidate import OBJECTIVES, Candidate
from nas.report.fronts import LATENCY, ComparedRun, Comparison
from nas.report.fronts_table import CAPTION, cost_text, gains_of, title_of, values_of, verdicts, winner_text
from nas.report.html.axes import Area, Axis, drawing, horizontal_frame, path, vertical_frame
from nas.report.html.document import document
from nas.report.html.markup import Content, Markup, element, number, table
from nas.report.measured import accuracy_text
from nas.report.table import easy_text

AREA = Area(width=640, height=380, left=66)
SHAPES = ("M-3.6 0a3.6 3.6 0 1 0 7.2 0 3.6 3.6 0 1 0-7.2 0z", "M-4.2 3.4h8.4L0-4.2z", "M-3.4-3.4h6.8v6.8h-6.8z",
          "M0-4.8 4.2 0 0 4.8-4.2 0z", "M-4.2-3.4h8.4L0 4.2z",
          "M-1.4-4.2h2.8v2.8h2.8v2.8h-2.8v2.8h-2.8v-2.8h-2.8v-2.8h2.8z")


def comparison_page(comparison: Comparison) -> bytes:
    """Returns a page of compared runs as an HTML file in UTF-8."""
    cost = comparison.cost
    rows = [[[_named(index, run), element("br"), element("small", easy_text(run.by_hand, run.resolved.easy_accuracy))],
             f"{len(run.front)} of {run.networks}",
             *([[value], element("br"), element("small", more)] for value, more in
               zip(values_of(run, cost), [*gains_of(run), "", "", ""], strict=False))]
            for index, run in enumerate(comparison.runs)]
    heads = ("run", "front", "volume (%)", f"winner's {comparison.metric.title} (%)", f"its {title_of(cost)}")
    caption = CAPTION.format(cost=cost, end=cost_text(cost, comparison.reference)) + "; below, against the first run"
    title = f"{', '.join(run.name for run in comparison.runs)} – runs compared"
    sections: Sequence[tuple[str, str, Content]] = (
        ("fronts", "Fronts", _figure(comparison)),
        ("against", "Against the first run", [table(heads, rows, caption), _list(verdicts(comparison))]),
        ("differ", "What differs, and what follows", _list(comparison.remarks) if comparison.remarks else element(
            "p", "Nothing but what the runs found.")),
        ("members", "Networks of the fronts", _members(comparison)))
    return document(title, element("header", element("h1", title)), element("main", [
        element("section", element("h2", name, id=key), content, aria_labelledby=key)
        for key, name, content in sections]))


def _list(lines: object) -> Markup:
    return element("ul", [element("li", line) for line in lines])  # type: ignore[attr-defined]


def _named(index: int, run: ComparedRun) -> Content:
    return [element("svg", element("path", d=SHAPES[index]), viewBox="-6 -6 12 12", class_=f"sign run{index}",
                    aria_hidden="true"), f" {run.name}"]


def _figure(comparison: Comparison) -> Markup:
    cost = OBJECTIVES[comparison.cost]
    members = [one for run in comparison.runs for one in run.front]
    ends = [end for one in members for end in one.accuracy_ci or (one.accuracy or 0.0,)]
    margin = 0.04 * (max(ends) - min(ends)) or 0.01
    up = Axis(f"{comparison.metric.title} on validation images (%)", min(ends) - margin, max(ends) + margin,
              format=lambda value: f"{100 * value:.4g}")
    across = Axis.around(title_of(comparison.cost), [
        comparison.reference, *map(cost, members)], *([] if comparison.cost == LATENCY else [
            lambda value: cost_text(comparison.cost, value)]))
    drawn = [_front(index, run, comparison, across, up) for index, run in enumerate(comparison.runs) if run.front]
    return element("figure", drawing(AREA, "overlaid", "the fronts of the runs over one another", vertical_frame(
        AREA, up), horizontal_frame(AREA, across), drawn), element("ul", [
            element("li", _named(index, run)) for index, run in enumerate(comparison.runs)], class_="legend"),
        element("figcaption", "Bars are 95 % intervals. The winner of each run, by its own budgets, has an outline."))


def _front(index: int, run: ComparedRun, comparison: Comparison, across: Axis, up: Axis) -> Markup:
    cost = OBJECTIVES[comparison.cost]
    places = [(AREA.x(across, cost(one)), AREA.y(up, one.accuracy or 0.0)) for one in run.front]
    marks = [element("g", element("title", _told(run, one, comparison.cost)), _bars(one, comparison, across, up, x, y),
                     element("path", d=SHAPES[index], class_="member chosen" if run.winner and one.architecture
                             == run.winner.architecture else "member"),
                     transform=f"translate({number(x)} {number(y)})")
             for one, (x, y) in zip(run.front, places, strict=True)]
    end = max(AREA.x(across, comparison.reference), places[-1][0])
    return element("g", path([*places, (end, places[-1][1])], "run", steps=True), marks, class_=f"run{index}")


def _bars(one: Candidate, comparison: Comparison, across: Axis, up: Axis, x: float, y: float) -> Content:
    """Returns the intervals of a network, from its place."""
    bars = []
    if one.accuracy_ci:
        low, high = (AREA.y(up, end) - y for end in one.accuracy_ci)
        bars.append(element("path", class_="run", d=f"M0 {number(low)}V{number(high)}"))
    if comparison.cost == LATENCY and one.latency_ci_ms:
        low, high = (AREA.x(across, end) - x for end in one.latency_ci_ms)
        bars.append(element("path", class_="run", d=f"M{number(low)} 0H{number(high)}"))
    return bars


def _told(run: ComparedRun, one: Candidate, cost: str) -> str:
    return (f"{run.name}, trial {one.trial}: {accuracy_text(one.accuracy, one.accuracy_ci)} %, "
            f"{cost} {winner_text(one, cost)}: {one.architecture}")


def _members(comparison: Comparison) -> Markup:
    rows = [[_named(index, run), one.trial, accuracy_text(one.accuracy, one.accuracy_ci),
             winner_text(one, comparison.cost), element("code", one.architecture)]
            for index, run in enumerate(comparison.runs) for one in run.front]
    return table(("run", "trial", f"{comparison.metric.title} (%)", title_of(comparison.cost), "architecture"), rows,
                 "the networks of each front, the cheapest first")
