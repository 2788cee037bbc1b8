"""Budgets: what a candidate may cost. Quantities with units are parsed here, and only here."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from evaluators.latency import Latency
from evaluators.runtimes import parse_target
from search_spaces.errors import InvalidInput, unknown

_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?)\s*([^\W\d_]*)", re.ASCII)
_MICRO = re.compile("[µμ]")  # the micro sign and the Greek letter

_LATENCY_UNITS = {"us": Decimal("0.001"), "ms": Decimal(1), "s": Decimal(1000)}
_DURATION_UNITS = {"s": Decimal(1), "min": Decimal(60), "m": Decimal(60), "h": Decimal(3600)}
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


def format_duration(duration_s: float, digits: int = 3) -> str:
    """Returns a duration in the largest unit in which it is at least 1, rounded to some significant digits.

    >>> format_duration(1800), format_duration(5400), format_duration(59)
    ('30 min', '1.5 h', '59 s')
    """
    unit = "h" if duration_s >= 3600 else "min" if duration_s >= 60 else "s"
    return f"{_plain(_rounded(duration_s / float(_DURATION_UNITS[unit]), digits))} {unit}"


@dataclass(frozen=True)
class Quantity:
    """What a budget may limit: how it is stored, written and read.

    Attributes:
        field: its field in `Budgets`, with the unit it is stored in.
        units: the units that a text may have, and how many stored units each is; the empty one allows a bare number.
        examples: valid texts, for messages.
        whole: whether it is stored as an integer.
        format: writes a value, rounded to some significant digits.
        of_target: whether each target has its own.
        lower: whether its limit is a lower one.
    """

    field: str
    units: Mapping[str, Decimal]
    examples: str
    whole: bool
    format: Callable[..., str]
    of_target: bool = False
    lower: bool = False


QUANTITIES = {
    "latency": Quantity("latency_ms", _LATENCY_UNITS, "0.1ms, 80us or 0.0001s", False, format_latency_ms, True),
    "latency_p95": Quantity("latency_p95_ms", _LATENCY_UNITS, "0.12ms or 90us", False, format_latency_ms, True),
    "throughput": Quantity("images_per_s", _COUNT_UNITS, "5000 or 20k", True, format_count, True, lower=True),
    "macs": Quantity("macs", _COUNT_UNITS, "20M, 1.5G or 300000", True, format_count),
    "params": Quantity("params", _COUNT_UNITS, "500k, 1M or 20000", True, format_count),
    "memory": Quantity("memory_bytes", _BYTE_UNITS, "512KiB, 64kB or 1MB", True, format_bytes),
    "size": Quantity("size_bytes", _BYTE_UNITS, "512KiB, 64kB or 1MB", True, format_bytes),
}
_DURATION = Quantity("time_s", _DURATION_UNITS, "30m, 1.5h or 90s", False, format_duration)
NONE = "none"  # in a text, no limit for a target

PerTarget = float | tuple[float | None, ...] | None  # a value for the only target, or one for each


def for_each_target(name: str, value: PerTarget | Sequence[float | None], targets: int) -> tuple[float | None, ...]:
    """Returns the value of each target.

    >>> for_each_target("latency_ms", 0.1, 1), for_each_target("latency_ms", None, 2)
    ((0.1,), (None, None))

    Raises:
        InvalidInput: neither as many values as targets nor None.
    """
    if value is None:
        return (None,) * targets
    values = tuple(value) if isinstance(value, Sequence) else (value,)
    if len(values) != targets:
        raise InvalidInput(f"`{name}` has a value for each target, or {NONE}, but got {len(values)} for {targets}")
    return values


def as_given(value: PerTarget | Sequence[float | None]) -> PerTarget:
    """Returns the one form of a value for each target: that of a single target alone, None where no target has one."""
    if not isinstance(value, Sequence):
        return value
    if all(one is None for one in value):
        return None
    return value[0] if len(value) == 1 else tuple(value)


def limitable(targets: Sequence[str]) -> Iterator[tuple[str, str, str | None]]:
    """Yields the name, quantity and target of all that may be limited, in the order of `QUANTITIES`.

    What the first target takes is named as the quantity is, that of another one like `latency@litert`. The target is
    None for quantities that depend on none.
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
    return _parsed(name, QUANTITIES[name], str(text))  # a file may have a bare number as a number


