"""The latency of a network as a value: a median with its interval, how exact it is to be, how intervals are made."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import numpy as np

VALUE_QUANTILE = 0.25  # of the quiet rounds: what the reference misses can only slow the model down
DRIFT = 0.01  # relative standard deviation between measurements that is assumed at least
BLOCKS = 10
RESAMPLES = 200
NORMAL_97_5 = 1.96
STUDENT_97_5 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)  # for 1 to 9 degrees of freedom
SCREENED_FLAG = "not timed: predicted to be over its budget"  # by which such latencies were once told apart


@dataclass(frozen=True)
class Precision:
    """The precision that a measurement aims at, and the time that it may take.

    One process cannot tell a latency better than to 2 %: the layout of its memory stays what it is, and the speed of
    the machine drifts within minutes.
    """

    half_width: float = 0.03  # of the 95 % interval, relative to the median
    at_least_s: float = 0.3
    at_most_s: float = 3.0
    limit_ms: float = math.inf  # in raw time; what surely exceeds it need not be known any better


DEFAULT_PRECISION = Precision()


class Source(StrEnum):
    """The origin of a latency."""

    MEASURED = "measured"
    PREDICTED = "predicted"  # from networks that were timed on the target
    SCREENED = "screened"  # predicted to be over its budget, and for that not timed
    TABULATED = "tabulated"  # known exactly, from a benchmark


class MeasurementFailed(RuntimeError):
    """A model file could not be timed: one line that says why."""


class NoTurn(MeasurementFailed):
    """The turn to measure that has not come in time, since others train or measure."""


@dataclass(frozen=True)
class Latency:
    """The time of one run on a quiet machine, and how well it is known."""

    median_ms: float  # of the runs of a round, in the rounds that nothing disturbed
    low_ms: float  # ends of the 95 % interval of the median
    high_ms: float
    p95_ms: float  # of single runs
    runs: int  # that count
    duration_s: float  # of the whole measurement
    reference_ms: float  # the reference model, over the whole measurement; 0 where a command times
    quiet_reference_ms: float  # and when the machine is quiet
    load: float  # share of rounds that do not count, since the machine was not quiet
    flags: tuple[str, ...] = ()  # what makes the result doubtful, in words
    cores: str = ""  # that the measuring process was pinned to
    load_average: float = 0.0  # of the machine in the minute before, what was timed included
    clock: float = 1.0  # how many times slower than at its best the processor's was; divided out of median and interval
    source: Source = Source.MEASURED
    host: str = ""  # the machine that has timed it; empty where a device elsewhere was timed, or nothing
    processor: str = ""  # of that machine

    @property
    def is_predicted(self) -> bool:
        """Tells whether the latency was predicted, with an interval, instead of measured."""
        return self.source in (Source.PREDICTED, Source.SCREENED)

    @property
    def raw_ms(self) -> float:
        """The median as it was on the clock."""
        return self.median_ms * self.clock

    @property
    def raw_high_ms(self) -> float:
        """The upper end of the 95 % interval of `raw_ms`, which budgets are compared with."""
        return self.high_ms * self.clock

    def may_be(self, raw_ms: float) -> bool:
        """Tells whether a time on the clock lies within the interval."""
        return self.low_ms * self.clock <= raw_ms <= self.raw_high_ms

    @classmethod
    def exact(cls, median_ms: float) -> "Latency":
        """Returns a latency that is known without a measurement, as from a table."""
        return cls(median_ms, median_ms, median_ms, median_ms, 0, 0.0, 0.0, 0.0, 0.0, source=Source.TABULATED)

    @classmethod
    def predicted(cls, median_ms: float, interval_ms: tuple[float, float], source: Source = Source.PREDICTED,
                  flags: tuple[str, ...] = ()) -> "Latency":
        """Returns a latency that was not measured, with the 95 % interval of its prediction."""
        low_ms, high_ms = interval_ms
        return cls(median_ms, low_ms, high_ms, median_ms, 0, 0.0, 0.0, 0.0, 0.0, flags, source=source)

    @classmethod
    def stored(cls, values: Mapping[str, Any]) -> "Latency":
        """Returns a latency as a mapping or a JSON file has kept it; other values that stand beside it are ignored."""
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        flags = tuple(flag for flag in known["flags"] if flag != SCREENED_FLAG)
        return cls(**{**known, "flags": flags, "source": Source(known.get("source") or _source_of(known))})


def _source_of(values: Mapping[str, Any]) -> Source:
    """Returns the source of a latency that was stored without it."""
    if values["runs"]:
        return Source.MEASURED
    if SCREENED_FLAG in values["flags"]:
        return Source.SCREENED
    return Source.PREDICTED if values["low_ms"] < values["high_ms"] else Source.TABULATED


def quiet_value(values: np.ndarray) -> np.ndarray:
    """Returns the lower quartile along the last axis: the time of a round that nothing disturbed."""
    return np.quantile(values, VALUE_QUANTILE, axis=-1)


def half_width(values: np.ndarray, drift: float, statistic: Callable[[np.ndarray], np.ndarray] = quiet_value) -> float:
    """Returns half of the 95 % interval of the quiet value (or another statistic) of rounds, in their order of time.

    It bootstraps consecutive blocks of rounds (Künsch 1989), so that slow changes within the measurement count, and
    adds `drift`, the relative standard deviation between measurements.
    """
    if len(values) < 2:
        return math.inf
    blocks = min(BLOCKS, len(values))
    whole = values[len(values) % blocks:].reshape(blocks, -1)
    picks = np.random.default_rng(0).integers(blocks, size=(RESAMPLES, blocks))
    resampled = statistic(whole[picks].reshape(RESAMPLES, -1))
    within = STUDENT_97_5[blocks - 2] * float(np.std(resampled)) * math.sqrt(blocks / (blocks - 1))
    return math.hypot(within, NORMAL_97_5 * drift * float(statistic(values)))


def imprecise(half_width: float, precision: Precision, elapsed_s: float) -> tuple[str, ...]:
    """Returns the flag of a measurement that is less exact than was asked for, if it is."""
    if half_width <= precision.half_width:
        return ()
    return (f"precision not reached: {half_width:.2%} instead of {precision.half_width:.1%} after {elapsed_s:.1f} s",)
