"""The measurement protocol: how the latency of one run is told from the noise of the machine.

Machines slow down by a factor of up to two, for milliseconds or for seconds, when a neighbour uses the same physical
core, the same cache or the same memory; nothing inside the machine shows it. So a small fixed *reference* model runs
before and after every short burst of the model, and a burst counts only if the reference ran at its quiet level on
both sides and the process kept its core. The quiet level is learned and kept for as long as the process lives.

Below the slow spells, the clock of the processor moves by up to 5 % for minutes, and model and reference with it in
equal proportion: that is divided out, and noted. What remains is the time on a quiet machine at its best clock, in
milliseconds.

A measurement waits for quiet as long as it may. Where several in a row have seen none, as on a machine whose neighbours
are busy for minutes, waiting does not help: if it is not quiet then, the next ones end after their least duration, and
their intervals reach down to the quiet level all the same.

The interval has two parts: the spread of blocks of rounds within the measurement, and the drift between measurements
that no single one can see. Where other processes had the core in between, their traces in caches and predictors slow
even undisturbed rounds; then the interval reaches further down.
"""

import dataclasses
import gc
import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluators.latency import (
    DEFAULT_PRECISION,
    DRIFT,
    NORMAL_97_5,
    Latency,
    Precision,
    half_width,
    imprecise,
    quiet_value,
)

Run = Callable[[], object]
Clock = Callable[[], int]

TOLERANCE = 1.05  # a reference this many times above its quiet level is slow
STEADY = 1.02  # up to here, it is as fast as ever
LOST = 1.02  # time on the clock per time on a core, above which somebody else had the core
FASTEST_QUANTILE = 0.05
LEVEL_QUANTILE = 0.02  # of the reference's times in one measurement: its quiet level, if it was quiet at all
HISTORY_QUANTILE = 0.1  # of the levels of past measurements: up to nine tenths of them may have seen no quiet
HISTORY = 32  # measurements that are remembered
BURST_MS = 0.25  # what a burst of the model takes, so that it fits between two slow spells
REFERENCE_RUNS = 4
MINIMUM_ROUNDS = 30
GLANCE_S = 0.05  # after which a measurement may end because the limit is surely exceeded
CALIBRATION_S = 0.3
WARM_UP_S = 2.0  # at most
STOLEN = 0.2  # share of time in which others had the core, from which on it is worth a word
BUSY = 0.3  # cores that others keep busy meanwhile, from which on it is worth a word
TRACES = 0.05  # by how much of itself a time grows at most when others had the core just before
LOADED = 0.005  # by how much that grows at most where few rounds are quiet
NEAR = 1.1  # of the half-width that drift alone makes, where more rounds no longer help
PATIENCE = 3  # measurements in a row that saw no quiet, after which the next ones no longer wait for it
CHECK_GROWTH = 1.2  # a running measurement is summarised each time it has grown by a fifth


@dataclass
class Rounds:
    """The bursts of a measurement: one entry for each round."""

    bursts_ms: list[list[float]] = field(default_factory=list)
    values_ms: list[float] = field(default_factory=list)  # the median run of the burst
    references_ms: list[float] = field(default_factory=list)  # the slower of the references before and after
    lost: list[float] = field(default_factory=list)  # time on the clock per time on a core

    def append(self, burst_ms: list[float], reference_ms: float, lost: float) -> None:
        """Adds a round."""
        self.bursts_ms.append(burst_ms)
        self.values_ms.append(statistics.median(burst_ms))
        self.references_ms.append(reference_ms)
        self.lost.append(lost)


@dataclass
class QuietLevel:
    """The reference model's time on the quiet machine, as far as past measurements tell."""

    levels_ms: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))
    values_ms: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))

    def level_ms(self, references_ms: Sequence[float]) -> float:
        """Returns the quiet level, given the times of the reference in the running measurement."""
        own = float(np.quantile(references_ms, LEVEL_QUANTILE))
        return float(np.quantile([*self.levels_ms, own], HISTORY_QUANTILE, method="lower"))

    def drift(self) -> float:
        """Returns the relative standard deviation between measurements, told from those of the reference."""
        if len(self.values_ms) < 8:
            return DRIFT
        center = statistics.median(self.values_ms)
        deviation = statistics.median(abs(value - center) for value in self.values_ms)
        return max(DRIFT, 1.4826 * deviation / center)

    def learn(self, references_ms: Sequence[float]) -> None:
        """Remembers a finished measurement."""
        level = self.level_ms(references_ms)
        self.levels_ms.append(float(np.quantile(references_ms, LEVEL_QUANTILE)))
        quiet = np.asarray([value for value in references_ms if value <= TOLERANCE * level])
        if len(quiet) >= MINIMUM_ROUNDS:
            self.values_ms.append(float(quiet_value(quiet)))