def parse_duration_s(text: str) -> float:
    """Returns a duration in seconds; raises as `parse_quantity` does.

    >>> parse_duration_s("30m"), parse_duration_s("1.5h")
    (1800.0, 5400.0)
    """
    return _parsed("time", _DURATION, text)


def _parsed(name: str, quantity: Quantity, text: str) -> float | int:
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

    Attributes:
        macs: multiply-adds.
        params: trainable parameters.
        memory_bytes: live activations at their peak.
        size_bytes: the size of the model file, of the largest if the targets have several.
        latencies: what was measured on each target, by its text, in the order of the search's targets.
    """

    macs: int | None = None
    params: int | None = None
    memory_bytes: int | None = None
    size_bytes: int | None = None
    latencies: Mapping[str, Latency] = field(default_factory=dict)

    @property
    def latency_ms(self) -> float | None:
        """The median on the first target, in milliseconds."""
        return next((latency.median_ms for latency in self.latencies.values()), None)

    @property
    def latency_ci_ms(self) -> tuple[float, float] | None:
        """The 95 % interval of the median on the first target, in milliseconds."""
        return next(((latency.low_ms, latency.high_ms) for latency in self.latencies.values()), None)

    def value(self, quantity: str, target: str | None = None) -> float | None:
        """Returns a quantity as it was measured, in the unit it is stored in; times are raw."""
        return self._found(quantity, target, lambda latency: latency.raw_ms)

    def judged(self, quantity: str, target: str | None = None) -> float | None:
        """Returns a quantity at the worse end of its 95 % interval, in raw time: a budget is met only if it surely is.

        The 95th percentile is known no better than the median, relative to itself.
        """
        return self._found(quantity, target, lambda latency: latency.raw_high_ms)

    def _found(self, quantity: str, target: str | None, time_ms: Callable[[Latency], float]) -> float | None:
        if target is None:
            value: float | None = getattr(self, QUANTITIES[quantity].field)
            return value
        latency = self.latencies.get(target)
        if latency is None:
            return None
        if quantity == "throughput":
            return 1000 * parse_target(target).options.batch / time_ms(latency)
        return time_ms(latency) * (latency.p95_ms / latency.raw_ms if quantity == "latency_p95" else 1)


@dataclass(frozen=True)
class Limit:
    """One limit of a budget.

    Attributes:
        quantity: its name in `QUANTITIES`.
        value: upper limit, in the unit that the quantity is stored in; a lower one for some quantities.
        target: what it is limited on, where that matters.
    """

    quantity: str
    value: float | int
    target: str | None = None

    def violation(self, costs: Costs) -> float:
        """Returns by how much the limit is exceeded, relative to it: `measured / limit - 1`, at most 0 if it is met.

        For a lower limit it is `limit / measured - 1`. A cost that is not known counts as 0.0.
        """
        measured = costs.judged(self.quantity, self.target)
        if measured is None:
            return 0.0
        return self.value / measured - 1 if QUANTITIES[self.quantity].lower else measured / self.value - 1

    def format(self, value: float, digits: int = 3) -> str:
        """Returns a value of what is limited as a text with its unit."""
        return QUANTITIES[self.quantity].format(value, digits)


@dataclass(frozen=True)
class Budgets:
    """Limits of costs; None sets no limit.

    All are upper limits but `images_per_s`, which is a lower one. What each target has its own of (latency, its 95th
    percentile, images per second at the target's batch) is one value, or one for each of several targets.

    >>> str(Budgets((0.1, 0.08), macs=20_000_000, targets=("onnxruntime", "litert")))
    'latency 0.1 ms on onnxruntime, latency 0.08 ms on litert, macs 20M'
    """

    latency_ms: PerTarget = None
    macs: int | None = None
    params: int | None = None
    memory_bytes: int | None = None
    size_bytes: int | None = None
    latency_p95_ms: PerTarget = None
    images_per_s: PerTarget = None
    targets: tuple[str, ...] = ("onnxruntime",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", tuple(self.targets))
        for quantity in QUANTITIES.values():
            if quantity.of_target:
                object.__setattr__(self, quantity.field, as_given(getattr(self, quantity.field)))
        for limit in self.limits.values():
            if QUANTITIES[limit.quantity].whole and not isinstance(limit.value, int):
                raise InvalidInput(f"{limit.quantity} must be a whole number, but got {limit.value!r}")
            _check(limit.quantity, limit.value, repr(limit.value))
            if limit.quantity == "latency_p95" and parse_target(limit.target or "").runtime == "table":
                raise InvalidInput(f"a table of timed networks tells medians, but got a latency_p95 on {limit.target}")

    @classmethod
    def parse(cls, targets: Sequence[str] = ("onnxruntime",), **texts: str | float | Sequence[str]) -> "Budgets":
        """Returns the budgets that texts such as `latency="0.09ms"` set; raises as `parse_quantity` does."""
        return cls(targets=tuple(targets), **parse_limits(texts))

    @property
    def limits(self) -> dict[str, Limit]:
        """The limits that are set, by the names of `limitable` and in their order."""
        each = {name: dict(zip(self.targets, for_each_target(quantity.field, getattr(self, quantity.field),
                                                             len(self.targets)), strict=True))
                for name, quantity in QUANTITIES.items() if quantity.of_target}
        found = {}
        for name, quantity, target in limitable(self.targets):
            value = getattr(self, QUANTITIES[quantity].field) if target is None else each[quantity][target]
            if value is not None:
                found[name] = Limit(quantity, value, target)
        return found

    @property
    def timed(self) -> tuple[str, ...]:
        """The targets on which time is limited."""
        limited = {limit.target for limit in self.limits.values()}
        return tuple(target for target in self.targets if target in limited)

    def violations(self, costs: Costs) -> dict[str, float]:
        """Returns the violation of every limit that is set, by its name: one constraint for each."""
        return {name: limit.violation(costs) for name, limit in self.limits.items()}

    def excess(self, costs: Costs) -> str:
        """Returns which limits are not met and by how much, in words."""
        found = []
        for limit in self.limits.values():
            violation, measured = limit.violation(costs), costs.value(limit.quantity, limit.target)
            if violation > 0 and measured is not None:
                side = "short of" if QUANTITIES[limit.quantity].lower else "over"
                found.append(f"{limit.quantity} {limit.format(measured)}{self._on(limit)} is {violation:.1%} {side} "
                             "its budget")
        return ", ".join(found)

    def __str__(self) -> str:
        texts = [f"{limit.quantity} {limit.format(limit.value, EXACT_DIGITS)}{self._on(limit)}"
                 for limit in self.limits.values()]
        return ", ".join(texts) or "no budget"

    def _on(self, limit: Limit) -> str:
        """Returns on which target a limit is, where that can be asked."""
        return f" on {limit.target}" if limit.target is not None and len(self.targets) > 1 else ""


def parse_limits(texts: Mapping[str, str | float | Sequence[str]]) -> dict[str, Any]:
    """Returns the fields of `Budgets` that texts set, by the names of `QUANTITIES`; a list has a text for each target.

    >>> parse_limits({"latency": ["0.1ms", "none"], "macs": "20M"})
    {'latency_ms': (0.1, None), 'macs': 20000000}
    """
    found: dict[str, Any] = {}
    for name, text in texts.items():
        if isinstance(text, Sequence) and not isinstance(text, str):
            values = tuple(None if one == NONE else parse_quantity(name, one) for one in text)
            found[QUANTITIES[name].field] = values[0] if len(values) == 1 else values
        else:
            found[QUANTITIES[name].field] = parse_quantity(name, text)
    return found


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
