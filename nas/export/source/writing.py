"""Outlines as source: classes with a constructor and a call, in the words of a library."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nas.export.source.classes import Class, Member, Outline, Slot
from nas.export.source.parts import CONVOLUTION, Layer, Module
from search_spaces.layers import Add, Concatenate, Multiply, Primitive
from search_spaces.program import Operation

WIDTH = 120
BRANCHES = "yzuvw"  # names of what branches compute


@dataclass(frozen=True)
class Values:
    """The attributes of a layer as code."""

    code: Mapping[str, str]
    constants: Mapping[str, Any]  # of those that are constant in the class

    def __getitem__(self, name: str) -> str:
        return self.code[name]

    def named(self, **given: str) -> str:
        """Returns further arguments of a call: those that are not the defaults of the library.

        Args:
            given: for each name in the library the attribute, and after a colon the default as code.
        """
        found = ""
        for name, text in given.items():
            attribute, _, default = text.partition(":")
            if self.code[attribute] != default:
                found += f", {name}={self.code[attribute]}"
        return found


@dataclass(frozen=True)
class Form:
    """The source of a type of layer.

    Attributes:
        call: returns the expression of its output, of its values, the attribute that holds it, and its input.
        constructor: returns what makes it; None where there is nothing to make.
    """

    call: Callable[[Values, str, str], str]
    constructor: Callable[[Values], str] | None = None


@dataclass(frozen=True)
class Dialect:
    """The words of a library.

    Attributes:
        module: the base class of modules.
        row: the class of lists of modules.
        call: the name of the method that computes.
        begin: what a constructor does first; empty for nothing.
        passed: the parameter that all constructors hand down; empty for none.
        forms: of the types of layers.
        concatenate: the expression that concatenates, with a place for what.
        literal: returns the code of a value of an attribute.
    """

    module: str
    row: str
    call: str
    begin: str
    passed: str
    forms: Mapping[type[Primitive], Form]
    concatenate: str
    literal: Callable[[str, Any], str]


def classes_source(outline: Outline, dialect: Dialect) -> str:
    """Returns the source of all classes of a network but the network itself."""
    return "\n\n\n".join("\n".join(_ClassSource(made, dialect).lines()) for made in outline.classes)


def blocks_source(outline: Outline, dialect: Dialect, indent: int) -> str:
    """Returns the elements of the list of a network's blocks, equal ones that follow each other as one."""
    calls = []
    for block in outline.blocks:
        made, _ = outline.class_of[block]
        calls.append(_construction(dialect, made, {
            name: dialect.literal(_attribute(made, name), value)
            for name, value in outline.arguments(block).items() if value is not None}))
    lines: list[str] = []
    while calls:
        count = next((index for index, call in enumerate(calls) if call != calls[0]), len(calls))
        lines += wrapped(f"*({calls[0]} for _ in range({count}))," if count > 1 else f"{calls[0]},", indent)
        del calls[:count]
    return "\n".join(lines)


def code_of(value: Any) -> str:
    """Returns the code of a value; a text has double quotes unless it holds one.

    >>> print(code_of("it's"), code_of("top"), code_of('a "b"'), code_of((1, 2)))
    "it's" "top" 'a "b"' (1, 2)
    """
    code = repr(value)
    return f'"{code[1:-1]}"' if isinstance(value, str) and '"' not in code else code


def wrapped(line: str, indent: int) -> list[str]:
    """Returns a line of code, indented, as one or several that break at commas and go on within their bracket."""
    lines, pieces = [" " * indent], line.split(", ")
    for index, piece in enumerate(pieces):
        text = piece + (", " if index < len(pieces) - 1 else "")
        if index and len(lines[-1]) + len(text.rstrip()) > WIDTH:
            lines.append(" " * _open_bracket("\n".join(lines)))
            lines[-2] = lines[-2].rstrip()
        lines[-1] += text
    return lines


def _open_bracket(text: str) -> int:
    """Returns the column after the last bracket of a text that is still open."""
    columns, column = [], 0
    for character in text:
        column = 0 if character == "\n" else column + 1
        if character in "([":
            columns.append(column)
        elif character in ")]":
            columns.pop()
    return columns[-1]


