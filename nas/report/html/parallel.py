"""Parallel coordinates: a line for each trained network through its choices, its accuracy and a cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nas.problem.candidate import Candidate
from nas.report.html.axes import Area, Axis, drawing, path, text
from nas.report.html.choices import Importances, words_of
from nas.report.html.costs import costs_of
from nas.report.html.findings import Findings
from nas.report.html.front import label_of
from nas.report.html.markup import Markup, element, number
from search_spaces.numbers import count_of
from search_spaces.search_space import Value

AXES = 8  # choices with an axis of their own
MOST_LINES = 400
CLASSES = 5  # of accuracy, by which lines are coloured
BAND = 0.6  # of the room for a value, over which its lines are spread
AREA = Area(width=760, height=300, left=34, right=38, top=34, bottom=10)


@dataclass(frozen=True)
class Choice:
    """An axis of a choice: its values from the lowest to the highest, None where it does not matter in a network."""

    name: str
    values: Sequence[Value | None]

    def y(self, value: Value | None, offset: float = 0.0) -> float:
        """Returns the place of a value; `offset`, from -0.5 to 0.5, is that within its band."""
        share = (self.values.index(value) + 0.5 + BAND * offset) / len(self.values)
        return AREA.floor - share * (AREA.floor - AREA.top)


def parallel_section(found: Findings, of: Importances) -> Markup:
    """Returns a line for each trained network through its choices, its accuracy and its first cost."""
    trained = [one for one in found.drawn if one.trial in found.choices and one.accuracy is not None and one.epochs]
    lines = sorted(trained, key=lambda one: one.accuracy or 0.0)[-MOST_LINES:]
    differ = _choices(found, lines)
    ranked = [row.choice for row in of[found.metric.title]]
    best = sorted(differ, key=lambda one: ranked.index(one.name) if one.name in ranked else len(ranked))[:AXES]
    choices = [one for one in differ if one in best]
    if not choices:
        return element("p", "It takes two trained networks of the space that differ.")
    cost = next(iter(costs_of(found)), None)
    accuracy = Axis(f"{found.metric.title} (%)", lines[0].accuracy or 0.0, (lines[-1].accuracy or 0.0) + 1e-6,
                    format=lambda value: f"{100 * value:.4g}")
    axes = [accuracy, *([cost.axis] if cost else [])]
    count = len(choices) + len(axes)
    places = [AREA.left + index * (AREA.end - AREA.left) / (count - 1) for index in range(count)]
    threads = []
    for rank, one in enumerate(lines):
        own, offset = found.choices[one.trial], rank / len(lines) - 0.5
        ys = [choice.y(own.get(choice.name), offset) for choice in choices] + [AREA.y(accuracy, one.accuracy or 0.0)]
        if cost and (value := cost.value(one)) is not None:
            ys.append(AREA.y(cost.axis, value))
        threads.append(_thread(found, one, list(zip(places, ys, strict=False)), rank * CLASSES // len(lines)))
    drawn = [_choice_axis(choice, x) for choice, x in zip(choices, places, strict=False)]
    drawn += [_number_axis(axis, x) for axis, x in zip(axes, places[len(choices):], strict=True)]
    return element("figure", element(
        "div", drawing(AREA, "parallel", f"choices, {found.metric.title} and cost", element("g", threads), drawn,
                       marks=True),
        class_="scroll", tabindex=0, role="region", aria_label="parallel coordinates"), _shades(), element(
        "figcaption", _caption(len(lines), len(trained), len(differ) - len(choices),
                               found.metric.title if ranked else "")))


def _caption(lines: int, trained: int, left_out: int, ranked_by: str) -> str:
    which = f"The {lines} most accurate of {trained}" if lines < trained else f"{lines}"
    first = f"those of more importance for {ranked_by}" if ranked_by else "the first of them"
    return (f"{which} trained networks, within a value the more accurate ones further up. "
            + (f"{count_of(left_out, 'choice more differs', 'choices more differ')}; {first} have an axis. "
               if left_out else "All choices that differ have an axis. ")
            + "A dash stands for a choice that does not matter in a network.")


def _choices(found: Findings, lines: Sequence[Candidate]) -> list[Choice]:
    """Returns the choices in which networks differ, in their order in the space."""
    names = dict.fromkeys(name for one in lines for name in one.assignment)
    choices = [Choice(name, _ordered(found.choices[one.trial].get(name) for one in lines)) for name in names]
    return [choice for choice in choices if len(choice.values) > 1]


def _ordered(values: Iterable[Value | None]) -> list[Value | None]:
    found = set(values)
    numbers = all(isinstance(value, int | float) for value in found if value is not None)
    return sorted(found, key=lambda value: (value is not None, value if numbers and value is not None else 0.0,
                                            str(value)))


def _thread(found: Findings, one: Candidate, points: Sequence[tuple[float, float]], shade: int) -> Markup:
    return element("a", path(points, f"thread shade{shade}"), href=f"#trial-{one.trial}", data_trial=one.trial,
                   class_="mark", aria_label=label_of(found, one))


def _choice_axis(choice: Choice, x: float) -> Markup:
    first, _, rest = words_of(choice.name).partition(", ")
    return _axis(x, first, rest, [(choice.y(value), "–" if value is None else f"{value:g}" if isinstance(value, float)
                                   else str(value)) for value in choice.values])


def _number_axis(axis: Axis, x: float) -> Markup:
    name, _, more = axis.title.partition(" ")
    unit = more[more.rfind("("):] if "(" in more else more
    return _axis(x, name, unit, [(AREA.y(axis, value), axis.format(value)) for value in axis.ticks()])


def _axis(x: float, first: str, rest: str, labels: Iterable[tuple[float, str]]) -> Markup:
    line = element("path", class_="axis", d=f"M{number(x)} {number(AREA.top)}V{number(AREA.floor)}")
    return element("g", line, text(x, 11, first, "tick middle"), text(x, 23, rest.replace(",", ""), "tick middle"),
                   [text(x, y + 3, words, "tick middle halo") for y, words in labels])


def _shades() -> Markup:
    words = {CLASSES - 1: "the most accurate fifth", CLASSES // 2: "the middle", 0: "the least accurate fifth"}
    return element("ul", [element("li", element(
        "svg", element("path", d="M0 4H16", class_=f"thread shade{shade}"), viewBox="0 0 16 8", class_="sign",
        aria_hidden="true"), f" {named}") for shade, named in words.items()], class_="legend")
