"""A predictor of latency, learned on a target: which members of a space are timed for it, and whether it is right."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluators.latency import MeasurementFailed
from evaluators.machine.files import STDOUT, require_writable
from evaluators.prediction.predictor import FEWEST, LEVEL, Predictor, chosen, fit
from evaluators.prediction.rows import Measured, Row
from evaluators.prediction.timings import Timings, read_rows
from nas.measuring.meters import CAREFUL, Gauge
from nas.measuring.survey import members
from nas.run.monitor import Monitor, Silent
from nas.run.trust import Code, commands_of, identity_of, remember, require_trusted
from search_spaces.architecture import Architecture
from search_spaces.errors import require
from search_spaces.numbers import count_of
from search_spaces.search_space import SearchSpace

NETWORKS = 150  # timed for a predictor
CHECKED = 30
POOL = 600  # random members of a space, of which those are timed that tell most about all
FEWEST_HELD_OUT = 5
FAILURES_IN_A_ROW = 5  # so many mean that something is wrong with more than a network


def timings_path(out: Path) -> Path:
    """Returns the path of the timings from which a predictor in the file `out` is learned."""
    require(out not in STDOUT, f"a predictor is written to a file, as its timings lie beside it, but got '{out}'")
    require(out.suffix != ".csv", f"a predictor is written beside the CSV file of its timings, but got '{out}' for it")
    return out.with_suffix(".csv")


def fit_to_members(space: SearchSpace, target: str, gauge: Gauge, out: Path, networks: int = NETWORKS, seed: int = 0,
                   monitor: Monitor | None = None) -> Predictor:
    """Returns the predictor of a target, learned from members of a space that are timed for it, and saved.

    Each timing is kept beside the predictor as soon as it is made: after an interruption, or for more networks, the
    others are timed only.

    Args:
        space: the space, bound to data.
        target: the canonical text of the target.
        gauge: what times.
        out: where the predictor goes.
        networks: how many members are timed.
        seed: of the members among which they are chosen.
        monitor: what to report to.

    Raises:
        InvalidInput: too few networks, or timings beside `out` that are of another space.
        MeasurementFailed: network after network could not be timed; those that were are kept.
    """
    monitor = monitor or Silent()
    require(networks >= FEWEST, f"`networks` must be at least {FEWEST}, but got {networks}")
    timings = Timings(timings_path(out))
    require_writable(out.parent, "the place of a predictor")
    rows = timings.rows(target)
    require_members(space, rows, f"timings in '{timings.path}'")
    if rows:
        monitor.say(f"{timings.path}: {count_of(len(rows), 'network was', 'networks were')} timed before")
    time_members(space, target, gauge, timings, networks, seed, monitor)
    return _kept(dataclasses.replace(fit(timings.rows(target), target), space=space.text), out)


def fit_to_tables(tables: Sequence[Path], out: Path, target: str = "", space: SearchSpace | None = None) -> Predictor:
    """Returns the predictor that tables of timed networks give, saved; see `evaluators.prediction.timings.read_rows`.

    Args:
        tables: CSV files; all their rows count.
        out: where the predictor goes.
        target: what the networks were timed on; rows that state another target do not count.
        space: the space that they are members of; by default they are from anywhere.

    Raises:
        InvalidInput: a table with something else in it, a network that is no member, or too few of them.
    """
    require_writable(out.parent, "the place of a predictor")
    require(all(not out.exists() or not path.exists() or not path.samefile(out) for path in tables),
            f"a predictor is written into another file than its table, but got '{out}' for both")
    rows = [row for path in tables for row in read_rows(path, target)]
    if space is not None:
        require_members(space, rows, "a table")
    return _kept(dataclasses.replace(fit(rows, target), space=space.text if space is not None else ""), out)


def _kept(predictor: Predictor, out: Path) -> Predictor:
    """Returns a predictor, saved, and the command that it was timed by is known."""
    predictor.save(out)
    remember(out, *_named_by(predictor))
    return predictor


def require_trusted_command(predictor: Predictor, path: Path, trust: bool) -> None:
    """Raises `InvalidInput` for a predictor whose target is a command that is neither known nor trusted."""
    require_trusted(path, *_named_by(predictor), trust)


def _named_by(predictor: Predictor) -> tuple[str, tuple[Code, ...]]:
    """Returns the identity of a predictor, and the command that times on its target."""
    rows = [[row.architecture.text, *row[1:]] for row in predictor.rows]
    return identity_of("predictor", predictor.target, rows), commands_of([predictor.target] if predictor.target else ())


def require_members(space: SearchSpace, rows: Sequence[Row], what: str) -> None:
    """Raises `InvalidInput` unless all timed networks are members of a space."""
    for row in rows:
        require(space.encode(row.architecture) is not None, f"{what} must be of members of the space, but "
                f"'{row.architecture}' is none")


def require_known_members(space: SearchSpace, predictor: Predictor, what: str) -> None:
    """Raises `InvalidInput` unless a predictor, named in the message by `what`, knows some members of a space."""
    count = sum(space.encode(row.architecture) is not None for row in predictor.rows)
    require(count >= FEWEST, f"a predictor must know at least {FEWEST} members of the space, but {what} has {count}")


def time_members(space: SearchSpace, target: str, gauge: Gauge, timings: Timings, networks: int, seed: int,
                 monitor: Monitor) -> None:
    """Times members of a space, the most telling ones first; none is timed twice."""
    pool = [space.decode(assignment) for assignment in members(space, POOL, seed)]
    before = {row.architecture for row in timings.rows(target)}
    failures = 0
    wanted = [pool[index] for index in chosen(pool, networks)]
    for index, architecture in enumerate(wanted):
        monitor.progress(f"timing members of the space on {target}", index, len(wanted))
        if architecture in before:
            continue
        try:
            latency = gauge.latency(architecture, CAREFUL)
            timings.add(target, Row(architecture, latency.median_ms, latency.quiet_reference_ms))
            failures = 0
        except MeasurementFailed as error:
            failures += 1
            if failures == FAILURES_IN_A_ROW:
                raise
            monitor.say(f"not timed: {error} ({architecture})")


@dataclass(frozen=True)
class Agreement:
    """The agreement of latencies with measured ones; shares lie in [0, 1]."""

    median_error: float
    within_a_tenth: float
    kendall_tau: float
    inside: float | None = None  # the share that the intervals of `LEVEL` hold, of a model that states some


@dataclass(frozen=True)
class Check:
    """The agreement of a predictor beside that of simpler predictions."""

    networks: int
    predictor: Agreement
    line_through_macs: Agreement  # fitted to the networks that the predictor was learned from
    slowdown: float  # how many times slower the machine is than when that was; both predictions are slowed as much


def check(predictor: Predictor, space: SearchSpace, gauge: Gauge, networks: int = CHECKED, seed: int = 0,
          monitor: Monitor | None = None) -> Check:
    """Returns the check of a predictor on random members of a space that it was not learned from, which are timed now.

    Raises:
        InvalidInput: it was learned from all members, or networks of another space.
        MeasurementFailed: a network cannot be timed.
    """
    monitor = monitor or Silent()
    require(networks >= 2, f"`networks` must be at least 2, but got {networks}")
    known = {row.architecture for row in predictor.rows}
    require_known_members(space, predictor, "that which is checked")
    drawn = [space.decode(assignment) for assignment in members(space, networks + len(known), seed + 1)]
    unseen = [architecture for architecture in drawn if architecture not in known][:networks]
    require(len(unseen) >= 2, f"a predictor is checked on members that it does not know, but it knows all {len(drawn)}")
    latencies = []
    for index, architecture in enumerate(unseen):
        monitor.progress("timing members that the predictor does not know", index, len(unseen))
        latencies.append(gauge.latency(architecture, CAREFUL))
    truth = np.array([latency.median_ms for latency in latencies])
    reference_ms = float(np.median([latency.quiet_reference_ms for latency in latencies]))
    slowdown = predictor.slowdown(reference_ms)
    predictions = predictor.predict(unseen, reference_ms)
    low, high = np.array([prediction.interval_ms(LEVEL) for prediction in predictions]).T
    return Check(len(unseen),
                 agreement(np.array([found.median_ms for found in predictions]), truth,
                           float(np.mean((low <= truth) & (truth <= high)))),
                 agreement(slowdown * line_through_macs(predictor.rows, unseen), truth), slowdown)


def held_out(rows: Sequence[Row]) -> Check | None:
    """Returns the check of a predictor of the first two thirds of timings on the last third; None for too few of them.

    The networks of the last third that were timed before are left out. The last timings are those of candidates that
    a search had come to think well of, for which its predictor was needed.
    """
    first, last = rows[:2 * len(rows) // 3], rows[2 * len(rows) // 3:]
    known = {row.architecture for row in first}
    unseen = [row for row in last if row.architecture not in known]
    if len(first) < FEWEST or len(unseen) < FEWEST_HELD_OUT:
        return None
    predictor = fit(first, intervals=False)
    slowdowns = np.array([predictor.slowdown(row.reference_ms) for row in unseen])
    truth, networks = np.array([row.latency_ms for row in unseen]), [row.architecture for row in unseen]
    predicted = np.array([one.median_ms for one in predictor.predict(networks)])
    return Check(len(unseen), agreement(slowdowns * predicted, truth),
                 agreement(slowdowns * line_through_macs(first, networks), truth), float(np.median(slowdowns)))


def agreement(predicted_ms: np.ndarray, measured_ms: np.ndarray, inside: float | None = None) -> Agreement:
    """Returns the agreement of predicted latencies `[N]` with measured ones `[N]`."""
    from scipy.stats import kendalltau

    errors = np.abs(predicted_ms / measured_ms - 1)
    return Agreement(float(np.median(errors)), float(np.mean(errors <= 0.1)),
                     float(kendalltau(predicted_ms, measured_ms).statistic), inside)


def line_through_macs(rows: Sequence[Measured], architectures: Sequence[Architecture]) -> np.ndarray:
    """Returns the ms `[N]` that a straight line through multiply-adds predicts, fitted to rows by relative errors."""
    def design(networks: Sequence[Architecture]) -> np.ndarray:
        return np.array([(1, architecture.macs) for architecture in networks], float)

    times_ms = np.array([row[1] for row in rows])
    known = design([row[0] for row in rows]) / times_ms[:, None]
    return design(architectures) @ np.linalg.lstsq(known, np.ones(len(rows)))[0]
