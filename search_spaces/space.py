"""Space: an architecture with choices in it.

The text of a space is that of an architecture in which an option may list several values (`k3/5/7`), a stage may have
several depths (`x0/1/2`, where 0 leaves it out) or kinds of block (`//` between them), and a first token `scale` may
give width and resolution multipliers. What the text leaves out of the input and the head (resolution, channels,
classes) the data fill in.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np

from search_spaces.architecture import SEPARATOR, Architecture, split
from search_spaces.blocks import BLOCKS, Block, Input, round_channels
from search_spaces.errors import InvalidInput, require
from search_spaces.markup import html_table
from search_spaces.notation import build, number, parse, word, write
from search_spaces.numbers import count_of, rounded
from search_spaces.search_space import Assignment, Trial, Value
from search_spaces.stage import PER_STAGE, Alternative, Stage, classifies, in_field_order, require_possible

MOST_STAGES = 100
MOST_LAYERS = 300  # of the deepest member
MOST_LISTED = 1000  # values of all choices


@dataclass(frozen=True)
class Scale:
    """Multipliers of the whole network, and whether blocks are chosen for each layer or once for a stage."""

    width: float = number("w", "width multiplier", 1.0)
    resolution: float = number("r", "resolution multiplier", 1.0)
    per_stage: bool = word({"layerwise": False, "stagewise": True}, "what the choices of a block hold for", False)


@dataclass(frozen=True)
class Space:
    """A set of architectures that share a skeleton; see the module's text for the notation."""

    scale: tuple[tuple[str, tuple[Any, ...]], ...]
    input: tuple[tuple[str, tuple[Any, ...]], ...]
    stages: tuple[Stage, ...]

    @classmethod
    def parse(cls, text: str) -> "Space":
        """Returns the space that a text describes; raises `InvalidInput` with the token that is wrong."""
        tokens = split(text)
        scale: dict[str, tuple[Any, ...]] = {}
        if tokens[0].split("_")[0] == "scale":
            scale = parse(tokens.pop(0), {"scale": Scale})[1]
            require(len(scale.get("per_stage", ())) < 2, "a space is either layerwise or stagewise, not both")
            require(all(value > 0 for name in ("width", "resolution") for value in scale.get(name, ())),
                    f"multipliers must be positive, but got '{text.split(SEPARATOR)[0]}'")
        first = tokens[0] if tokens else ""
        require(first.split("_")[0] == "in", f"a space begins with 'in', after an optional 'scale', but got '{first}'")
        given = parse(first, {"in": Input})[1]
        require_possible(Input, {"resolution": (1,), "channels": (1,)} | given, first)
        require(len(tokens) > 1, "a space needs at least one stage after its input")
        require(len(tokens) <= MOST_STAGES + 1, f"a space has at most {MOST_STAGES} stages, but got {len(tokens) - 1}")
        space = cls(in_field_order(Scale, scale), in_field_order(Input, given), tuple(map(Stage.parse, tokens[1:])))
        layers = sum(max(stage.depths) for stage in space.stages)
        require(layers <= MOST_LAYERS, f"a space has at most {MOST_LAYERS} layers, but got {layers}")
        listed = sum(map(len, space.parameters.values()))
        require(listed <= MOST_LISTED, f"a space has at most {MOST_LISTED} values to choose from, but got {listed}")
        return space

    @cached_property
    def text(self) -> str:
        """The canonical text: `parse` of it is this space again."""
        scale = write("scale", Scale, dict(self.scale))
        return SEPARATOR.join([
            *([scale] if scale != "scale" else []),
            write("in", Input, dict(self.input)),
            *(stage.text for stage in self.stages),
        ])

    def _repr_html_(self) -> str:
        return html_table(f"{rounded(self.size, 3)} architectures, {count_of(len(self.parameters), 'choice')}",
                          ["stage"], ([token] for token in self.text.split(SEPARATOR)))

    def __str__(self) -> str:
        return self.text

    def bind(self, resolution: int, channels: int, classes: int) -> "Space":
        """Returns the space, completed from the data; a stated resolution goes before the data's.

        The resolution multipliers are applied, rounding down.

        Raises:
            InvalidInput: the space states other channels or classes than the data have, or is left without pixels.
        """
        given, scale = dict(self.input), dict(self.scale)
        stated = given.get("channels", (channels,))
        require(stated == (channels,),
                f"the space's input has c{'/'.join(map(str, stated))}, but the data have "
                f"{count_of(channels, 'channel')}")
        multipliers = scale.pop("resolution", (1.0,))
        sizes = [math.floor(round(base * multiplier, 6))  # 0.57 * 100 is 56.99999999999999
                 for base in given.get("resolution", (resolution,)) for multiplier in multipliers]
        require(min(sizes) >= 1, "resolution multipliers must leave at least one pixel, but got "
                f"'{write('scale', Scale, dict(self.scale))}'")
        given |= {"resolution": tuple(dict.fromkeys(sizes)), "channels": (channels,)}
        return Space(in_field_order(Scale, scale), in_field_order(Input, given),
                     tuple(_bind_classes(stage, classes) for stage in self.stages))

    @cached_property
    def parameters(self) -> dict[str, tuple[Value, ...]]:
        """The choices of the space by name: always the same ones, whatever was chosen for the others."""
        found = {"width": self._scale("width"), **dict(self.input)}
        for index, stage in enumerate(self.stages):
            found[f"stage{index}.depth"] = stage.depths
            for layer in range(1 if self.per_stage else max(stage.depths)):
                found[f"{self._prefix(index, layer)}.kind"] = tuple(a.kind for a in stage.alternatives)
                for alternative in stage.alternatives:
                    for option, values in alternative.choices:
                        found[self._option_name(index, layer, alternative, option)] = values
        return {name: values for name, values in found.items() if len(values) > 1}

    def suggest(self, trial: Trial) -> Assignment:
        """Returns a value for every parameter, asked of an Optuna trial."""
        return {name: trial.suggest_categorical(name, values) for name, values in self.parameters.items()}

    def sample(self, generator: np.random.Generator) -> Assignment:
        """Returns a uniformly random value for every parameter."""
        return {name: values[generator.integers(len(values))] for name, values in self.parameters.items()}

    def decode(self, assignment: Mapping[str, Value]) -> Architecture:
        """Returns the architecture of an assignment; parameters of layers that it lacks are ignored.

        Raises:
            InvalidInput: the architecture is impossible, or the space is not bound to data.
        """
        require("resolution" not in dict(self.scale), "a space with resolution multipliers must be bound to data, "
                f"but got '{write('scale', Scale, dict(self.scale))}'")
        given = build(Input, {name: (assignment.get(name, values[0]),) for name, values in self.input}, "in")
        width = float(assignment.get("width", self._scale("width")[0]))
        blocks = []
        for index, stage in enumerate(self.stages):
            for layer in range(int(assignment.get(f"stage{index}.depth", stage.depths[0]))):
                kind = str(assignment.get(self._kinds[index, layer], stage.alternatives[0].kind))
                blocks.append(_scaled(kind, tuple([(option, assignment.get(name, first)) for option, name, first in
                                                   self._options[index, layer, kind]]), width, first=layer == 0))
        return Architecture(given, tuple(blocks))

    def active(self, assignment: Mapping[str, Value]) -> Assignment:
        """Returns the choices that matter under the others: not those of layers and kinds that are not there."""
        names = ["width", *(name for name, _ in self.input)]
        for index, stage in enumerate(self.stages):
            names.append(f"stage{index}.depth")
            for layer in range(int(assignment.get(f"stage{index}.depth", stage.depths[0]))):
                names.append(self._kinds[index, layer])
                kind = str(assignment.get(names[-1], stage.alternatives[0].kind))
                names += [name for option, name, _ in self._options[index, layer, kind]
                          if option != "stride" or not layer]
        return {name: assignment[name] for name in names if name in self.parameters}

    @cached_property
    def _kinds(self) -> dict[tuple[int, int], str]:
        """The name of the parameter for the kind of block, by stage and layer."""
        return {(index, layer): f"{self._prefix(index, layer)}.kind"
                for index, stage in enumerate(self.stages) for layer in range(max(stage.depths))}

    @cached_property
    def _options(self) -> dict[tuple[int, int, str], list[tuple[str, str, Any]]]:
        """The options of a block, the names of their parameters and their first values, by stage, layer and kind."""
        return {(index, layer, alternative.kind):
                [(option, self._option_name(index, layer, alternative, option), values[0])
                 for option, values in alternative.choices]
                for index, layer in self._kinds for alternative in self.stages[index].alternatives}

    def nearest(self, assignment: Assignment, seen: Iterable[str]) -> Architecture:
        """Returns the architecture of an assignment: the space lacks none that is possible; raises as `decode`."""
        return self.decode(assignment)

    def encode(self, architecture: Architecture) -> Assignment | None:
        """Returns an assignment that decodes to the architecture, or None if the space does not contain it."""
        given = {name: getattr(architecture.input, name) for name, _ in self.input}
        if any(given[name] not in values for name, values in self.input):
            return None
        for width in self._scale("width"):
            assignment = {name: values[0] for name, values in self.parameters.items()} | given | {"width": width}
            found = self._match(architecture.blocks, 0, width, set())
            whole = {name: (assignment | (found or {}))[name] for name in self.parameters}
            if found is not None and self._decode_possible(whole) == architecture:
                return whole
        return None

    def __contains__(self, architecture: Architecture) -> bool:
        return self.encode(architecture) is not None

    def neighbours(self, assignment: Assignment) -> Iterator[Assignment]:
        """Yields the assignments that differ in one parameter and decode to another architecture."""
        own = self.decode(assignment)
        for name, values in self.parameters.items():
            for value in values:
                other = assignment | {name: value}
                if value != assignment[name] and self._decode_possible(other) not in (own, None):
                    yield other

    def enumerated(self, limit: int) -> list[Assignment] | None:
        """Returns an assignment for every member, or None if there are more than `limit`; see `size`.

        Members have their active choices once; choices that make no network are among them.
        """
        if self.size > limit:
            return None
        return list(self._completed({name: values[0] for name, values in self.parameters.items()}, frozenset()))

    def _completed(self, assignment: Assignment, settled: frozenset[str]) -> Iterator[Assignment]:
        """Yields the completions of an assignment, each set of active choices once; settled ones stay as they are."""
        name = next((name for name in self.active(assignment) if name not in settled), None)
        if name is None:
            yield assignment
            return
        for value in self.parameters[name]:  # what makes a choice matter comes before it
            yield from self._completed(assignment | {name: value}, settled | {name})

    @cached_property
    def size(self) -> int:
        """The number of architectures, choices beyond a stage's depth not counted.

        What comes about in two ways is counted twice: widths that round to the same channels everywhere, neighbouring
        stages that list the same block at stride 1. Choices under which a layer would keep no pixel count too.
        """
        total = len(self._scale("width")) * math.prod(len(values) for _, values in self.input)
        for stage in self.stages:
            total *= stage.size(self.per_stage)
        return total

    @cached_property
    def per_stage(self) -> bool:
        """Tells whether blocks are chosen once for a stage instead of for each layer."""
        return bool(self._scale("per_stage")[0])

    def _scale(self, name: str) -> tuple[Any, ...]:
        default = next(field.default for field in dataclasses.fields(Scale) if field.name == name)
        return dict(self.scale).get(name, (default,))

    def _prefix(self, index: int, layer: int) -> str:
        return f"stage{index}" if self.per_stage else f"stage{index}.layer{layer}"

    def _option_name(self, index: int, layer: int, alternative: Alternative, option: str) -> str:
        at = f"stage{index}" if option in PER_STAGE else self._prefix(index, layer)
        return f"{at}.{option}" if len(self.stages[index].alternatives) == 1 else f"{at}.{alternative.kind}.{option}"

    def _match(self, blocks: tuple[Block, ...], index: int, width: float, dead: set[tuple[int, int]]
               ) -> Assignment | None:
        """Returns the choices under which the stages from `index` on are exactly these blocks; None if there are none.

        Args:
            blocks: the blocks.
            index: the first stage.
            width: the width multiplier.
            dead: the stages and numbers of blocks that were found to match in no way.
        """
        if index == len(self.stages):
            return None if blocks else {}
        for depth in self.stages[index].depths if (index, len(blocks)) not in dead else ():
            own = self._match_stage(blocks[:depth], index, width) if depth <= len(blocks) else None
            rest = self._match(blocks[depth:], index + 1, width, dead) if own is not None else None
            if own is not None and rest is not None:
                return own | rest
        dead.add((index, len(blocks)))
        return None

    def _match_stage(self, blocks: tuple[Block, ...], index: int, width: float) -> Assignment | None:
        """Returns the choices under which a stage is exactly these blocks; None if there are none."""
        own: Assignment = {f"stage{index}.depth": len(blocks)}
        for layer, block in enumerate(blocks):
            alternative = next((a for a in self.stages[index].alternatives if a.block is type(block)), None)
            if alternative is None or own.setdefault(f"{self._prefix(index, layer)}.kind",
                                                     alternative.kind) != alternative.kind:
                return None
            for option, values in alternative.choices:
                found = getattr(block, option)
                fitting = [value for value in values
                           if _scaled_option(alternative.block, option, value, width, layer == 0) == found]
                name = self._option_name(index, layer, alternative, option)
                if not fitting or own.setdefault(name, fitting[0]) not in fitting:
                    return None
            fields = dataclasses.fields(alternative.block)  # type: ignore[arg-type]
            if any(getattr(block, field.name) != field.default for field in fields
                   if field.name not in alternative.options):
                return None
        return own

    def _decode_possible(self, assignment: Assignment) -> Architecture | None:
        try:
            return self.decode(assignment)
        except InvalidInput:
            return None


