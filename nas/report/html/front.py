"""The picture of accuracy against each cost, with every network and its intervals."""

from collections.abc import Sequence

from nas.problem.candidate import Candidate
from nas.report.html.axes import Area, Axis, drawing, horizontal_frame, path, text, vertical_frame
from nas.report.html.costs import Cost, costs_of
from nas.report.html.findings import Findings
from nas.report.html.markup import Content, Markup, element, number
from nas.report.measured import UNKNOWN, accuracy_text, latency_text
from nas.report.scene import accuracy_limits

AREA = Area(width=480, height=340, left=66, bottom=64, right=16)
STRIP = 20  # below the area, for networks whose accuracy is not known
BUDGET_WIDTH = 130
UNTRAINED = ("failed", "rejected")
ROLES = {  # by which a network is drawn, those in front last
    "failed": "failed, or not finished",
    "rejected": "rejected before training: only its cost is known", "stopped": "stopped early",
    "over a budget": "trained, but over a budget", "dominated": "dominated", "made by hand": "made by hand",
    "on the front": "on the front", "winner": "winner"}
SHAPES = {
    "failed": "M-2.8 0H2.8M0-2.8V2.8",
    "rejected": "M-2.4-2.4 2.4 2.4M-2.4 2.4 2.4-2.4", "stopped": "M-3.2 2.8h6.4L0-3.2z",
    "over a budget": "M-2.6-2.6h5.2v5.2h-5.2z", "dominated": "M-2.4 0a2.4 2.4 0 1 0 4.8 0 2.4 2.4 0 1 0-4.8 0z",
    "made by hand": "M0-4.8 4.2 0 0 4.8-4.2 0z", "on the front": "M-3.6 0a3.6 3.6 0 1 0 7.2 0 3.6 3.6 0 1 0-7.2 0z",
    "winner": "M0 -7.4 1.8 -2.5 7 -2.3 2.9 1.0 4.3 6.0 0 3.1 -4.3 6.0 -2.9 1.0 -7 -2.3 -1.8 -2.5z",
    "finalist": "M-7 0a7 7 0 1 0 14 0 7 7 0 1 0-14 0z"}


def front_section(found: Findings) -> Markup:
    """Returns the picture, the choice of its horizontal axis, and the place where a chosen network is told of."""
    costs, drawn = list(costs_of(found)), found.drawn
    counts = {role: sum(_role(found, one) == role for one in drawn) for role in ROLES}
    if not costs:
        return element("p", "No candidate has been measured yet.")
    choice = element("fieldset", element("legend", f"{found.metric.title} against"), [
        element("label", element("input", type="radio", name="axis", value=index, checked=index == 0), f" {cost.name}")
        for index, cost in enumerate(costs)], class_="choice", id="axes", hidden=len(costs) < 2)
    left_out = len(found.networks) - len(drawn)
    return element("div", element(
        "figure", choice, _picture(found, costs), _legend(counts, found),
        element("figcaption", f"Bars are 95 % intervals: of the {found.metric.title} over the validation images, of a "
                "latency over its measurement. ", "A latency's budget is met by the upper end of its interval. "
                if found.budgets.timed else None,
                "What costs far more than the others or is far less accurate stands at the edge. ",
                f"{left_out} dominated and rejected networks are left out. " if left_out else None,
                element("span", "Point at a network, or step through them with the arrow keys; a click or Enter tells "
                        "all about it.", class_="answers"))),
        element("aside", element("h3", "No network chosen"), id="detail", aria_live="polite", tabindex=0,
                aria_label="chosen network", class_="answers"),
        class_="beside")


def front_picture(found: Findings) -> Markup | None:
    """Returns the picture against the objective alone, None where no cost is known."""
    costs = sorted(costs_of(found), key=lambda cost: not cost.objective)
    return _picture(found, costs[:1]) if costs else None


def label_of(found: Findings, candidate: Candidate) -> str:
    """Returns a line about a candidate: its trial, roles, accuracy and latency."""
    accuracy = accuracy_text(candidate.accuracy, candidate.accuracy_ci)
    words = [f"trial {candidate.trial}", *found.roles(candidate)]
    words += [f"{accuracy} %"] if accuracy != UNKNOWN else []
    if candidate.latency_ms:
        words.append(f"{latency_text(candidate.latency_ms, candidate.latency_ci_ms)} ms")
    return ", ".join(words)


def _role(found: Findings, candidate: Candidate) -> str:
    """Returns the role by which a candidate is drawn."""
    return next((role for role in found.roles(candidate) if role in ROLES), "failed")