def _has_layers(made: Class, dialect: Dialect) -> bool:
    """Tells whether modules of a class hold anything that is made with what constructors hand down."""
    return any(_has_layers(member.made, dialect) if member.made is not None else (form := _form(member, dialect))
               is not None and form.constructor is not None for member in made.layers)


def _form(member: Member, dialect: Dialect) -> Form | None:
    """Returns the form of a layer; None for joins."""
    first = member.part.first
    return None if member.branches or not isinstance(first, Layer) else dialect.forms[type(first.operation.layer)]


def _attribute(made: Class, name: str) -> str:
    return next(parameter.attribute for parameter in made.parameters if parameter.name == name)


def _construction(dialect: Dialect, made: Class, code: Mapping[str, str]) -> str:
    """Returns the call of a class with arguments as code, without those that it has by default."""
    arguments = []
    for parameter in made.parameters:
        given = code.get(parameter.name)
        if given is None or (given == dialect.literal(parameter.attribute, parameter.default)):
            continue
        arguments.append(given if parameter.is_width else f"{parameter.name}={given}")
    if dialect.passed and _has_layers(made, dialect):
        arguments.append(f"{dialect.passed}={dialect.passed}")
    return f"{made.name}({', '.join(arguments)})"


@dataclass
class _ClassSource:
    """The source of a class in the making."""

    made: Class
    dialect: Dialect
    stored: dict[str, None] = field(default_factory=dict)  # parameters that calls need
    statements: list[str] = field(default_factory=list)
    names: Iterator[str] = field(
        default_factory=lambda: itertools.chain(BRANCHES, map("y{}".format, itertools.count(2))))

    def lines(self) -> list[str]:
        """Returns the lines of the class."""
        made, dialect = self.made, self.dialect
        value = self._run(made.members, "x", "x")
        if self.statements[-1].startswith(f"{value} = "):
            self.statements[-1] = f"return {self.statements[-1].partition(' = ')[2]}"
        else:
            self.statements.append(f"return {value}")
        constructed = [line for member in made.layers if (line := self._constructed(member))]
        kept = [f"self.{name} = {name}" for name in self.stored]
        lines = [f"class {made.name}({dialect.module}):", f'    """{_summary(made)}"""', ""]
        if constructed or kept:
            lines += wrapped(f"def __init__({', '.join(self._signature())}):", 4)
            for line in ([dialect.begin] if dialect.begin else []) + constructed + kept:
                lines += wrapped(line, 8)
            lines.append("")
        lines.append(f"    def {dialect.call}(self, x):")
        for statement in self.statements:
            lines += wrapped(statement.lstrip(" "), 8 + len(statement) - len(statement.lstrip(" ")))
        return lines

    def _signature(self) -> list[str]:
        literal, passed = self.dialect.literal, self.dialect.passed and _has_layers(self.made, self.dialect)
        given = [parameter.name if parameter.is_required
                 else f"{parameter.name}={literal(parameter.attribute, parameter.default)}"
                 for parameter in self.made.parameters]
        return ["self", *given, *(["*", self.dialect.passed] if passed else [])]

    def _constructed(self, member: Member) -> str:
        """Returns the statement that makes a member; empty where there is nothing to make."""
        condition = self._code(member.name, member.present) if member.present else ""
        if member.made is not None:
            code = {name: self._code(_attribute(member.made, name), slot) for name, slot in member.slots.items()
                    if slot.parameter is not None or slot.constant is not None}
            if isinstance(member.part.first, tuple):
                return self._row(member, code, condition)
            text = _construction(self.dialect, member.made, code)
        else:
            form = _form(member, self.dialect)
            if form is None or form.constructor is None:
                return ""
            text = form.constructor(self._values(member))
        return f"self.{member.name} = {text}" + (f" if {condition} else None" if condition else "")

    def _row(self, member: Member, code: dict[str, str], condition: str) -> str:
        assert member.made is not None
        if member.count is not None:
            variables, values = "_", f"range({self._code('count', member.count)})"
        else:
            sequences = [code[name] for name in member.each]
            code |= {name: name for name in member.each}
            variables = ", ".join(member.each)
            values = sequences[0] if len(sequences) == 1 else f"zip({', '.join(sequences)}, strict=True)"
        made = _construction(self.dialect, member.made, code)
        rest = f"[{made} for {variables} in {values}]" + (f" if {condition} else []" if condition else "")
        return f"self.{member.name} = {self.dialect.row}({rest})"

    def _run(self, members: Sequence[Member], source: str, target: str) -> str:
        """Returns the variable that holds the output of members, having written the statements that compute it."""
        value = source
        for member in members:
            if isinstance(member.part.first, tuple):
                single = member.name.removesuffix("s")
                if value != target:
                    self.statements.append(f"{target} = {value}")
                self.statements += [f"for {single} in self.{member.name}:", f"    {target} = {single}({target})"]
            else:
                self.statements.append(f"{target} = {self._computed(member, value)}")
            value = target
        return value

    def _computed(self, member: Member, x: str) -> str:
        """Returns the expression of a member's output."""
        if member.branches:
            ends = [self._run(branch, x, next(self.names) if branch else x) for branch in member.branches]
            joined = self._joined(member, ends)
            if member.present is None or member.part.main is None:
                return joined
            return f"{joined} if {self._kept(member.present)} else {ends[member.part.main]}"
        if member.made is not None:
            return self._if_there(member, f"self.{member.name}({x})", x)
        form = _form(member, self.dialect)
        assert form is not None
        call = form.call(self._values(member, kept=form.constructor is None), f"self.{member.name}", x)
        if form.constructor is not None:
            return self._if_there(member, call, x)
        return f"{call} if {self._kept(member.present)} else {x}" if member.present else call

    def _if_there(self, member: Member, call: str, x: str) -> str:
        return f"{call} if self.{member.name} else {x}" if member.present else call

    def _joined(self, member: Member, ends: Sequence[str]) -> str:
        assert isinstance(member.part.first, Layer)
        match member.part.first.operation.layer:
            case Add():
                return " + ".join(ends)
            case Multiply():
                return " * ".join(ends)
            case Concatenate():
                return self.dialect.concatenate.format(", ".join(ends))
        raise NotImplementedError(f"no source of the join {member.part.name}")

    def _values(self, member: Member, kept: bool = False) -> Values:
        """Returns the values that a layer is made or, with `kept`, called with."""
        code = {name: self._kept(slot) if kept and slot.parameter else self._code(name, slot)
                for name, slot in member.slots.items()}
        return Values(code, {name: slot.constant for name, slot in member.slots.items() if slot.parameter is None})

    def _code(self, attribute: str, slot: Slot) -> str:
        if slot.parameter is None:
            return self.dialect.literal(attribute, slot.constant)
        return f"not {slot.parameter.name}" if slot.negated else slot.parameter.name

    def _kept(self, slot: Slot) -> str:
        """Returns the code of a parameter in a call, which the constructor therefore keeps."""
        assert slot.parameter is not None
        self.stored[slot.parameter.name] = None
        return f"not self.{slot.parameter.name}" if slot.negated else f"self.{slot.parameter.name}"