def _scaled_option(block: type[Block], option: str, value: Any, width: float, first: bool) -> Any:
    if value and width != 1 and option in _scaled_fields(block):
        return round_channels(value * width)
    if option == "stride" and not first:
        return 1
    return value


@cache
def _scaled_fields(block: type[Block]) -> frozenset[str]:
    fields = dataclasses.fields(block)  # type: ignore[arg-type]
    return frozenset(field.name for field in fields if field.metadata.get("scaled"))


@lru_cache(maxsize=8192)
def _scaled(kind: str, options: tuple[tuple[str, Any], ...], width: float, first: bool) -> Block:
    """Returns the block of a layer; kept, since the members of a space share most of their blocks."""
    scaled = {name: (_scaled_option(BLOCKS[kind], name, value, width, first),) for name, value in options}
    return build(BLOCKS[kind], scaled, kind)


def _bind_classes(stage: Stage, classes: int) -> Stage:
    alternatives = []
    for alternative in stage.alternatives:
        options = alternative.options
        if classifies(alternative.block):
            stated = options.setdefault("classes", (classes,))
            require(stated == (classes,),
                    f"the space's head has n{'/'.join(map(str, stated))}, but the data have {classes} classes")
        alternatives.append(Alternative(alternative.block, in_field_order(alternative.block, options)))
    return Stage(stage.depths, tuple(alternatives))
