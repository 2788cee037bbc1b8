"""The text form of one token: a kind and its options, with choices.

`mb_k3/5_e6_c24_s2_se0/0.25_relu6/hswish` is the kind `mb` with options. An option is a key and a number (`k3`), or a
word alone (`hswish`); a slash separates the values to choose from. Which options a kind has is said once, by the
fields of its dataclass, made with `number` and `word`. docs/notation.md has the grammar.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from search_spaces.errors import InvalidInput, unknown

Choices = Mapping[str, tuple[Any, ...]]

MOST = 2**16  # a number: nothing in a network is nearly as large
MOST_VALUES = 32  # of an option, to choose from

_NUMBER = re.compile(r"([a-z]*)([0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?)")
_REQUIRED: Any = dataclasses.MISSING


def number(key: str, what: str, default: float = _REQUIRED, *, scaled: bool = False) -> Any:
    """Declares a field that is written as a key and a number, e.g. `k3`; `what` describes it in error messages.

    The width multiplier of a space scales the fields that are declared `scaled`.
    """
    return dataclasses.field(default=default, metadata={"key": key, "what": what, "scaled": scaled})


def word(words: Mapping[str, Any], what: str, default: Any = _REQUIRED) -> Any:
    """Declares a field that is written as one of some words, which must be the field's own within its kind."""
    return dataclasses.field(default=default, metadata={"words": words, "what": what})


def parse(token: str, kinds: Mapping[str, type]) -> tuple[type, dict[str, tuple[Any, ...]]]:
    """Returns the dataclass that a token names, and the listed values of each option that it gives.

    Raises:
        InvalidInput: an unknown kind or option, a duplicate, a value of the wrong form; names the token.
    """
    kind, *options = token.split("_")
    if kind not in kinds:
        raise unknown("kind of block", kind, kinds)
    cls = kinds[kind]
    choices: dict[str, tuple[Any, ...]] = {}
    for text in options:
        name, values = _parse_option(text, cls, token)
        if name in choices:
            raise InvalidInput(f"an option is given once, but '{token}' gives `{name}` again with '{text}'")
        if len(set(values)) < len(values):
            raise InvalidInput(f"choices must differ, but '{token}' repeats a value in '{text}'")
        choices[name] = values
    return cls, choices


def write(kind: str, cls: type, choices: Choices) -> str:
    """Returns the token of a kind with the given options, in the order of the fields.

    Options whose only value is the field's default are left out, so that an option added later changes no text.
    """
    parts = [kind]
    for field in dataclasses.fields(cls):
        values = choices.get(field.name)
        if values is None or values == (field.default,):
            continue
        if "words" in field.metadata:
            names = {value: name for name, value in field.metadata["words"].items()}
            parts.append("/".join(names[value] for value in values))
        else:
            parts.append(field.metadata["key"] + "/".join(str(value).removesuffix(".0") for value in values))
    return "_".join(parts)


def build(cls: type, choices: Choices, token: str) -> Any:
    """Returns the instance whose options have one value each; raises `InvalidInput` for missing ones and choices."""
    for field in dataclasses.fields(cls):
        if field.default is dataclasses.MISSING and field.name not in choices:
            raise InvalidInput(f"'{token}' lacks the option {form(field)}")
        if len(choices.get(field.name, ())) > 1:
            raise InvalidInput(f"an architecture has one value for each option, but '{token}' lists several for "
                               f"`{field.name}`; spaces do that")
    try:
        return cls(**{name: values[0] for name, values in choices.items()})
    except InvalidInput as error:
        raise InvalidInput(f"{error} in '{token}'") from None


def form(field: dataclasses.Field) -> str:
    """Returns the notation of an option and its meaning, for messages and documents."""
    metadata = field.metadata
    written = "|".join(metadata["words"]) if "words" in metadata else f"{metadata['key']}<number>"
    return f"`{written}` ({metadata['what']})"


def _parse_option(text: str, cls: type, token: str) -> tuple[str, tuple[Any, ...]]:
    first, *rest = text.split("/")
    if len(rest) >= MOST_VALUES:
        raise InvalidInput(f"an option has at most {MOST_VALUES} values to choose from, but got {len(rest) + 1} in "
                           f"'{text}'")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for field in fields.values():
        words = field.metadata.get("words", {})
        if first in words:
            for value in rest:
                if value not in words:
                    raise InvalidInput(f"'{value}' is no value of {form(field)} in '{token}'")
            return field.name, tuple(words[value] for value in (first, *rest))
    match = _NUMBER.fullmatch(first)
    for field in fields.values():
        if match and field.metadata.get("key") == match[1]:
            return field.name, tuple(_parse_number(value, field, token) for value in (match[2], *rest))
    known = ", ".join(form(field) for field in fields.values())
    raise InvalidInput(f"unknown option '{text}' in '{token}'; known: {known}")


def _parse_number(text: str, field: dataclasses.Field, token: str) -> int | float:
    match = _NUMBER.fullmatch(text)
    if not match or match[1]:
        raise InvalidInput(f"{form(field)} takes numbers, but got '{text}' in '{token}'")
    value = float(text)
    if value > MOST:
        raise InvalidInput(f"{form(field)} takes numbers up to {MOST}, but got '{text}' in '{token}'")
    if field.type is int:
        if not value.is_integer():
            raise InvalidInput(f"{form(field)} takes whole numbers, but got '{text}' in '{token}'")
        return int(value)
    return value
