"""Numbers of other libraries as those of Python, which files and texts take."""

import dataclasses
from decimal import Decimal
from typing import Any

MOST_DIGITS = 9
WHOLE = (int, int | None, tuple[int, ...])  # types of fields


def plain(value: Any, whole: bool = False) -> Any:
    """Returns a number of numpy, JAX or PyTorch as one of Python, where whole ones are meant `20e6` as one of them.

    Lists and tuples are gone through; any other value is returned as it is.

    >>> plain(20e6, whole=True), plain([0.5, 2.0], whole=True)
    (20000000, [0.5, 2])
    """
    if type(value) in (list, tuple):
        return type(value)(plain(one, whole) for one in value)
    scalar = value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value
    return int(scalar) if whole and isinstance(scalar, float) and scalar.is_integer() else scalar


def is_whole(text: str) -> bool:
    """Tells whether a text is a whole number below 1e9, as settings are.

    >>> is_whole("12"), is_whole("-1"), is_whole("9" * 5000)
    (True, False, False)
    """
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def rounded(value: int, digits: int) -> str:
    """Returns a positive whole number to some significant digits, however large it is.

    >>> rounded(123456, 3), rounded(7**400, 3)
    ('1.23e+05', '1.09e+338')
    """
    return f"{float(value):.{digits}g}" if value < 10**300 else f"{Decimal(value):.{digits - 1}e}"


def count_of(count: int, one: str, many: str = "") -> str:
    """Returns a count with what is counted, in the plural unless it is one.

    >>> count_of(1, "epoch"), count_of(2000, "latency", "latencies")
    ('1 epoch', '2,000 latencies')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def make_plain(instance: Any) -> None:
    """Puts plain numbers into the fields of a dataclass that is being made, whole ones where its types are `WHOLE`."""
    for field in dataclasses.fields(instance):
        object.__setattr__(instance, field.name, plain(getattr(instance, field.name), field.type in WHOLE))
