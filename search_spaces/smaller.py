"""Smaller forms of an architecture that its notation can express: a narrower option, or one layer less.

Which options make a network narrower is not declared: it is found out by tracing. An option does if a smaller or a
larger number leaves the operations as they are and some of them with fewer channels.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.architecture import Architecture
from search_spaces.blocks import Block
from search_spaces.errors import InvalidInput
from search_spaces.layers import Convolution
from search_spaces.program import Operation, Program

MULTIPLE = 8  # of which channels are: runtimes compute so many at a time
NOTCH = 7 / 8  # of its channels that an option keeps at most
DIGITS = 3  # of a ratio, enough for the channels that it makes
WIDTHS = ("filters", "features", "begin", "end", "groups")  # fields of layers that follow from numbers of channels


@dataclass(frozen=True)
class Smaller:
    """A smaller form of an architecture.

    Attributes:
        architecture: the smaller one: of the same operations on fewer channels, or with one block less.
        without: the index of the block that is left out, if one is.
    """

    architecture: Architecture
    without: int | None = None


def smaller(architecture: Architecture) -> Iterator[Smaller]:
    """Yields the forms that are smaller by one notch, each once.

    One option of a block is narrower, or the channels of a block and of those after it that keep its shape, as in a
    stage whose layers are added to one another; or a block that keeps its shape is left out.
    """
    seen = {architecture}
    for index, block in enumerate(architecture.blocks):
        for narrower in _narrower(block, *_channels(architecture, index)):
            found = _put(architecture, {index: narrower})
            if found is not None and _in_multiples(architecture.block_programs[index], found.block_programs[index]):
                yield from _new(found, seen)
        yield from _new(_put(architecture, _stage(architecture, index)), seen)
        program = architecture.block_programs[index]
        if program.input_shape == program.output_shape and program.macs and len(architecture.blocks) > 1:
            rest = architecture.blocks[:index] + architecture.blocks[index + 1:]
            yield Smaller(Architecture(architecture.input, rest), index)


def _channels(architecture: Architecture, index: int) -> tuple[int, int]:
    program = architecture.block_programs[index]
    return program.input_shape[2], program.output_shape[2]


def _new(found: Architecture | None, seen: set[Architecture]) -> Iterator[Smaller]:
    if found is not None and found not in seen:
        seen.add(found)
        yield Smaller(found)


def _stage(architecture: Architecture, index: int) -> dict[int, Block]:
    """Returns the blocks that take the place of one and of those after it that keep its shape, with fewer channels.

    There are none where one of them cannot have so many.
    """
    programs = architecture.block_programs[index + 1:]
    after = sum(1 for _ in itertools.takewhile(lambda program: program.input_shape == program.output_shape, programs))
    channels = _channels(architecture, index)[1]
    fewer, places = notch(channels), range(index, index + 1 + after)
    stage: dict[int, Any] = {place: architecture.blocks[place] for place in places}
    try:
        return {place: dataclasses.replace(block, channels=fewer) for place, block in stage.items()
                if fewer and getattr(block, "channels", None) == channels}
    except InvalidInput:
        return {}


def _narrower(block: Block, *channels: int) -> Iterator[Block]:
    """Yields a block with another number in one of its options, of so many channels in and out."""
    fields: Iterable[dataclasses.Field] = dataclasses.fields(block)  # type: ignore[arg-type]
    for field in fields:
        if "key" in field.metadata:
            for number in _numbers(getattr(block, field.name), whole=field.type is int, channels=channels):
                try:
                    yield dataclasses.replace(block, **{field.name: number})  # type: ignore[type-var]
                except InvalidInput:  # a number that the option cannot have
                    continue


def _numbers(number: float, *, whole: bool, channels: tuple[int, ...]) -> Iterator[Any]:
    """Yields the numbers that may make an option one notch narrower: a ratio is one of channels to those in or out."""
    if whole:
        yield from [notch(int(number))] if notch(int(number)) else []
        return
    for base in dict.fromkeys(channels):
        if number and (fewer := notch(round(base * number))):
            yield round(fewer / base, DIGITS)
        if number and (fewer := notch(round(base / number))):
            yield round(base / fewer, DIGITS)


def notch(channels: int) -> int:
    """Returns the next smaller number of channels that is worth a step, 0 if there is none.

    >>> [notch(channels) for channels in (8, 12, 16, 24, 96, 1280)]
    [0, 8, 8, 16, 80, 1120]
    """
    return int(channels * NOTCH) // MULTIPLE * MULTIPLE


def _put(architecture: Architecture, blocks: Mapping[int, Block]) -> Architecture | None:
    """Returns an architecture with other blocks at some places, None if it is no smaller form of the same network."""
    try:
        found = Architecture(architecture.input, tuple(blocks.get(index, block)
                                                       for index, block in enumerate(architecture.blocks)))
    except InvalidInput:  # channels that do not fit one another
        return None
    same = found.macs < architecture.macs and all(
        _is_narrower(*programs) for programs in zip(architecture.block_programs, found.block_programs, strict=True))
    return found if same and found.classes == architecture.classes else None


def _in_multiples(program: Program, other: Program) -> bool:
    """Tells whether all numbers of channels that differ are multiples; a ratio may be of the wrong channels."""
    fewer = (other.output_shape[2] for before, other in zip(program.operations, other.operations, strict=True)
             if other.output_shape != before.output_shape)
    return all(channels % MULTIPLE == 0 for channels in fewer)


def _is_narrower(program: Program, other: Program) -> bool:
    """Tells whether another program has the same operations, none of which leaves more channels."""
    return program is other or (len(program.operations) == len(other.operations) and all(
        map(_is_same, program.operations, other.operations)))


def _is_same(operation: Operation, other: Operation) -> bool:
    (height, width, channels), (*size, fewer) = operation.output_shape, other.output_shape
    return ((operation.name, operation.inputs, [height, width]) == (other.name, other.inputs, size)
            and fewer <= channels and _form(operation) == _form(other))


def _form(operation: Operation) -> tuple[object, ...]:
    """Returns a layer but for its numbers of channels; groups are a number of them in depthwise ones only."""
    layer = operation.layer
    depthwise = isinstance(layer, Convolution) and layer.is_depthwise(operation.input_shapes[0][2])
    groups = layer.groups if isinstance(layer, Convolution) and not depthwise else 0
    fields: Iterable[dataclasses.Field] = dataclasses.fields(layer)  # type: ignore[arg-type]
    return (type(layer), depthwise, groups,
            *(getattr(layer, field.name) for field in fields if field.name not in WIDTHS))