def _summary(made: Class) -> str:
    """Returns the first line of the docstring of a class: that of the block, or what it consists of."""
    if (summary := made.modules[0].summary) and made.modules[0].kind != CONVOLUTION:
        return summary.replace("\\", "\\\\").replace('"', "'")
    names = [member.part.name.replace("_", " ") for member in made.layers]
    return ", ".join([names[0].capitalize(), *names[1:]]) + "."


def places(outline: Outline) -> Iterator[tuple[str, Operation, str]]:
    """Yields the operations of a network: block, operation in it, and its place, such as `blocks.4.expand.conv`."""
    for index, (name, block) in enumerate(zip(outline.architecture.block_names, outline.blocks, strict=True)):
        for operation, place in _places(outline, block, f"blocks.{index}"):
            yield name, operation, place


def _places(outline: Outline, module: Module, prefix: str) -> Iterator[tuple[Operation, str]]:
    made, index = outline.class_of[module]
    for member in made.layers:
        occurrence, place = member.part.occurrences[index], f"{prefix}.{member.name}"
        if isinstance(occurrence, Layer):
            yield occurrence.operation, place
        elif occurrence is not None:
            row = isinstance(occurrence, tuple)
            for number, inner in enumerate(occurrence if isinstance(occurrence, tuple) else (occurrence,)):
                yield from _places(outline, inner, f"{place}.{number}" if row else place)
