"""Axes of charts, and the frame that they make: grid, ticks and titles."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nas.report.html.markup import Content, Markup, element, number
from nas.report.scene import axis_limits

TICKS = 5


@dataclass(frozen=True)
class Axis:
    """The values that a side of a chart shows.

    Attributes:
        title: what it is of, with the unit.
        low, high: its ends.
        logarithmic: whether equal ratios are as long everywhere, and not equal differences.
        format: writes a value at a tick.
    """

    title: str
    low: float
    high: float
    logarithmic: bool = False
    format: Callable[[float], str] = "{:g}".format

    @classmethod
    def around(cls, title: str, values: Iterable[float], format: Callable[[float], str] = "{:g}".format) -> "Axis":
        """Returns an axis with room for positive values, logarithmic where they differ by far."""
        (low, high), logarithmic = axis_limits(list(values))
        return cls(title, low, high, logarithmic, format)

    def share(self, value: float) -> float:
        """Returns the place of a value, 0 at the lower end and 1 at the upper, and no further."""
        low, high, at = (math.log(max(one, 1e-12)) if self.logarithmic else one for one in (self.low, self.high, value))
        return min(1.0, max(0.0, (at - low) / (high - low)))

    def ticks(self) -> list[float]:
        """Returns round values along the axis, a few of them."""
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for steps in ((1, 2, 5), (1, 3), (1,)):
                found = [step * 10.0**power for power in powers for step in steps
                         if self.low <= step * 10.0**power <= self.high]
                if len(found) <= TICKS + 1:
                    return found
            return found[::math.ceil(len(found) / TICKS)]
        rough = (self.high - self.low) / TICKS
        power = 10.0**math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        return [index * step for index in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


@dataclass(frozen=True)
class Area:
    """The part of a drawing that values are drawn in, in units of the drawing.

    Attributes:
        width, height: of the whole drawing.
        left, right, top, bottom: the margins around the area.
    """

    width: float = 480
    height: float = 300
    left: float = 50
    right: float = 12
    top: float = 10
    bottom: float = 42

    def x(self, axis: Axis, value: float) -> float:
        """Returns the place of a value from left to right."""
        return self.left + axis.share(value) * (self.width - self.left - self.right)

    def y(self, axis: Axis, value: float) -> float:
        """Returns the place of a value, higher ones further up."""
        return self.height - self.bottom - axis.share(value) * (self.height - self.top - self.bottom)

    @property
    def floor(self) -> float:
        """The lower end of the area."""
        return self.height - self.bottom

    @property
    def end(self) -> float:
        """The right end of the area."""
        return self.width - self.right


def vertical_frame(area: Area, axis: Axis) -> Markup:
    """Returns the grid, the ticks and the title of a vertical axis."""
    lines: list[Markup] = []
    for value in axis.ticks():
        y = number(area.y(axis, value))
        lines += [element("path", class_="grid", d=f"M{number(area.left)} {y}H{number(area.end)}"),
                  text(area.left - 5, float(y) + 4, axis.format(value), "tick end")]
    middle = (area.top + area.floor) / 2
    title = element("text", axis.title, class_="title middle", transform=f"translate(12 {number(middle)}) rotate(-90)")
    return element("g", lines, title)


def horizontal_frame(area: Area, axis: Axis, /, *more: Content, **attributes: str | int | None) -> Markup:
    """Returns the grid, the ticks and the title of a horizontal axis, and more that belongs to it."""
    lines: list[Markup] = []
    for value in axis.ticks():
        x = number(area.x(axis, value))
        lines += [element("path", class_="grid", d=f"M{x} {number(area.top)}V{number(area.floor)}"),
                  text(float(x), area.height - 26, axis.format(value), "tick middle")]
    title = text((area.left + area.end) / 2, area.height - 6, axis.title, "title middle")
    return element("g", lines, title, more, **attributes)


def text(x: float, y: float, content: Content, class_: str) -> Markup:
    """Returns a text in a drawing."""
    return element("text", content, x=number(x), y=number(y), class_=class_)


def path(points: Sequence[tuple[float, float]], class_: str, steps: bool = False) -> Markup:
    """Returns a line through points; with `steps` it goes across first and then up or down."""
    (x, y), *rest = points
    drawn = [f"M{number(x)} {number(y)}"]
    drawn += [f"H{number(x)}V{number(y)}" if steps else f"L{number(x)} {number(y)}" for x, y in rest]
    return element("path", class_=class_, d="".join(drawn))


def drawing(area: Area, name: str, label: str, /, *content: Content, marks: bool = False, **attributes: str) -> Markup:
    """Returns a drawing with a name for those who cannot see it; `marks` says that there are some to step through."""
    return element("svg", element("title", label, id=f"{name}-title"), content, id=name, role="group" if marks
                   else "img", aria_labelledby=f"{name}-title", viewBox=f"0 0 {number(area.width)} "
                   f"{number(area.height)}", data_marks=marks, **attributes)
