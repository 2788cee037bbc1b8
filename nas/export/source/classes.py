"""The classes that the modules of a network need: as few as these can be aligned to, what differs a parameter."""

import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Any

from nas.export.source.parts import CONVOLUTION, Layer, Module, Part, Parts, blocks_of, merged
from search_spaces.architecture import Architecture

ANY = object()  # the value of what a module goes without
SHORT = {"convolution": "conv", "batch_norm": "norm", "activation": "act"}
FAMILIES = dict.fromkeys(("inputs", "filters", "features", "groups", "begin", "end"), "channels") | {"norm": "bias"}
DEFAULTS = {"stride": 1, "groups": 1}


@dataclass(eq=False)
class Parameter:
    """A parameter of a class.

    Attributes:
        attribute: what it is of the layer that it is for.
        label: its name in the layer or module that it is for.
        place: that layer or module.
        column: its values for the modules of the class; `ANY` or None where it is not given.
        name: in the class.
    """

    attribute: str
    label: str
    place: str
    column: list[Any]
    name: str = ""

    @property
    def is_optional(self) -> bool:
        """Tells whether some modules go without the parameter."""
        return ANY in self.column or None in self.column

    @property
    def default(self) -> Any:
        """The value that need not be given; None where there is none."""
        if self.is_optional:
            return None
        if isinstance(self.column[0], bool) or self.attribute == "padding":
            return Counter(self.column).most_common(1)[0][0]
        return DEFAULTS.get(self.attribute)

    @property
    def is_required(self) -> bool:
        """Tells whether the parameter has no default."""
        return not self.is_optional and self.default is None

    @property
    def is_width(self) -> bool:
        """Tells whether the parameter is a number of channels, which calls need not name."""
        return FAMILIES.get(self.attribute) == "channels" and self.is_required


@dataclass(frozen=True)
class Slot:
    """A value in terms of the parameters of a class: a constant, a parameter, or what is no parameter."""

    constant: Any = None
    parameter: Parameter | None = None
    negated: bool = False


@dataclass(eq=False)
class Member:
    """A part of a class, and what it is made with.

    Attributes:
        name: the attribute that holds it.
        part: what it is.
        slots: what it is made with, by attribute or by parameter of its class.
        present: whether it is there; None where it always is.
        branches: of a join.
        made: the class of modules.
        each: names of slots that hold a value for each module of a row.
        count: how many modules are in a row that has no such slots.
    """

    name: str
    part: Part
    slots: dict[str, Slot] = field(default_factory=dict)
    present: Slot | None = None
    branches: tuple[tuple["Member", ...], ...] = ()
    made: "Class | None" = None
    each: tuple[str, ...] = ()
    count: Slot | None = None


@dataclass(frozen=True, eq=False)
class Class:
    """A class of the source.

    Attributes:
        name: its name.
        modules: those that are of it, in the order of the columns.
        members: its parts in order of execution.
        parameters: required ones first.
    """

    name: str
    modules: tuple[Module, ...]
    members: tuple[Member, ...]
    parameters: tuple[Parameter, ...]

    @property
    def layers(self) -> list[Member]:
        """All members, each after those of its branches."""
        return _flat(self.members)


def _flat(members: Sequence[Member]) -> list[Member]:
    return [each for member in members
            for each in (*(inner for branch in member.branches for inner in _flat(branch)), member)]


