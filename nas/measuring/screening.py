"""Screening: a predictor that learns from a search's timings spares it those of networks that are surely too slow.

A network is predicted first. Where even the lower end of the 95 % interval is over a budget it is not timed, and the
prediction stands for its latency; whatever may meet the budgets is timed, and the predictor learns from it at once. The
timings are kept in the run directory, so that a search that goes on knows what it knew.
"""

import math
from dataclasses import dataclass, field

from evaluators.latency import Latency, Precision, Source
from evaluators.prediction.predictor import FEWEST, Predictor, fit
from evaluators.prediction.rows import Row
from evaluators.prediction.timings import Timings
from evaluators.runtimes import Place, is_predicting, parse_target, runtime_of
from evaluators.runtimes.table import predicted_latency
from nas.measuring.calibration import require_known_members, time_members
from nas.measuring.meters import Gauge, Gauges, exceeds_at_best
from nas.problem.budgets import Budgets
from nas.run.config import PREDICTOR, TIMING, SearchConfig
from nas.run.monitor import Monitor
from search_spaces.architecture import Architecture
from search_spaces.errors import require
from search_spaces.search_space import SearchSpace

CALIBRATION = 60  # members that are timed at the start for `--latency-from predictor`
GROWTH = 1.25  # of the timings, until the predictor is fitted anew


@dataclass
class Learner:
    """The predictor that the timings of a target give: fitted anew from time to time, updated in between."""

    timings: Timings
    target: str
    _fitted: tuple[int, Predictor] | None = None  # and the number of rows that it was fitted to
    _current: tuple[int, Predictor] | None = None

    def predicted(self, architecture: Architecture) -> Latency | None:
        """Returns the predicted latency of a network; None where it was timed, or too few were."""
        rows = list(dict.fromkeys(self.timings.rows(self.target)))  # a search that was killed may have timed one twice
        if len(rows) < FEWEST or any(architecture == row.architecture for row in rows):
            return None
        return predicted_latency(self._predictor(rows), architecture, Source.SCREENED, rows[-1].reference_ms)

    def _predictor(self, rows: list[Row]) -> Predictor:
        """Returns the predictor that rows give; the same for the same rows, whatever was asked before."""
        if self._current is None or self._current[0] != len(rows):
            size = FEWEST
            while (larger := math.floor(size * GROWTH)) <= len(rows):
                size = larger
            if self._fitted is None or self._fitted[0] != size:
                self._fitted = size, fit(rows[:size], self.target)
            self._current = len(rows), self._fitted[1].updated(rows[size:])
        return self._current[1]


@dataclass(frozen=True)
class ScreeningGauge:
    """A gauge that times networks which may meet the budgets of its target, learns from them, and predicts the rest."""

    gauge: Gauge
    budgets: Budgets
    learner: Learner = field(repr=False)

    def size_bytes(self, architecture: Architecture) -> int:
        """Returns the size of its model file."""
        return self.gauge.size_bytes(architecture)

    def latency(self, architecture: Architecture, precision: Precision) -> Latency:
        """Returns the latency, measured as exactly as asked, or predicted if it is surely over a budget."""
        target = self.learner.target
        expected = self.learner.predicted(architecture) if target in self.budgets.timed else None
        if expected is not None and exceeds_at_best(self.budgets, target, expected):
            return expected
        found = self.gauge.latency(architecture, precision)
        self.learner.timings.add(target, Row(architecture, found.median_ms, found.quiet_reference_ms))
        return found


def screened_targets(config: SearchConfig) -> tuple[str, ...]:
    """Returns the targets on which candidates are screened: all if that is asked for, else the devices elsewhere."""
    if config.latency_from == (TIMING,):
        return ()
    places = {target: runtime_of(parse_target(target)).place for target in config.targets}
    return tuple(target for target, place in places.items()
                 if place is Place.ELSEWHERE or (config.latency_from and place is not Place.NOWHERE))


def screening(gauges: Gauges, config: SearchConfig, timings: Timings, budgets: Budgets) -> Gauges:
    """Returns gauges of which those of the screened targets learn, and screen for budgets."""
    screened = screened_targets(config)
    return {target: ScreeningGauge(gauge, budgets, Learner(timings, target)) if target in screened else gauge
            for target, gauge in gauges.items()}


def add_saved(config: SearchConfig, space: SearchSpace, timings: Timings) -> None:
    """Adds the timings behind the saved predictors of a configuration to those of a search.

    Raises:
        InvalidInput: a file that is no predictor, or one of another target or another space.
    """
    for name in config.latency_from:
        if name in (PREDICTOR, TIMING):
            continue
        predictor = Predictor.load(name)
        require(predictor.target in config.targets, f"a predictor must be of a target of the search, "
                f"{', '.join(config.targets)}, but '{name}' is of '{predictor.target}'")
        require_known_members(space, predictor, f"'{name}'")
        timings.add(predictor.target, *predictor.rows)


def require_fitting_tables(config: SearchConfig, space: SearchSpace, monitor: Monitor) -> None:
    """Reports the targets that are known by a table only; raises `InvalidInput` where it tells nothing of the space."""
    for target in config.targets:
        if is_predicting(runtime := runtime_of(parse_target(target))):
            predictor = runtime.predictor()
            require_known_members(space, predictor, f"'{parse_target(target).argument}'")
            monitor.say(f"latency on {target}: predicted from {len(predictor.rows)} rows, nothing is timed")


def calibrate(config: SearchConfig, space: SearchSpace, gauges: Gauges, timings: Timings, budgets: Budgets,
              monitor: Monitor) -> None:
    """Times members of the space first, if that is asked for, and says on which targets candidates are screened."""
    for target in screened_targets(config):
        if target not in budgets.timed:
            continue
        if PREDICTOR in config.latency_from and len(timings.rows(target)) < CALIBRATION:
            time_members(space, target, gauges[target], timings, CALIBRATION, config.seed, monitor)
        monitor.say(f"latency on {target}: candidates that a predictor sees over the budget are not timed; it learns "
                    f"from every timing, {len(timings.rows(target))} so far")
