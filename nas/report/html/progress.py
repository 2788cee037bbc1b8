"""The progress of a search: the hypervolume of its front over time, and the learning curves that are recorded."""

from collections.abc import Sequence
from dataclasses import dataclass

from nas.engine.termination import reference_point, seconds_spent
from nas.problem.candidate import OBJECTIVES, Candidate
from nas.problem.pareto import hypervolume, non_dominated
from nas.problem.quantities import format_duration
from nas.report.html.axes import Area, Axis, drawing, horizontal_frame, path, vertical_frame
from nas.report.html.findings import Findings
from nas.report.html.front import label_of
from nas.report.html.markup import Markup, element, number
from search_spaces.numbers import count_of

AREA = Area(width=480, height=260)
MOST_CURVES = 200


@dataclass(frozen=True)
class Growth:
    """A trial at which the hypervolume of the front grew.

    Attributes:
        trial: its number.
        spent_s: the seconds of work until its end, interruptions left out.
        volume: the hypervolume from then on.
        accuracy: the best accuracy from then on.
    """

    trial: int
    spent_s: float
    volume: float
    accuracy: float


def growth(found: Findings) -> list[Growth]:
    """Returns the trials at which the hypervolume of the front grew, in the order in which they ended.

    Up to the accuracy of guessing and up to the budget; without one, up to the largest cost within the budgets.
    """
    names = found.config.objectives
    if found.winner is None:
        return []
    ended = sorted((one for one in found.candidates if one.eligible and one.duplicate_of is None),
                   key=lambda one: (one.ended.timestamp() if one.ended else 0.0, one.trial))
    points = [[OBJECTIVES[name](one) for name in names] for one in ended]
    reference = [max(column) if value is None else value for column, value in zip(
        zip(*points, strict=True), reference_point(
            names, found.budgets, found.metric.guessing(found.resolved.classes)), strict=True)]
    grown: list[Growth] = []
    members: list[list[float]] = []
    for one, point in zip(ended, points, strict=True):
        members = [*members, point]
        members = [member for member, kept in zip(members, non_dominated(members), strict=True) if kept]
        volume = hypervolume(members, reference)
        if volume > (grown[-1].volume if grown else 0.0):
            before = [other for other in found.told if other.ended and one.ended and other.ended <= one.ended]
            grown.append(Growth(one.trial, seconds_spent(before), volume, max(-member[0] for member in members)))
    return grown


def growth_section(found: Findings) -> Markup:
    """Returns the hypervolume of the front over the trials."""
    grown = growth(found)
    if not grown:
        return element("p", "There is none yet: no network within the budgets is better than guessing, or there is but "
                       "one, and no budget to measure it by.")
    last, final = max(one.trial for one in found.told), grown[-1]
    across = Axis("trial", 0, max(1, last), format=lambda value: f"{value:g}")
    up = Axis("hypervolume (% of the last)", 0, 1.04, format=lambda value: f"{100 * value:.0f}")
    points = [(AREA.x(across, 0), AREA.y(up, 0))]
    points += [(AREA.x(across, one.trial), AREA.y(up, one.volume / final.volume)) for one in grown]
    points.append((AREA.x(across, last), AREA.y(up, 1)))
    dots = [element("circle", element("title", f"trial {one.trial}: {one.volume / final.volume:.1%} after "
                                      f"{format_duration(one.spent_s)}, best {found.metric.title} {one.accuracy:.2%}"),
                    class_="dot", r=2.6, cx=number(x), cy=number(y)) for one, (x, y) in
            zip(grown, points[1:], strict=False)]
    half = next(one for one in grown if one.volume >= 0.99 * final.volume)
    limits = [f"up to the budget of {name}" if name in found.budgets.limits else f"up to the largest {name} there is"
              for name in found.config.objectives[1:]]
    caption = (f"99 % of it was there with trial {half.trial} after {format_duration(half.spent_s)} of work, and "
               f"it grew last with trial {final.trial} after {format_duration(final.spent_s)}; the search has "
               f"made {count_of(last + 1, 'trial')} in {format_duration(seconds_spent(found.told))}. Hypervolume is "
               f"counted from the {found.metric.title} of guessing{', ' if limits else ''}{', '.join(limits)}.")
    return element("figure", drawing(
        AREA, "growth", "hypervolume of the front over the trials", vertical_frame(AREA, up),
        horizontal_frame(AREA, across), path(points, "line", steps=True), dots), element("figcaption", caption))


def curves_section(found: Findings) -> Markup:
    """Returns the accuracies of each network after the epochs at which they are recorded."""
    drawn = [one for one in found.drawn if len(one.accuracies) > 1]
    if not drawn:
        return element("p", "None are recorded: candidates were compared after their whole training only. With "
                       "early stopping they are compared on the way, and those accuracies are drawn here.")
    drawn = sorted(drawn, key=lambda one: one.accuracy or 0)[-MOST_CURVES:]
    accuracies = [accuracy for one in drawn for _, accuracy in one.accuracies]
    low, high = min(accuracies), max(accuracies)
    margin = 0.05 * (high - low) or 0.01
    epochs = Axis("epoch", 0, max(length for one in drawn for length, _ in one.accuracies))
    up = Axis(f"{found.metric.title} on validation images (%)", low - margin, high + margin,
              format=lambda value: f"{100 * value:.4g}")
    lines = [_curve(found, one, epochs, up) for one in drawn]
    stopped = sum(not one.trained for one in drawn)
    return element("figure", drawing(AREA, "curves", f"{found.metric.title} over the epochs", vertical_frame(AREA, up),
                                     horizontal_frame(AREA, epochs), element("g", lines), marks=True), element(
        "figcaption", count_of(len(drawn), "network that was", "networks that were")
        + f" compared on the way, {stopped} of them stopped early (dashed). "
        "Lines join what is recorded; between the points nothing is known."))


def _curve(found: Findings, one: Candidate, epochs: Axis, up: Axis) -> Markup:
    points: Sequence[tuple[float, float]] = [(AREA.x(epochs, length), AREA.y(up, accuracy))
                                             for length, accuracy in one.accuracies]
    front = "front" if {"winner", "on the front"} & set(found.roles(one)) else "plain"
    return element("a", path(points, f"curve {front} {'' if one.trained else 'dashed'}"),
                   [element("circle", r=1.6, cx=number(x), cy=number(y), class_="dot") for x, y in points],
                   href=f"#trial-{one.trial}", data_trial=one.trial, class_="mark", aria_label=label_of(found, one))
