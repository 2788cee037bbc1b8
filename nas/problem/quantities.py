"""The quantities that a budget may limit, each with its units, its words and its place in `Costs`.

`QUANTITIES` is all that the options of the commands, the budgets, the tables and the certificate know of a quantity. A
new one is an entry here, a field of `Costs`, and what measures it in `nas.measuring.meters`. Units are parsed here and
only here.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from search_spaces.errors import require, unknown

if TYPE_CHECKING:
    from evaluators.latency import Latency

_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?)\s*([^\W\d_]*)", re.ASCII)
MOST_CHARACTERS = 30  # of a number
_MICRO = re.compile("[µμ]")  # the micro sign and the Greek letter

_LATENCY_UNITS = {"us": Decimal("0.001"), "ms": Decimal(1), "s": Decimal(1000)}
_DURATION_UNITS = {"s": Decimal(1), "min": Decimal(60), "m": Decimal(60), "h": Decimal(3600)}
_COUNT_UNITS = {"": Decimal(1), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9)}
_DECIMAL_BYTE_UNITS = {"B": Decimal(1), "kB": Decimal(10**3), "MB": Decimal(10**6), "GB": Decimal(10**9)}
_BYTE_UNITS = _DECIMAL_BYTE_UNITS | {"KiB": Decimal(2**10), "MiB": Decimal(2**20), "GiB": Decimal(2**30)}
_UPPER_END, _LOWER_END = "upper end of the 95 % interval", "lower end of the 95 % interval"

Clock = Callable[["Latency"], float]  # the milliseconds of a latency that count: its median, or an end of its interval


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


def format_duration(duration_s: float, digits: int = 3) -> str:
    """Returns a duration in the largest unit in which it is at least 1, rounded to some significant digits.

    >>> format_duration(1800), format_duration(5400), format_duration(59)
    ('30 min', '1.5 h', '59 s')
    """
    unit = "h" if duration_s >= 3600 else "min" if duration_s >= 60 else "s"
    return f"{_plain(_rounded(duration_s / float(_DURATION_UNITS[unit]), digits))} {unit}"


@dataclass(frozen=True)
class Scale:
    """The written forms of a number with a unit.

    Attributes:
        units: the units that a text may have, and how many stored units each is; the empty one allows a bare number.
        examples: valid texts, for messages.
        whole: whether it is stored as an integer.
        format: writes a value, rounded to some significant digits.
    """

    units: Mapping[str, Decimal]
    examples: str
    whole: bool
    format: Callable[..., str]

    def parse(self, name: str, text: str) -> float | int:
        """Returns the number of a text in the stored unit; raises as `parse_quantity` does."""
        match = _NUMBER.fullmatch(_MICRO.sub("u", text.strip()))
        require(match is not None, f"{name} is written like {self.examples}, but got '{text}'")
        assert match is not None
        require(len(match[1]) <= MOST_CHARACTERS, f"{name} has at most {MOST_CHARACTERS} digits, but got '{text}'")
        number, unit = Decimal(match[1]), match[2]
        require(bool(unit) or "" in self.units, f"{name} needs a unit: {self.examples}, but got '{text}'")
        if unit not in self.units:
            raise unknown(f"unit of {name}", unit, filter(None, self.units))
        require(bool(unit) or number == int(number), f"{name} without a unit is a whole number, but got '{text}'")
        value = number * self.units[unit]
        stored: float | int = math.floor(value) if self.whole else float(value)
        require_positive(name, stored, text)
        return stored


_TIME = Scale(_LATENCY_UNITS, "0.1ms, 80us or 0.0001s", False, format_latency_ms)
_COUNT = Scale(_COUNT_UNITS, "20M, 1.5G or 300000", True, format_count)
_BYTES = Scale(_BYTE_UNITS, "512KiB, 64kB or 1MB", True, format_bytes)
_DURATION = Scale(_DURATION_UNITS, "30m, 1.5h or 90s", False, format_duration)


def _images_per_s(latency: "Latency", target: str, clock: Clock) -> float:
    from evaluators.runtimes import parse_target  # not before it is needed: the options of the commands are made here

    return 1000 * parse_target(target).options.batch / clock(latency)


@dataclass(frozen=True)
class Quantity:
    """One quantity that a budget may limit.

    Attributes:
        field: its field in `Budgets` and `SearchConfig`, and in `Costs` unless it follows from a latency, with the unit
            it is stored in.
        scale: how it is written.
        help: the help of its option.
        title: its name in a table.
        certified_in: the unit that a certificate states.
        of_latency: its value by a latency, the target of that, and a clock; each target has its own.
        lower: whether its limit is a lower one.
        of_single_runs: whether it is known only where single runs are timed.
    """

    field: str
    scale: Scale
    help: str
    title: str
    certified_in: str
    of_latency: "Callable[[Latency, str, Clock], float] | None" = None
    lower: bool = False
    of_single_runs: bool = False

    @property
    def of_target(self) -> bool:
        """Tells whether each target has a limit of its own."""
        return self.of_latency is not None


QUANTITIES = {
    "latency": Quantity(
        "latency_ms", _TIME, "latency budget with its unit (0.1ms, 80us)", "", f"ms, {_UPPER_END}",
        of_latency=lambda latency, target, clock: clock(latency)),
    "latency_p95": Quantity(  # known no better than the median, relative to itself
        "latency_p95_ms", _TIME, "budget of the 95th percentile of single runs (0.12ms)", "p95", f"ms, {_UPPER_END}",
        of_latency=lambda latency, target, clock: clock(latency) * (latency.p95_ms / latency.raw_ms),
        of_single_runs=True),
    "throughput": Quantity(
        "images_per_s", Scale(_COUNT_UNITS, "5000 or 20k", True, format_count),
        "images per second that are wanted at least, at the target's batch (5000)", "images/s",
        f"images per second, {_LOWER_END}", of_latency=_images_per_s, lower=True),
    "macs": Quantity("macs", _COUNT, "budget of multiply-adds (20M)", "MACs", "count"),
    "params": Quantity("params", _COUNT, "budget of parameters (500k)", "params", "count"),
    "memory": Quantity("memory_bytes", _BYTES, "budget of live activations (1MB)", "memory", "bytes"),
    "size": Quantity("size_bytes", _BYTES, "budget of the model file (2MB)", "size", "bytes"),
}


def limitable(targets: Sequence[str]) -> Iterator[tuple[str, str, str | None]]:
    """Yields the name, quantity and target of each possible limit, in the order of `QUANTITIES`.

    On the first target the name is that of the quantity, on another one it is like `latency@litert`. The target is None
    for quantities that depend on none.
    """
    for name, quantity in QUANTITIES.items():
        if quantity.of_target:
            for index, target in enumerate(targets):
                yield f"{name}@{target}" if index else name, name, target
        else:
            yield name, name, None


def parse_quantity(name: str, text: str | float) -> float | int:
    """Returns a quantity of `QUANTITIES` in the unit it is stored in: milliseconds, a count or bytes.

    The arithmetic is decimal, so that `80us` is the float 0.08. As a limit on whole things, `1.1KiB` is 1126 bytes.

    >>> parse_quantity("latency", "80us"), parse_quantity("macs", "1.5G"), parse_quantity("memory", "512KiB")
    (0.08, 1500000000, 524288)

    Raises:
        InvalidInput: no number, a missing or unknown unit, or a value that is not positive and finite.
    """
    return QUANTITIES[name].scale.parse(name, str(text))  # a file may have a bare number as a number


def parse_duration_s(text: str, name: str = "time") -> float:
    """Returns a duration in seconds; raises as `parse_quantity` does.

    >>> parse_duration_s("30m"), parse_duration_s("1.5h")
    (1800.0, 5400.0)
    """
    return _DURATION.parse(name, text)


def parse_bytes(text: str, name: str) -> int:
    """Returns a number of bytes; raises as `parse_quantity` does.

    >>> parse_bytes("4GB", "memory")
    4000000000
    """
    return int(_BYTES.parse(name, text))


def parse_percentile(text: str) -> float | None:
    """Returns the percentile that a text such as `p30` names, or None if it is a quantity with a unit.

    >>> parse_percentile("p30"), parse_percentile("0.1ms")
    (30.0, None)
    """
    match = re.fullmatch(r"p(\d+(?:\.\d+)?)", text.strip(), re.ASCII)
    return float(match[1]) if match else None


def require_positive(name: str, value: float | int, text: str) -> None:
    """Raises `InvalidInput` for a limit that no network can keep, or none can break."""
    require(0 < value < math.inf, f"{name} must be positive and finite, but got {text}")


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
