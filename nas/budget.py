"""Budgets: what a candidate may cost. Quantities with units are parsed here, and only here."""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from search_spaces.errors import InvalidInput, unknown

_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?)\s*([^\W\d_]*)", re.ASCII)
_MICRO = re.compile("[µμ]")  # the micro sign and the Greek letter

_LATENCY_UNITS = {"us": Decimal("0.001"), "ms": Decimal(1), "s": Decimal(1000)}
_COUNT_UNITS = {"": Decimal(1), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9)}
_DECIMAL_BYTE_UNITS = {"B": Decimal(1), "kB": Decimal(10**3), "MB": Decimal(10**6), "GB": Decimal(10**9)}
_BYTE_UNITS = _DECIMAL_BYTE_UNITS | {"KiB": Decimal(2**10), "MiB": Decimal(2**20), "GiB": Decimal(2**30)}

EXACT_DIGITS = 15  # the significant digits that a float always keeps


def format_latency_ms(latency_ms: float, digits: int = 3) -> str:
    """Returns a latency in milliseconds, rounded to some significant digits.

    >>> format_latency_ms(0.09), format_latency_ms(0.0912345)
    ('0.09 ms', '0.0912 ms')
    """
    return f"{_plain(_rounded(latency_ms, digits))} ms"


def format_count(count: int, digits: int = 3) -> str:
    """Returns a count in thousands, millions or billions, rounded to some significant digits.

    >>> format_count(3858016), format_count(1500), format_count(64)
    ('3.86M', '1.5k', '64')
    """
    return "".join(_scaled(count, _COUNT_UNITS, digits))


def format_bytes(size_bytes: int, digits: int = 3) -> str:
    """Returns a number of bytes in decimal units, rounded to some significant digits.

    >>> format_bytes(163072), format_bytes(10**6)
    ('163 kB', '1 MB')
    """
    return " ".join(_scaled(size_bytes, _BYTE_UNITS, digits))


@dataclass(frozen=True)
class Quantity:
    """What a budget may limit: how it is stored, written and read.

    Attributes:
        field: its field in `Budgets`, with the unit it is stored in.
        units: the units that a text may have, and how many stored units each is; the empty one allows a bare number.
        examples: valid texts, for messages.
        whole: whether it is stored as an integer.
        format: writes a value, rounded to some significant digits.
    """

    field: str
    units: Mapping[str, Decimal]
    examples: str
    whole: bool
    format: Callable[..., str]


QUANTITIES = {
    "latency": Quantity("latency_ms", _LATENCY_UNITS, "0.1ms, 80us or 0.0001s", False, format_latency_ms),
    "macs": Quantity("macs", _COUNT_UNITS, "20M, 1.5G or 300000", True, format_count),
    "params": Quantity("params", _COUNT_UNITS, "500k, 1M or 20000", True, format_count),
    "memory": Quantity("memory_bytes", _BYTE_UNITS, "512KiB, 64kB or 1MB", True, format_bytes),
    "size": Quantity("size_bytes", _BYTE_UNITS, "512KiB, 64kB or 1MB", True, format_bytes),
}


def parse_quantity(name: str, text: str | float) -> float | int:
    """Returns a quantity of `QUANTITIES` in the unit it is stored in: milliseconds, a count or bytes.

    The arithmetic is decimal, so that `80us` is the float 0.08. As a limit on whole things, `1.1KiB` is 1126 bytes.

    >>> parse_quantity("latency", "80us"), parse_quantity("macs", "1.5G"), parse_quantity("memory", "512KiB")
    (0.08, 1500000000, 524288)

    Raises:
        InvalidInput: no number, a missing or unknown unit, or a value that is not positive and finite.
    """
    quantity, text = QUANTITIES[name], str(text)  # a file may have a bare number as a number
    match = _NUMBER.fullmatch(_MICRO.sub("u", text.strip()))
    if not match:
        raise InvalidInput(f"{name} is written like {quantity.examples}, but got '{text}'")
    number, unit = Decimal(match[1]), match[2]
    if not unit and "" not in quantity.units:
        raise InvalidInput(f"{name} needs a unit: {quantity.examples}, but got '{text}'")
    if unit not in quantity.units:
        raise unknown(f"unit of {name}", unit, filter(None, quantity.units))
    if not unit and number != int(number):
        raise InvalidInput(f"{name} without a unit is a whole number, but got '{text}'")
    value = number * quantity.units[unit]
    stored: float | int = math.floor(value) if quantity.whole else float(value)
    _check(name, stored, text)
    return stored