@dataclass(frozen=True)
class Estimate:
    """The latency according to the rounds so far."""

    median_ms: float
    low_ms: float
    high_ms: float
    rounds: np.ndarray  # the indices of those that count
    load: float  # the share of rounds that are not quiet
    slowdown: float  # by how much the machine was slower than when it is quiet, in the rounds that count
    stolen: float  # the share of time in which other processes had the core
    drift: float  # the relative standard deviation between measurements, at this load
    clock: float = 1.0  # how many times slower the processor's clock was than at its best, which is divided out

    @property
    def half_width(self) -> float:
        """The half-width of the interval, relative to the median."""
        return (self.high_ms - self.low_ms) / 2 / self.median_ms

    @property
    def is_final(self) -> bool:
        """Tells whether the upper end is as near as the drift lets it come, so that more rounds no longer help."""
        return self.high_ms / self.median_ms - 1 <= NEAR * NORMAL_97_5 * self.drift


def estimate(rounds: Rounds, level_ms: float, drift: float, stolen: float = 0.0) -> Estimate:
    """Returns the quiet value of the quiet rounds with its interval; `stolen` is the share of time others had the core.

    Of a quiet round, what the reference was slower than when it is steady is taken out, which is the processor's clock.
    The interval reaches down to the fastest rounds at least. Where too few rounds are quiet, the quietest ones count,
    and it reaches down to what remains once the slowdown of the machine is taken out.
    """
    values, lost = np.asarray(rounds.values_ms), np.asarray(rounds.lost)
    slowdowns = np.asarray(rounds.references_ms) / level_ms
    quiet = (slowdowns <= TOLERANCE) & (lost <= LOST)
    counting, slowdown, raw = np.flatnonzero(quiet), 1.0, values
    if len(counting) >= MINIMUM_ROUNDS:
        values = values / np.maximum(slowdowns / STEADY, 1)
    else:
        slowdowns = np.maximum(slowdowns, 1) * np.maximum(lost, 1)
        counting = np.sort(np.argsort(slowdowns, kind="stable")[:MINIMUM_ROUNDS])
        median = float(np.median(slowdowns[counting]))
        slowdown = median if median > TOLERANCE else 1.0
    load = 1 - float(np.mean(quiet))
    drift += LOADED * load  # a loaded machine leaves traces in its quiet rounds too
    value, half = float(quiet_value(values[counting])), half_width(values[counting], drift)
    low = min(value - half, float(np.quantile(values[counting], FASTEST_QUANTILE))) - TRACES * stolen * value
    clock = float(quiet_value(raw[counting])) / value
    return Estimate(value, max(low / slowdown, 0.0), value + half, counting, load, slowdown, stolen, drift,
                    clock)


