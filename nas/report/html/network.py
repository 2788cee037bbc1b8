"""A network drawn block by block, and where its multiply-adds and parameters go."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nas.measuring.blocks import BlockTimes
from nas.problem.quantities import format_bytes, format_count
from nas.report.html.axes import Area, drawing, text
from nas.report.html.findings import Findings
from nas.report.html.markup import Markup, element, number
from nas.report.layers import times_text
from search_spaces.architecture import Architecture
from search_spaces.blocks import Block
from search_spaces.layers import Shape
from search_spaces.numbers import count_of

WORDS = {  # of the options that most blocks have
    "kernel": lambda value: f"{value}×{value}", "channels": lambda value: count_of(value, "channel"),
    "expansion": lambda value: f"expansion {value:g}", "reduction": lambda value: f"reduction {value:g}",
    "se_ratio": lambda value: f"SE {value:g}" if value else "no SE",
    "stride": lambda value: f"stride {value}" if value > 1 else "", "activation": lambda value: value or "linear",
    "classes": lambda value: f"{value} classes"}


@dataclass(frozen=True)
class Part:
    """A block of a network as it is shown.

    Attributes:
        kind: its kind, in words.
        options: those of its options that most blocks have, in words.
        more: other options, where they are not as by default.
        before, after: the shapes of its input and its output.
        macs, params: its multiply-adds and parameters.
    """

    kind: str
    options: str
    more: str
    before: Shape
    after: Shape
    macs: int
    params: int


def parts(architecture: Architecture) -> list[Part]:
    """Returns the blocks of a network in their order."""
    return [Part(kind_of(block), ", ".join(_options(block)), ", ".join(_more(block)), program.input_shape,
                 program.output_shape, program.macs, program.params)
            for block, program in zip(architecture.blocks, architecture.block_programs, strict=True)]


def kind_of(block: Block) -> str:
    """Returns the kind of a block in words.

    >>> from search_spaces.blocks.mobilenet import InvertedBottleneck
    >>> kind_of(InvertedBottleneck(3, 6, 24, 1, 0, "relu"))
    'inverted bottleneck'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(block).__name__).lower()


def network_section(found: Findings) -> Markup:
    """Returns the network that was exported, or else the winner of the search, block by block."""
    shown, times = found.shown, found.block_times
    if shown is None:
        return element("p", "No candidate is within the budgets and fully trained, so there is no winner yet.")
    architecture = found.architectures[shown.architecture]
    blocks = parts(architecture)
    which = "the network of the export" if found.exported else "the most accurate within the budgets"
    return element("div", element(
        "p", f"Trial {shown.trial}, {which}: {format_count(architecture.macs)} multiply-adds, "
        f"{format_count(architecture.params)} parameters, {format_bytes(architecture.memory_bytes)} of live "
        "activations at their peak."),
                   element("figure", _silhouette(architecture, blocks), element(
                       "figcaption", "From the image on the left to the classes on the right: height is that of the "
                       "feature map, width goes with the multiply-adds.")), _list(blocks, times),
                   element("p", times_text(times) if times else (
                       "Where the time goes is not known: it has not been measured block by block, and it is not "
                       "guessed from multiply-adds. ", element("code", f"nas report {found.name} --time-blocks"),
                       " measures it."), class_="note"),
                   element("details", element("summary", "text of the architecture"), element(
                       "p", element("code", architecture.text))))


def _list(blocks: Sequence[Part], times: BlockTimes | None) -> Markup:
    each = times.blocks_ms if times else [None] * len(blocks)
    macs, params = (max(1, sum(getattr(one, name) for one in blocks)) for name in ("macs", "params"))
    return element("ol", [element(
        "li", element("div", element("strong", one.kind), f" {one.options}", element(
            "small", f"{shape_text(one.before)} → {shape_text(one.after)}", f"; {one.more}" if one.more else None),
            class_="what"),
        _bar("multiply-adds", one.macs, macs, "macs"), _bar("parameters", one.params, params, "params"),
        _time(time, times.whole_ms) if times and time else None)
        for one, time in zip(blocks, each, strict=True)], class_="blocks timed" if times else "blocks", start=0)


def _time(time: tuple[float, float], whole_ms: float) -> Markup:
    (own_ms, half_ms), share = time, max(0.0, time[0]) / whole_ms
    return element("div", element("span", f"time {own_ms:.2g} ± {half_ms:.1g} ms, {share:.0%}"),
                   bar(share, "time"), class_="share")


def _bar(name: str, value: int, total: int, class_: str) -> Markup:
    share = value / total
    return element("div", element("span", f"{name} {format_count(value)}, {share:.0%}"),
                   bar(share, class_), class_="share")


def bar(share: float, class_: str, line: float | None = None) -> Markup:
    """Returns a bar that is filled to a share, and perhaps a line across it at another; the numbers stand beside it."""
    return element("svg", element("rect", class_="whole", width=100, height=6),
                   element("rect", class_=class_, width=number(100 * share), height=6),
                   element("path", class_="across", d=f"M{number(100 * line)} 0V6") if line is not None else None,
                   viewBox="0 0 100 6",
                   preserveAspectRatio="none", class_="fill", aria_hidden="true")


def shape_text(shape: Shape) -> str:
    """Returns a shape as height, width and channels."""
    return "×".join(map(str, shape))


def _options(block: Block) -> Iterator[str]:
    for field in dataclasses.fields(block):  # type: ignore[arg-type]
        value = getattr(block, field.name)
        if field.name in WORDS and (written := WORDS[field.name](value)):
            yield written


def _more(block: Block) -> Iterator[str]:
    for field in dataclasses.fields(block):  # type: ignore[arg-type]
        value = getattr(block, field.name)
        if field.name not in WORDS and value != field.default:
            yield f"{field.name.replace('_', ' ')} {value}"


def _silhouette(architecture: Architecture, blocks: Sequence[Part]) -> Markup:
    """Returns the outline of a network: a trapezoid for each block."""
    area = Area(width=480, height=160, left=8, right=8, top=8, bottom=38)
    largest, macs = architecture.input.resolution, max(1, architecture.macs)
    gap, least = 3.0, 12.0  # a block without multiply-adds can be seen too
    room = area.end - area.left - (gap + least) * len(blocks)
    middle, height = (area.top + area.floor) / 2, area.floor - area.top
    x, drawn = area.left, []
    for index, one in enumerate(blocks):
        width = least + max(0.0, room) * one.macs / macs
        half, half_after = (max(3.0, height * shape[0] / largest / 2) for shape in (one.before, one.after))
        outline = (f"M{number(x)} {number(middle - half)}L{number(x + width)} {number(middle - half_after)}"
                   f"V{number(middle + half_after)}L{number(x)} {number(middle + half)}z")
        words = f"block {index}: {one.kind}, {one.options}, {shape_text(one.before)} to {shape_text(one.after)}"
        drawn += [element("path", element("title", words), class_=f"block hue{index % 2}", d=outline),
                  text(x + width / 2, area.height - 22, str(index), "tick middle")]
        x += width + gap
    return drawing(area, "network", f"the {count_of(len(blocks), 'block')} of the network", drawn,
                   text((area.left + area.end) / 2, area.height - 5, "block", "title middle"))
