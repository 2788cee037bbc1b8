"""Budgets: the limits of a candidate's costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from evaluators.runtimes import is_predicting, parse_target, runtime_of
from nas.problem.costs import Costs
from nas.problem.quantities import QUANTITIES, limitable, parse_quantity, require_positive
from search_spaces.errors import require
from search_spaces.numbers import make_plain

EXACT_DIGITS = 15  # the significant digits that a float always keeps
NONE = "none"  # in a text, no limit for a target

PerTarget = float | tuple[float | None, ...] | None  # a value for the only target, or one for each
Declared = TypeVar("Declared", bound=type)


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
    require(len(values) == targets,
            f"`{name}` has a value for each target, or {NONE}, but got {len(values)} for {targets}")
    return values


def as_given(value: PerTarget | Sequence[float | None]) -> PerTarget:
    """Returns the one form of a value for each target: that of a single target alone, None where no target has one."""
    if not isinstance(value, Sequence):
        return value
    if all(one is None for one in value):
        return None
    return value[0] if len(value) == 1 else tuple(value)


def with_limits(declared: Declared) -> Declared:
    """Adds a field for each undeclared limit to a class, before it becomes a dataclass."""
    for quantity in QUANTITIES.values():
        if quantity.field not in declared.__annotations__:
            declared.__annotations__[quantity.field] = PerTarget
            setattr(declared, quantity.field, None)
    return declared


@dataclass(frozen=True)
class Limit:
    """One limit of a budget.

    Attributes:
        quantity: its name in `QUANTITIES`.
        value: upper limit, in the unit that the quantity is stored in; a lower one for some quantities.
        target: the target on which it is limited, for quantities of a target.
    """

    quantity: str
    value: float | int
    target: str | None = None

    def __post_init__(self) -> None:
        quantity = QUANTITIES[self.quantity]
        require(isinstance(self.value, int) or not quantity.scale.whole,
                f"{self.quantity} must be a whole number, but got {self.value!r}")
        require_positive(self.quantity, self.value, repr(self.value))
        require(not quantity.of_single_runs or not is_predicting(runtime_of(parse_target(self.target or ""))),
                f"a table of timed networks tells medians, but got a {self.quantity} on {self.target}")

    def violation(self, costs: Costs) -> float:
        """Returns the excess over the limit, relative to it: `measured / limit - 1`, at most 0 if it is met.

        For a lower limit it is `limit / measured - 1`. A cost that is not known counts as 0.0.
        """
        measured = costs.judged(self.quantity, self.target)
        if measured is None:
            return 0.0
        return self.value / measured - 1 if QUANTITIES[self.quantity].lower else measured / self.value - 1

    def format(self, value: float, digits: int = 3) -> str:
        """Returns a value of the limited quantity as a text with its unit."""
        return QUANTITIES[self.quantity].scale.format(value, digits)


@dataclass(frozen=True)
@with_limits
class Budgets:
    """Limits of costs; None sets no limit.

    All are upper limits but `images_per_s`, which is a lower one. A quantity of a target (latency, its 95th percentile,
    images per second at the target's batch) has one value, or one for each of several targets. A quantity of
    `QUANTITIES` that is not declared here is a field nevertheless.

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
        make_plain(self)
        object.__setattr__(self, "targets", tuple(self.targets))
        for quantity in QUANTITIES.values():
            if quantity.of_target:
                object.__setattr__(self, quantity.field, as_given(getattr(self, quantity.field)))
        _ = self.limits  # raises if there is a wrong one

    @classmethod
    def parse(cls, targets: Sequence[str] = ("onnxruntime",), **texts: str | float | Sequence[str]) -> "Budgets":
        """Returns the budgets that texts such as `latency="0.09ms"` set; raises as `parse_quantity` does."""
        return cls(targets=tuple(targets), **parse_limits(texts))

    @property
    def limits(self) -> dict[str, Limit]:
        """The limits that are set, by the names of `limitable` and in their order."""
        found = {}
        for name, quantity, target in limitable(self.targets):
            field = QUANTITIES[quantity].field
            value = getattr(self, field)
            if target is not None:
                value = for_each_target(field, value, len(self.targets))[self.targets.index(target)]
            if value is not None:
                found[name] = Limit(quantity, value, target)
        return found

    @property
    def timed(self) -> tuple[str, ...]:
        """The targets on which something is limited."""
        limited = {limit.target for limit in self.limits.values()}
        return tuple(target for target in self.targets if target in limited)

    @property
    def measured(self) -> tuple[str, ...]:
        """The targets whose files are measured: those on which something is limited, all where the size of files is."""
        return self.timed if self.size_bytes is None else self.targets

    def violations(self, costs: Costs) -> dict[str, float]:
        """Returns the violation of every limit that is set, by its name: one constraint for each."""
        return {name: limit.violation(costs) for name, limit in self.limits.items()}

    def excess(self, costs: Costs) -> str:
        """Returns the limits that are not met and by how much, in words."""
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
        """Returns the words for a limit's target, none where there is only one."""
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
