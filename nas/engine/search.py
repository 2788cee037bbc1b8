"""A search: prepared, calibrated, run until it ends, its front and its noise measured."""

import contextlib
import dataclasses
import time
from pathlib import Path

from nas.engine.loop import Loop
from nas.engine.noise import measure_noise
from nas.engine.prepare import Prepared, prepare
from nas.engine.termination import Termination, seconds_spent
from nas.measuring.meters import Gauge, Gauges
from nas.measuring.remeasuring import retime_front, wanted_trials
from nas.measuring.screening import calibrate
from nas.run.config import SearchConfig
from nas.run.directory import RunDirectory
from nas.run.monitor import Monitor, Silent
from nas.run.server import StudyDatabase
from nas.run.sharing import BOTH, Role
from nas.run.trust import Trust


def run_search(config: SearchConfig, path: str | Path, monitor: Monitor | None = None,
               gauge: Gauge | Gauges | None = None, trust: Trust = False,
               elsewhere: StudyDatabase | None = None, complete: bool = True, role: Role = BOTH) -> RunDirectory:
    """Returns the run directory of a search that has come to its end, begun or gone on with.

    Other processes may work on it at the same time.

    Args:
        config: what to search for.
        path: the run directory; one that holds a search of the same configuration is resumed.
        monitor: what to report to.
        gauge: what measures size and latency, for several targets one for each; by default files, timed on them.
        trust: whether to run code that a run names which was not begun here, see `nas.run.trust`.
        elsewhere: the database for the trials, or as it is known from run.toml.
        complete: whether the search is this process's own: it tells others of it, and measures its noise in the end.
        role: the part of this process; a search is begun by one that has both.

    Raises:
        InvalidInput: wrong input, budgets that the space cannot meet, code that is not trusted, or a directory of
            another search; nothing is written.
        SearchFailed: candidate after candidate failed.
        MachineTrouble: locks, a disk, memory, a library or a process failed, which no candidate is to blame for.
    """
    began_s = time.monotonic()
    monitor = monitor or Silent()
    with contextlib.ExitStack() as stack:
        search = RunDirectory(Path(path), elsewhere).outlasting(monitor.say, lambda: stack.enter_context(
            prepare(config, Path(path), monitor, gauge, trust, elsewhere, role)))
        run = search.run
        stack.enter_context(run.storing())
        loop = run.outlasting(monitor.say, lambda: _loop(search, monitor, began_s, complete))
        while True:
            reason = loop.run(search.evaluators)
            wanted = run.outlasting(monitor.say, lambda: _timed_again(search, monitor))
            if loop.termination.trials == wanted:
                break
            loop = dataclasses.replace(loop, termination=dataclasses.replace(loop.termination, trials=wanted))
        if reason:
            monitor.say(reason)
        if complete:
            run.outlasting(monitor.say, lambda: _noise_measured(search, monitor))
    return run


def _loop(search: Prepared, monitor: Monitor, began_s: float, complete: bool) -> Loop:
    """Returns the trials of a search, before the next one; the time that was spent on those so far counts."""
    config, run = search.config, search.run
    if complete:
        run.describe()
    if search.role.times:
        calibrate(config, search.space, search.gauges, run.timings, run.budgets, monitor)
    termination = Termination(wanted_trials(config.trials, run.candidates()), config.time_s,
                              began_s - seconds_spent(run.told()), config.patience, config.objectives,
                              search.rungs.reference)
    return Loop(run.study(search.sampler), search.evaluation(monitor), termination, search.first)


def _timed_again(search: Prepared, monitor: Monitor) -> int | None:
    """Times the front again, and returns how many candidates are to be trained by that."""
    if search.role.times:
        with search.sharing.ending():  # to the next process there is nothing left to time
            retime_front(search.run, search.retime, monitor.say, monitor.progress)
    return wanted_trials(search.config.trials, search.run.candidates())


def _noise_measured(search: Prepared, monitor: Monitor) -> None:
    """Measures the noise of the scores of a search that is this process's own."""
    with search.sharing.ending():
        measure_noise(search.run, search.dataset, search.evaluators, search.recipe, monitor)
