"""Stages of a space: layers with the values that each option of their blocks may take, and their text."""

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import Any

from search_spaces.blocks import BLOCKS, KIND_OF, Block
from search_spaces.blocks.conventions import MOST_LAYERS
from search_spaces.errors import require
from search_spaces.notation import Choices, build, number, parse, write

KIND_SEPARATOR = "//"
PER_STAGE = ("channels", "stride")  # options that the layers of a stage share, however the others are chosen


@dataclass(frozen=True)
class Repeat:
    """The number of layers of a stage."""

    depth: int = number("x", "layers of the stage", 1)


@dataclass(frozen=True)
class Alternative:
    """A kind of block with the values that each of its options may take."""

    block: type[Block]
    choices: tuple[tuple[str, tuple[Any, ...]], ...]

    @property
    def kind(self) -> str:
        """The word that names the kind."""
        return KIND_OF[self.block]

    @property
    def options(self) -> dict[str, tuple[Any, ...]]:
        """The values of each option by its name."""
        return dict(self.choices)


@dataclass(frozen=True)
class Stage:
    """Layers that share channels and stride; the first has the stride, the others have 1."""

    depths: tuple[int, ...]
    alternatives: tuple[Alternative, ...]

    @classmethod
    def parse(cls, token: str) -> "Stage":
        """Returns the stage that a token describes; raises `InvalidInput` with the part that is wrong."""
        texts = token.split(KIND_SEPARATOR)
        require(len(texts) <= len(BLOCKS), f"a stage names a kind once, but got {len(texts)} kinds in '{token}'")
        alternatives, depths = [], set()
        for text in texts:
            kind, *options = text.split("_")
            repeats = [option for option in options if option[:1] == "x"]
            block, choices = parse("_".join([kind, *(option for option in options if option not in repeats)]), BLOCKS)
            depths.add(parse("_".join([kind, *repeats]), {kind: Repeat})[1].get("depth", (1,)))
            require_possible(block, ({"classes": (2,)} if classifies(block) else {}) | choices, text)
            alternatives.append(Alternative(block, in_field_order(block, choices)))
        require(len(depths) == 1,
                f"the kinds of a stage share their depths, but '{token}' gives {len(depths)} different x")
        require(all(0 <= depth <= MOST_LAYERS for values in depths for depth in values),
                f"a stage has 0 to {MOST_LAYERS} layers, but got '{token}'")
        require(all(max(values) for values in depths), f"a stage may have a layer, but got '{token}'")
        require(len({a.block for a in alternatives}) == len(alternatives),
                f"a stage names a kind once, but got '{token}'")
        return cls(depths.pop(), tuple(alternatives))

    @property
    def text(self) -> str:
        """The canonical text: `parse` of it is this stage again."""
        depths = write("", Repeat, {"depth": self.depths})
        return KIND_SEPARATOR.join(write(a.kind, a.block, a.options) + depths for a in self.alternatives)


    def size(self, per_stage: bool) -> int:
        """Returns the number of ways to make the stage, chosen once for all its layers or for each of them."""
        none = int(0 in self.depths)
        if per_stage:
            choices = sum(math.prod(map(len, a.options.values())) for a in self.alternatives)
            return (len(self.depths) - none) * choices + none
        counts = self._counts_by_depth()
        return none + sum(counts[depth - 1] for depth in self.depths if depth)

    def _counts_by_depth(self) -> list[int]:
        """Returns the ways to make 1, 2, ... layers that are chosen one by one.

        Kind after kind is given its places: the first layer is the only one with a stride, and a kind has its channels
        once, however many places it takes.
        """
        longest = max(self.depths)
        others, whole = [1] + [0] * (longest - 1), [0] * longest  # ways to fill places but the first one, or that too
        for alternative in self.alternatives:
            sizes = {option: len(values) for option, values in alternative.choices}
            channels, strides = (sizes.pop(option, 1) for option in PER_STAGE)
            free = math.prod(sizes.values())
            after_first = [free**places for places in range(longest)]
            elsewhere = [channels**bool(places) * count for places, count in enumerate(after_first)]
            first = _shared(others, after_first)
            whole = [rest + channels * strides * free * own
                     for rest, own in zip(_shared(whole, elsewhere), first, strict=True)]
            others = _shared(others, elsewhere)
        return whole


def _shared(one: list[int], other: list[int]) -> list[int]:
    """Returns the number of ways to share 0, 1, ... places between two, each with the ways to fill its own."""
    return [sum(math.comb(places, own) * one[own] * other[places - own] for own in range(places + 1) if one[own])
            for places in range(len(one))]


def require_possible(cls: type, choices: Choices, token: str) -> None:
    """Raises `InvalidInput` unless the listed values are possible: each of them, and each with each of another option.

    No rule of a block is about more than two options at a time, so that nobody has to walk all combinations.
    """
    first = {name: values[:1] for name, values in choices.items()}
    build(cls, first, token)
    several = [(name, values) for name, values in choices.items() if len(values) > 1]
    for name, values in several:
        for value in values[1:]:
            build(cls, first | {name: (value,)}, token)
    for (one, values), (other, others) in itertools.combinations(several, 2):
        for value, beside in itertools.product(values[1:], others[1:]):
            build(cls, first | {one: (value,), other: (beside,)}, token)


def classifies(block: type[Block]) -> bool:
    """Tells whether a block leaves the classes, which the data know."""
    return any(field.name == "classes" for field in dataclasses.fields(block))  # type: ignore[arg-type]


def in_field_order(cls: Any, choices: Choices) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """Returns the choices in the order that texts have, without those of a single value that is the default."""
    return tuple((field.name, choices[field.name]) for field in dataclasses.fields(cls)
                 if choices.get(field.name, (field.default,)) != (field.default,))
