"""The costs of a candidate, each quantity as far as a check has reached it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evaluators.latency import Latency
from nas.problem.quantities import QUANTITIES, Clock


@dataclass(frozen=True)
class Costs:
    """The costs of a candidate; None where an earlier check has failed.

    Attributes:
        macs: multiply-adds.
        params: trainable parameters.
        memory_bytes: live activations at their peak.
        size_bytes: the size of the model file, of the largest if the targets have several.
        latencies: the measurement on each target, by its text, in the order of the search's targets.
    """

    macs: int | None = None
    params: int | None = None
    memory_bytes: int | None = None
    size_bytes: int | None = None
    latencies: Mapping[str, Latency] = field(default_factory=dict)

    @classmethod
    def stored(cls, values: Mapping[str, Any], latencies: Mapping[str, Latency]) -> "Costs":
        """Returns costs as a mapping or a JSON file has kept them; other values that stand beside them are ignored."""
        known = {each.name: values[each.name] for each in dataclasses.fields(cls) if each.name in values}
        return cls(**{**known, "latencies": latencies})

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
        """Returns a quantity at the worse end of its 95 % interval, in raw time: a budget must surely be met."""
        return self._found(quantity, target, lambda latency: latency.raw_high_ms)

    def _found(self, name: str, target: str | None, clock: Clock) -> float | None:
        quantity = QUANTITIES[name]
        if quantity.of_latency is None:
            value: float | None = getattr(self, quantity.field)
            return value
        latency = self.latencies.get(target or "")
        return None if latency is None else quantity.of_latency(latency, target or "", clock)