def parse_percentile(text: str) -> float | None:
    """Returns the percentile that a text such as `p30` names, or None if it is a quantity with a unit.

    >>> parse_percentile("p30"), parse_percentile("0.1ms")
    (30.0, None)
    """
    match = re.fullmatch(r"p(\d+(?:\.\d+)?)", text.strip(), re.ASCII)
    return float(match[1]) if match else None


@dataclass(frozen=True)
class Costs:
    """What a candidate was found to cost; what was not reached, because an earlier check had failed, is None.

    `latency_ci_ms` is the 95 % interval of the median, `memory_bytes` the peak of live activations, `size_bytes` the
    size of the model file.
    """

    macs: int | None = None
    params: int | None = None
    memory_bytes: int | None = None
    size_bytes: int | None = None
    latency_ms: float | None = None
    latency_ci_ms: tuple[float, float] | None = None


@dataclass(frozen=True)
class Budgets:
    """Upper limits of costs; None sets no limit."""

    latency_ms: float | None = None
    macs: int | None = None
    params: int | None = None
    memory_bytes: int | None = None
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        for name, limit in self.limits.items():
            if QUANTITIES[name].whole and not isinstance(limit, int):
                raise InvalidInput(f"{name} must be a whole number, but got {limit!r}")
            _check(name, limit, repr(limit))

    @classmethod
    def parse(cls, latency: str | float | None = None, macs: str | float | None = None,
              params: str | float | None = None, memory: str | float | None = None,
              size: str | float | None = None) -> "Budgets":
        """Returns the budgets that texts such as `0.09ms` and `20M` set; raises as `parse_quantity` does."""
        texts = {"latency": latency, "macs": macs, "params": params, "memory": memory, "size": size}
        values: dict[str, Any] = {QUANTITIES[name].field: parse_quantity(name, text)
                                  for name, text in texts.items() if text is not None}
        return cls(**values)

    @property
    def limits(self) -> dict[str, float | int]:
        """The limits that are set, by the names of `QUANTITIES` and in their order."""
        values = {name: getattr(self, quantity.field) for name, quantity in QUANTITIES.items()}
        return {name: value for name, value in values.items() if value is not None}

    def violations(self, costs: Costs) -> dict[str, float]:
        """Returns `measured / limit - 1` for every budget that is set, in the order of `QUANTITIES`.

        A cost that is not known counts as 0.0. A latency is judged by the upper end of its 95 % interval (by itself
        where it has none, as in a table of exact values): it fits only if it surely does.
        """
        upper_ms = costs.latency_ci_ms[1] if costs.latency_ci_ms else costs.latency_ms
        judged = dataclasses.replace(costs, latency_ms=upper_ms)
        measured = {name: getattr(judged, QUANTITIES[name].field) for name in self.limits}
        return {name: 0.0 if measured[name] is None else measured[name] / limit - 1
                for name, limit in self.limits.items()}

    def __str__(self) -> str:
        texts = [f"{name} {QUANTITIES[name].format(limit, EXACT_DIGITS)}" for name, limit in self.limits.items()]
        return ", ".join(texts) or "no budget"


def is_feasible(violations: Mapping[str, float]) -> bool:
    """Returns whether no budget is exceeded; a limit that is met exactly is kept."""
    return all(violation <= 0 for violation in violations.values())


def _check(name: str, value: float | int, text: str) -> None:
    if not 0 < value < math.inf:
        raise InvalidInput(f"{name} must be positive and finite, but got {text}")


def _rounded(value: float | int, digits: int) -> Decimal:
    return Decimal(f"{value:.{digits - 1}e}")


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _scaled(value: int, units: Mapping[str, Decimal], digits: int) -> tuple[str, str]:
    """Returns the number and the largest of the decimal units in which it is at least 1 once rounded."""
    rounded = _rounded(value, max(digits, 3))
    fitting = [unit for unit in units if "i" not in unit and rounded >= units[unit]]
    unit = fitting[-1] if fitting else next(iter(units))
    return _plain(rounded / units[unit]), unit
