"""A search: prepared, calibrated, run until it ends, its front and its noise measured."""

import dataclasses
import time
from pathlib import Path

from nas.engine.loop import Loop
from nas.engine.noise import measure_noise
from nas.engine.prepare import Prepared, prepare
from nas.engine.termination import Termination, seconds_spent
from nas.engine.worth import worth
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
    with prepare(config, Path(path), monitor, gauge, trust, elsewhere, role) as search, search.run.storing():
        run = search.run
        if complete:
            run.describe()
        if role.times:
            calibrate(config, search.space, search.gauges, run.timings, run.budgets, monitor)
        evaluation, termination = search.evaluation(monitor), _termination(search, began_s)
        while True:
            reason = Loop(run.study(search.sampler), evaluation, termination, search.first).run(search.evaluators)
            if role.times:
                with search.sharing.ending():  # to the next process there is nothing left to time
                    retime_front(run, search.retime, monitor.say, monitor.progress)
            if termination.trials == (wanted := wanted_trials(config.trials, run.candidates())):
                break
            termination = dataclasses.replace(termination, trials=wanted)
        if reason:
            monitor.say(reason)
        if complete:
            with search.sharing.ending():
                measure_noise(run, search.dataset, search.evaluators[0], search.recipe, monitor)
        for line in worth(run.candidates(), run.resolved.easy_accuracy):
            monitor.say(line)
    return run


def _termination(search: Prepared, began_s: float) -> Termination:
    """Returns the limits of a search; the time that earlier processes have spent on its trials counts."""
    config, run = search.config, search.run
    return Termination(wanted_trials(config.trials, run.candidates()), config.time_s,
                       began_s - seconds_spent(run.told()), config.patience, config.objectives,
                       search.rungs.reference)