@dataclass
class Outline:
    """The classes of a network, each after those of its parts, and the class of each module with its place there."""

    architecture: Architecture
    reserved: Sequence[str] = ()  # names that attributes must not have
    classes: list[Class] = field(default_factory=list)
    class_of: dict[Module, tuple[Class, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.blocks = blocks_of(self.architecture)
        kinds: dict[tuple[str, ...], list[Module]] = {}
        for block in self.blocks:
            for module in (*block.modules, block):
                kinds.setdefault(module.kind, []).append(module)
        for kind in list(kinds):
            self._resolve(kind, kinds)

    def arguments(self, module: Module) -> dict[str, Any]:
        """Returns the value of each parameter of its class for a module; None where it is not given."""
        found, index = self.class_of[module]
        values = {parameter.name: parameter.column[index] for parameter in found.parameters}
        return {name: None if value is ANY else value for name, value in values.items()}

    def _resolve(self, kind: tuple[str, ...], kinds: dict[tuple[str, ...], list[Module]]) -> None:
        """Makes the classes of a kind, after those of what its modules consist of."""
        modules = kinds.pop(kind, [])
        for module in modules:
            for inner in module.modules:
                self._resolve(inner.kind, kinds)
        variants: list[tuple[list[Module], Parts]] = []
        for module in modules:
            parts = self._in_rows(module.parts)
            for index, (others, common) in enumerate(variants):
                both = merged(common, parts, self._key)
                if both is not None:
                    variants[index] = ([*others, module], both)
                    break
            else:
                variants.append(([module], parts))
        for members, parts in variants:
            made = _Making(self, members).made(self._name(members, parts), parts)
            self.classes.append(made)
            self.class_of |= {module: (made, index) for index, module in enumerate(members)}

    def _key(self, part: Part) -> Hashable:
        """Returns the key by which the parts of modules are aligned."""
        first = part.first if any(part.occurrences) else None
        if first is None:
            return part.name, len(part.branches)
        if isinstance(first, Layer):
            return part.name, len(part.branches) or type(first.operation.layer)
        return part.name, type(first), self.class_of[part.modules[0]][0]

    def _in_rows(self, parts: Parts) -> Parts:
        """Returns the parts of a module with rows for modules of one class whose names are numbered."""
        found: list[Part] = []
        for part in parts:
            stem = re.sub(r"\d+$", "", part.name)
            row = found[-1].modules if found else []
            if (stem != part.name and part.modules and row and found[-1].name in (f"{stem}s", f"{stem}{len(row)}")
                    and self.class_of[row[0]][0] is self.class_of[part.modules[0]][0]):
                found[-1] = Part(f"{stem}s", ((*row, *part.modules),))
            else:
                found.append(dataclasses.replace(part, branches=tuple(map(self._in_rows, part.branches))))
        return tuple(found)

    def _name(self, modules: Sequence[Module], parts: Parts) -> str:
        """Returns a name for a class that no other one has."""
        names = {module.name if module.summary else re.sub(r"\d+$", "", module.name) for module in modules}
        if modules[0].kind == CONVOLUTION:
            name = "".join(_camel(part.name) for part in parts)
        elif len(names) == 1:
            name = _camel(names.pop())
        else:
            name = "".join(_camel(part.name) for part in parts if part.name not in CONVOLUTION) or _camel(
                modules[0].name)
        return _free(name, [found.name for found in self.classes], "V")


def _identifier(name: str) -> str:
    """Returns the name that an attribute has for a layer or a module, whatever it is called."""
    name = SHORT.get(name, re.sub(r"\W", "_", name))
    return f"_{name}" if name[0].isdigit() else f"{name}_" if iskeyword(name) else name


def _camel(name: str) -> str:
    camel = "".join(word[:1].upper() + word[1:] for word in _identifier(name).split("_"))
    return f"N{camel}" if camel[0].isdigit() or camel == "Network" else camel


def _free(name: str, taken: Sequence[str], before_number: str = "_") -> str:
    """Returns a name, or one with a number after it, that is not taken."""
    stem = name + before_number if name[-1].isdigit() else name
    return next(free for number in itertools.count(1)
                if (free := f"{stem}{number}" if number > 1 else name) not in taken)


@dataclass
class _Making:
    """A class in the making."""

    outline: Outline
    modules: Sequence[Module]
    parameters: list[Parameter] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def made(self, name: str, parts: Parts) -> Class:
        """Returns the class of the modules, which have these parts in common."""
        members = self._members(parts)
        for member in _flat(members):
            if None in member.part.occurrences:
                member.present = self._present(member)
        labels = Counter(parameter.label for parameter in self.parameters)
        for parameter in self.parameters:
            plain = labels[parameter.label] == 1 or parameter.place == parameter.label
            parameter.name = _free(parameter.label if plain else f"{parameter.place}_{parameter.label}",
                                   [other.name for other in self.parameters])
        in_order = sorted(self.parameters, key=lambda parameter: not parameter.is_required)
        in_order.sort(key=lambda parameter: not parameter.is_width)
        return Class(name, tuple(self.modules), members, tuple(in_order))

    def _members(self, parts: Parts) -> tuple[Member, ...]:
        return tuple(map(self._member, parts))

    def _member(self, part: Part) -> Member:
        branches = tuple(map(self._members, part.branches))
        name = _identifier(part.name) if part.main is None else "skip"
        name = _free(f"{name}_" if name in self.outline.reserved else name, self.names)
        self.names.append(name)
        member = Member(name, part, branches=branches)
        if part.modules:
            self._fill_modules(member)
        elif not branches:
            layers = [occurrence.attributes if isinstance(occurrence, Layer) else None
                      for occurrence in part.occurrences]
            member.slots = self._slots(name, _explicit(layers))
        return member

    def _fill_modules(self, member: Member) -> None:
        """Gives a member that is a module or a row of modules the arguments of its class."""
        rows = [(occurrence,) if isinstance(occurrence, Module) else occurrence
                for occurrence in member.part.occurrences]
        made = member.made = self.outline.class_of[member.part.modules[0]][0]
        given = [[self.outline.arguments(module) for module in row] if isinstance(row, tuple) else None for row in rows]
        each = member.each = tuple(parameter.name for parameter in made.parameters if any(
            len({row[parameter.name] for row in found}) > 1 for found in given if found is not None))
        columns = [None if found is None else {
            name: _sequence([row[name] for row in found]) if name in each else value
            for name, value in found[0].items()} for found in given]
        attributes = {parameter.name: parameter.attribute for parameter in made.parameters}
        member.slots = self._slots(member.name, columns, attributes)
        if isinstance(member.part.first, tuple) and not each:
            member.count = self._slot("count", "count", member.name,
                                      [ANY if row is None else len(row) for row in given])

    def _slots(self, place: str, values: Sequence[dict[str, Any] | None], attributes: dict[str, str] | None = None
               ) -> dict[str, Slot]:
        """Returns the slots of a member by name, of its values for each module; None where there is no member."""
        names = next(each for each in values if each is not None)
        return {name: self._slot((attributes or {}).get(name, name), name, place,
                                 [ANY if each is None else each[name] for each in values]) for name in names}

    def _slot(self, attribute: str, label: str, place: str, column: list[Any]) -> Slot:
        defined = [value for value in column if value is not ANY]
        if all(value == defined[0] for value in defined):
            return Slot(defined[0])
        if _family(attribute) == "channels" and _agree(column, inputs := [module.inputs for module in self.modules]):
            column = inputs  # these are known where the layer is not there too
        negation = [not value for value in column] if all(isinstance(value, bool) for value in column) else None
        for parameter in self.parameters:
            if _family(parameter.attribute) == _family(attribute):
                if _agree(parameter.column, column):
                    parameter.column = [mine if other is ANY else other
                                        for mine, other in zip(parameter.column, column, strict=True)]
                    return Slot(parameter=parameter)
                if negation == parameter.column:
                    return Slot(parameter=parameter, negated=True)
        self.parameters.append(Parameter(attribute, label, place, column))
        return Slot(parameter=self.parameters[-1])

    def _present(self, member: Member) -> Slot:
        """Returns the condition for a member: a parameter that is given where the member is there, or one for it."""
        there = [occurrence is not None for occurrence in member.part.occurrences]
        for parameter in (slot.parameter for slot in member.slots.values()):
            if parameter is not None and [
                    value not in (ANY, None) and bool(value) for value in parameter.column] == there:
                return Slot(parameter=parameter)
        return self._slot(member.name, member.name, member.name, list(there))


def _family(attribute: str) -> str:
    return FAMILIES.get(attribute, attribute)


def _agree(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return all(mine is ANY or theirs is ANY or mine == theirs for mine, theirs in zip(one, other, strict=True))


def _explicit(layers: list[dict[str, Any] | None]) -> list[dict[str, Any] | None]:
    """Returns the attributes of layers of one place; symmetric padding is told in pixels where others pad otherwise."""
    if len({each["padding"] for each in layers if each and "padding" in each}) < 2:
        return layers
    return [each and each | {"padding": tuple((size // 2, size // 2) for size in each["kernel"])}
            if each and each["padding"] == "symmetric" else each for each in layers]


def _sequence(values: list[Any]) -> Any:
    """Returns values as a range where they are one, or as a tuple."""
    if all(type(value) is int for value in values) and len(values) > 1 and values[1] != values[0]:
        step = values[1] - values[0]
        found = range(values[0], values[-1] + (1 if step > 0 else -1), step)
        if list(found) == values:
            return range(values[0], values[-1] + step, step)
    return tuple(values)
