"""The search: made ready, run until it ends, its front timed anew."""

import dataclasses
import time
from pathlib import Path

from nas.engine.loop import Loop
from nas.engine.prepare import Prepared, prepare
from nas.engine.termination import Ending, seconds_spent
from nas.measuring.meters import Gauge, Gauges
from nas.measuring.remeasuring import retime_front, wanted_trials
from nas.measuring.screening import calibrate
from nas.run.config import SearchConfig
from nas.run.directory import RunDirectory
from nas.run.monitor import Monitor, Silent


def run_search(config: SearchConfig, path: str | Path, monitor: Monitor | None = None,
               gauge: Gauge | Gauges | None = None) -> RunDirectory:
    """Returns the run directory of a search that has come to its end, begun or resumed.

    Args:
        config: what to search for.
        path: the run directory; one that holds a search of the same configuration is resumed.
        monitor: what to report to.
        gauge: what measures size and latency, for several targets one for each; by default files, timed on them.

    Raises:
        InvalidInput: wrong input, budgets that the space cannot meet, or a directory of another search; nothing is
            written.
        SearchFailed: candidate after candidate failed.
    """
    began_s = time.monotonic()
    monitor = monitor or Silent()
    with prepare(config, Path(path), monitor, gauge) as search:
        run = search.run
        calibrate(config, search.space, search.gauges, run.timings, run.budgets, monitor)
        evaluation, ending = search.evaluation(monitor), _ending(search, began_s)
        while True:
            reason = Loop(run.study(search.sampler), evaluation, ending, search.first).run(search.evaluators)
            retime_front(run, search.retime, monitor.say, monitor.progress)
            if ending.trials == (wanted := wanted_trials(config.trials, run.candidates())):
                break
            ending = dataclasses.replace(ending, trials=wanted)
        if reason:
            monitor.say(reason)
    return run


def _ending(search: Prepared, began_s: float) -> Ending:
    """Returns what ends a search; the time that earlier processes have spent on its trials is spent."""
    config, run = search.config, search.run
    return Ending(wanted_trials(config.trials, run.candidates()), config.time_s, began_s - seconds_spent(run.told()),
                  config.patience, config.objectives, search.rungs.reference)