class Bench:
    """Times models against a reference model; one at a time, in the process and thread that made it."""

    def __init__(self, reference: Run, quiet_ms: float | None = None, core_ns: Clock | None = time.process_time_ns,
                 clock_ns: Clock = time.perf_counter_ns, machine_ns: Clock = lambda: 0) -> None:
        """Warms the reference up and learns its quiet level.

        Args:
            reference: one run of the reference model.
            quiet_ms: its quiet level as another process has found it. It counts if this process finds a slower one
                than the layout of its memory explains.
            core_ns: the time that this process has spent on cores; None where a run waits for another device.
            clock_ns: the time.
            machine_ns: the time that all processes have spent on all cores.
        """
        self._machine_ns = machine_ns
        self._reference, self._core_ns, self._clock_ns = reference, core_ns, clock_ns
        self._quiet = QuietLevel()
        self._loud = 0  # measurements in a row, up to the last one, that saw no quiet
        self._warm_up(reference)
        deadline = self._clock_ns() + CALIBRATION_S * 1e9
        references: list[float] = []
        while self._clock_ns() < deadline:
            references.append(self._reference_ms())
        self._quiet.learn(references)
        if quiet_ms is not None and self._quiet.levels_ms[0] > TOLERANCE * quiet_ms:
            self._quiet = QuietLevel(deque([quiet_ms], HISTORY))

    def measure(self, run: Run, precision: Precision = DEFAULT_PRECISION) -> Latency:
        """Returns the latency of a model, of which `run` is one run."""
        start = self._clock_ns()
        enabled = gc.isenabled()
        gc.disable()
        try:
            return self._measure(run, precision, start)
        finally:
            if enabled:
                gc.enable()

    def _measure(self, run: Run, precision: Precision, start: int) -> Latency:
        run_ms = self._warm_up(run)
        runs = min(max(round(BURST_MS / run_ms), 1), 50)
        rounds, references = Rounds(), [self._reference_ms()]
        begin_machine = self._machine_ns()
        begin, begin_core = self._clock_ns(), self._core()
        patient_s = precision.at_least_s if self._loud >= PATIENCE else math.inf
        check_s = min(precision.at_least_s, GLANCE_S if math.isfinite(precision.limit_ms) else math.inf)
        while True:
            burst, lost = self._burst(run, runs, primed=run_ms < 2 * BURST_MS)
            references.append(self._reference_ms())
            rounds.append(burst, max(references[-2:]), lost)
            elapsed_s, core_s = (self._clock_ns() - begin) / 1e9, (self._core() - begin_core) / 1e9
            if elapsed_s < min(check_s, precision.at_most_s):
                continue
            level = self._quiet.level_ms(references)
            stolen = max(1 - core_s / elapsed_s, 0.0) if self._core_ns is not None else 0.0
            found = estimate(rounds, level, self._quiet.drift(), stolen)
            exact = elapsed_s >= precision.at_least_s and (
                found.half_width <= precision.half_width or found.is_final)
            over = found.low_ms * found.clock > precision.limit_ms
            enough = len(found.rounds) >= MINIMUM_ROUNDS and (exact or over)
            given_up = elapsed_s >= patient_s and len(found.rounds) >= MINIMUM_ROUNDS
            if (given_up if found.slowdown > 1 else enough) or elapsed_s >= precision.at_most_s:
                break
            check_s = CHECK_GROWTH * elapsed_s
        self._quiet.learn(references)
        self._loud = self._loud + 1 if found.slowdown > 1 else 0
        others_s = (self._machine_ns() - begin_machine) / 1e9 - (core_s if self._core_ns is not None else 0.0)
        times = np.concatenate([rounds.bursts_ms[index] for index in found.rounds])
        asked = dataclasses.replace(precision, half_width=math.inf) if over else precision
        return Latency(
            found.median_ms, found.low_ms, found.high_ms, float(np.quantile(times, 0.95)), len(times),
            (self._clock_ns() - start) / 1e9, statistics.median(references), level,
            found.load, _flags(found, asked, elapsed_s, others_s), clock=found.clock,
        )

    def _burst(self, run: Run, runs: int, primed: bool = True) -> tuple[list[float], float]:
        """Returns the milliseconds of some runs, and the time on the clock per time on a core while they took it.

        A run before them brings code and weights back into the caches.
        """
        if primed:
            run()
        times = []
        core = self._core()
        start = before = self._clock_ns()
        for _ in range(runs):
            run()
            now = self._clock_ns()
            times.append((now - before) / 1e6)
            before = now
        if self._core_ns is None:
            return times, 1.0
        return times, (before - start) / max(self._core() - core, 1)

    def _core(self) -> int:
        return self._core_ns() if self._core_ns is not None else 0

    def _reference_ms(self) -> float:
        return statistics.median(self._burst(self._reference, REFERENCE_RUNS)[0])

    def _warm_up(self, run: Run) -> float:
        """Repeats a run until eight in a row bring no new best time; returns the best time in milliseconds."""
        best, since = math.inf, 0
        deadline = self._clock_ns() + WARM_UP_S * 1e9
        while since < 8 and self._clock_ns() < deadline:
            (value,), _ = self._burst(run, 1, primed=False)
            since = 0 if value < 0.98 * best else since + 1
            best = min(best, value)
        return best


def _flags(found: Estimate, precision: Precision, elapsed_s: float, others_s: float) -> tuple[str, ...]:
    flags = []
    if found.slowdown > 1:
        flags.append(f"the machine was not quiet: it was {found.slowdown:.2f} times slower than at its best")
    if found.stolen > STOLEN:
        flags.append(f"other processes had the core for {found.stolen:.0%} of the time")
    if others_s > BUSY * elapsed_s:
        flags.append(f"other processes kept {others_s / elapsed_s:.1f} cores busy meanwhile")
    return (*flags, *imprecise(found.half_width, precision, elapsed_s))