def _picture(found: Findings, costs: Sequence[Cost]) -> Markup:
    by_role: dict[str, list[Candidate]] = {role: [] for role in ROLES}
    for one in found.drawn:
        by_role[_role(found, one)].append(one)
    known = {role: [one for one in of_role if one.accuracy is not None] for role, of_role in by_role.items()}
    accuracy = Axis(f"{found.metric.title} on validation images (%)", *accuracy_limits(
        known["on the front"] + known["winner"], known["dominated"] + known["made by hand"],
        known["stopped"] + known["over a budget"], found.resolved.easy_accuracy or 0.0),
        format=lambda value: f"{100 * value:.4g}")
    strip = AREA.floor + STRIP / 2
    frames = [horizontal_frame(
        AREA, cost.axis, _budget(cost), _stairs(found, cost, accuracy), display="none" if index else None,
        data_axis=index) for index, cost in enumerate(costs)]
    marks = [_mark(found, one, role, costs, accuracy, strip) for role in ROLES for one in by_role[role]]
    label = f"{found.metric.title} against " + " or ".join(cost.name for cost in costs)
    shapes = element("defs", [element("path", id=f"m-{_slug(role)}", d=shape) for role, shape in SHAPES.items()])
    strip_of = [element("rect", class_="strip", x=number(AREA.left), y=number(AREA.floor),
                        width=number(AREA.end - AREA.left), height=STRIP),
                text(AREA.left - 5, strip + 4, "untrained", "tick end")]
    return drawing(AREA, "front", label, shapes, strip_of if by_role["rejected"] + by_role["failed"] else None,
                   vertical_frame(AREA, accuracy), _easy(found, accuracy), frames, element("g", marks), marks=True)


def _easy(found: Findings, accuracy: Axis) -> Content:
    """Returns the line of logistic regression; None where the axis does not reach it, or it is not known."""
    easy = found.resolved.easy_accuracy
    if easy is None or easy < accuracy.low:
        return None
    y = AREA.y(accuracy, easy)
    return [element("path", class_="easy", d=f"M{number(AREA.left)} {number(y)}H{number(AREA.end)}"),
            text(AREA.left + 4, y - 4, f"logistic regression {accuracy_text(easy)} %", "tick")]


def _budget(cost: Cost) -> Content:
    if cost.limit is None:
        return None
    x = AREA.x(cost.axis, cost.limit)
    room = AREA.end - x > BUDGET_WIDTH  # beyond the budget, where no trained network is in the way
    return [element("rect", class_="beyond", x=number(x), y=number(AREA.top), width=number(max(0, AREA.end - x)),
                    height=number(AREA.floor - AREA.top + STRIP)),
            element("path", class_="budget", d=f"M{number(x)} {number(AREA.top)}V{number(AREA.floor + STRIP)}"),
            text(x + (4 if room else -4), AREA.top + 11, f"budget {cost.written(cost.limit)}", "limit" if room else
                 "limit end")]


def _stairs(found: Findings, cost: Cost, accuracy: Axis) -> Content:
    """Returns the best accuracy for each value of the objective."""
    if not cost.objective:
        return None
    points: list[tuple[float, float]] = []
    best = -1.0
    known = [(value, one.accuracy or 0.0) for one in found.front if (value := cost.value(one)) is not None]
    for value, reached in sorted(known):
        if reached > best:
            best = reached
            points.append((AREA.x(cost.axis, value), AREA.y(accuracy, best)))
    if not points:
        return None
    end = AREA.x(cost.axis, cost.limit) if cost.limit is not None else AREA.end
    return path([*points, (max(end, points[-1][0]), points[-1][1])], "stairs", steps=True)


def _mark(found: Findings, one: Candidate, role: str, costs: Sequence[Cost], accuracy: Axis, strip: float) -> Markup:
    places = [AREA.x(cost.axis, value) if (value := cost.value(one)) else None for cost in costs]
    y = strip if one.accuracy is None or role in UNTRAINED else AREA.y(accuracy, one.accuracy)
    bars: list[Markup] = []
    if role not in UNTRAINED and one.accuracy_ci:
        low, high = (AREA.y(accuracy, end) - y for end in one.accuracy_ci)
        bars.append(element("path", class_="bar", d=f"M0 {number(low)}V{number(high)}"))
    for index, (cost, x) in enumerate(zip(costs, places, strict=True)):
        if x is not None and (interval := cost.interval(one)):
            low, high = (AREA.x(cost.axis, end) - x for end in interval)
            bars.append(element("path", class_="bar", data_axis=index, display="none" if index else None,
                                d=f"M{number(low)} 0H{number(high)}"))
    ring = element("use", href="#m-finalist", class_="ring") if "finalist" in found.roles(one) else None
    at = places[0]
    return element("a", bars, ring, element("use", href=f"#m-{_slug(role)}"), href=f"#trial-{one.trial}",
                   class_=f"mark {_slug(role)}", data_trial=one.trial, aria_label=label_of(found, one),
                   data_x=" ".join("-" if place is None else number(place) for place in places),
                   display="none" if at is None else None, transform=f"translate({number(at or 0)} {number(y)})")


def _legend(counts: dict[str, int], found: Findings) -> Markup:
    """Returns the meaning of each sign, and the number of networks that have it."""
    entries = [(role, words, counts[role]) for role, words in reversed(ROLES.items()) if counts[role]]
    if found.finalists:
        entries.append(("finalist", "trained longer in finals", sum(
            one.architecture in found.finalists for one in found.networks)))
    return element("ul", [element("li", element(
        "svg", element("use", href=f"#m-{_slug(role)}", class_="ring" if role == "finalist" else None),
        viewBox="-8 -8 16 16", class_=f"sign {_slug(role)}", aria_hidden="true"), f" {words} ({count})")
        for role, words, count in entries], class_="legend")


def _slug(role: str) -> str:
    return role.replace(" ", "-")
