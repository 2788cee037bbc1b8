"""The search: made ready, run until it ends, its front timed anew."""

import contextlib
import dataclasses
import functools
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from evaluators.benchmarks.tables import Table, is_table, load_table
from evaluators.datasets import Dataset, load_dataset
from evaluators.evaluator import Evaluator
from evaluators.machine.files import require_writable
from evaluators.prediction.timings import Timings
from nas.engine.loop import Loop
from nas.engine.successive_halving import Rungs, default_rung
from nas.engine.termination import Ending, reference_point, seconds_spent
from nas.engine.trial import Evaluation
from nas.engine.warm_start import starts
from nas.engine.workers import TrainingProcess
from nas.measuring.meters import Gauge, Gauges, file_gauges
from nas.measuring.remeasuring import decided, in_fresh_processes, retime_front, wanted_trials
from nas.measuring.screening import add_saved, calibrate, require_fitting_tables, screening
from nas.measuring.survey import members, percentile_latency_ms, require_feasible
from nas.problem.budgets import Budgets, as_given
from nas.run.config import SearchConfig, load_evaluator
from nas.run.directory import Resolved, RunDirectory
from nas.run.monitor import Monitor, Silent
from nas.strategies import SAYS_WHO_GOES_ON, Problem
from nas.strategies.loading import require_able, strategy_of
from nas.strategies.reseeding import FreshSampler
from search_spaces import load_space
from search_spaces.errors import InvalidInput, require
from search_spaces.search_space import SearchSpace

PERCENTILE_SAMPLE = 60


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
    run = RunDirectory(Path(path))
    require(run.path.is_dir() or not run.path.exists(), f"a run directory must be a directory, but got '{run.path}'")
    require_writable(run.path, "a run directory")
    table = _table(config)
    if table:
        gauge = table if table.latencies_ms else {}
    if not table:
        load_evaluator(config.evaluator)  # raises if there is none
    space, dataset = bound_space(config)
    budgets = config.budgets(config.latency_ms or config.latency_percentile)  # whatever a percentile will come to
    require_able(config.strategy, Problem(space, config.objectives, budgets, config.seed))
    first = starts(config, dataset)
    rungs = _rungs(config, table)
    if run.exists:
        _require_same(run, config, space, dataset)
    with contextlib.ExitStack() as stack:
        if gauge is None:
            timing = stack.enter_context(file_gauges(config.targets, run.quiet_ms() if run.exists else None))
        else:
            timing = gauge if isinstance(gauge, Mapping) else dict.fromkeys(config.targets, gauge)
        if not run.exists:
            before = Timings(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "timings.csv")
            require_fitting_tables(config, space, monitor)
            add_saved(config, space, before)
            resolved = _resolve(config, space, dataset, screening(timing, config, before, Budgets()), monitor)
            stack.enter_context(run.locked())
            require(not run.exists, f"one process begins a search, but another has just begun one in '{run.path}'")
            run.begin_timings(before)
            run.write(config, resolved)
        else:
            stack.enter_context(run.locked())
            run.write(config, run.resolved)
        rungs = dataclasses.replace(rungs, objectives=config.objectives, reference=reference_point(
            config.objectives, run.budgets, run.resolved.classes))
        calibrate(config, space, timing, run.timings, run.budgets, monitor)
        gauges = screening(timing, config, run.timings, run.budgets)
        recipe = dataclasses.replace(config.recipe, epochs=rungs.epochs[-1])
        evaluators = _evaluators(config, table, stack)
        evaluation = Evaluation(run, space, dataset, run.budgets, gauges, evaluators[0], recipe, rungs,
                                config.objectives, monitor, table)
        sampler = FreshSampler(strategy_of(config.strategy), config.seed,
                               Problem(space, config.objectives, run.budgets, epochs=rungs.epochs[-1]))
        retime = in_fresh_processes(run) if gauge is None else functools.partial(decided, timing)
        ending = _ending(config, run, began_s)
        while True:
            reason = Loop(run.study(sampler), evaluation, ending, first).run(evaluators)
            retime_front(run, retime, monitor.say, monitor.progress)
            if ending.trials == (wanted := wanted_trials(config.trials, run.candidates())):
                break
            ending = dataclasses.replace(ending, trials=wanted)
        if reason:
            monitor.say(reason)
    return run


def _ending(config: SearchConfig, run: RunDirectory, began_s: float) -> Ending:
    """Returns what ends a search; the time that earlier processes have spent on its trials is spent."""
    spent_s = seconds_spent(run.told())
    return Ending(wanted_trials(config.trials, run.candidates()), config.time_s, began_s - spent_s, config.patience,
                  config.objectives, reference_point(config.objectives, run.budgets, run.resolved.classes))


def _evaluators(config: SearchConfig, table: Table | None, stack: contextlib.ExitStack) -> list[Evaluator]:
    """Returns the evaluator of each worker: with several, in processes that end with the stack."""
    if table or config.workers == 1:
        return [table or load_evaluator(config.evaluator)] * config.workers
    return [stack.enter_context(TrainingProcess(config.evaluator, worker, config.workers))
            for worker in range(config.workers)]


def _rungs(config: SearchConfig, table: Table | None) -> Rungs:
    """Returns when candidates are compared; only at the end of their training without early stopping."""
    epochs = table.epochs if table else config.epochs
    if not config.early_stopping:
        return Rungs((epochs,))
    require(epochs > 1, f"early stopping needs trainings of more than one epoch, but got {epochs}"
            + (f", since {table.space.text} has no others" if table else ""))
    return Rungs((*(config.rungs or (default_rung(epochs),)), epochs), config.brackets,
                 by_strategy=config.strategy in SAYS_WHO_GOES_ON)


def _table(config: SearchConfig) -> Table | None:
    """Returns the table that is searched, if it is one; raises `InvalidInput` if a latency is asked that it lacks."""
    if not is_table(config.data):
        return None
    table = load_table(config.data)
    timed = config.budgets(config.latency_ms).timed or config.latency_percentile is not None
    require(bool(table.latencies_ms) or not (timed or "latency" in config.objectives), "a latency must be in the "
            f"table, but {table.space.text} has none; `--objectives accuracy,macs` asks for none")
    return table


def bound_space(config: SearchConfig) -> tuple[SearchSpace, Dataset]:
    """Returns the space of a configuration, bound to its data, and the data; those of the table, if it names one."""
    if is_table(config.data):
        table = load_table(config.data)
        return table.space, table.dataset
    space = load_space(config.space)
    stated = dict(space.input).get("resolution")
    require(stated is None or config.resolution is None,
            f"`resolution` is for spaces that leave it open, but '{config.space}' states {stated}")
    dataset = load_dataset(config.data, seed=config.seed, resolution=max(stated) if stated else config.resolution)
    return space.bind(dataset.resolution, dataset.channels, len(dataset.classes)), dataset


def _resolve(config: SearchConfig, space: SearchSpace, dataset: Dataset, gauges: Gauges, monitor: Monitor) -> Resolved:
    """Returns what the configuration comes to; measures the percentile, and that the budgets can be met."""
    monitor.say(f"data: {dataset.name}, {len(dataset.classes)} classes, {dataset.resolution} pixels; {dataset.split}")
    name = space.text if is_table(config.data) else config.space
    monitor.say(f"space: {name}, {float(space.size):.2g} architectures")
    members(space, 1, config.seed)  # raises if it has none
    limits_ms = list(config.latencies_ms)
    for index, (target, percentile) in enumerate(zip(config.targets, config.percentiles, strict=True)):
        if percentile is not None:
            limits_ms[index] = percentile_latency_ms(space, gauges, target, percentile, config.seed, PERCENTILE_SAMPLE,
                                                     monitor.progress)
            monitor.say(f"latency budget on {target}: {limits_ms[index]:g} ms, percentile {percentile:g} of "
                        f"{PERCENTILE_SAMPLE} members of the space")
    latency_ms = as_given(limits_ms)
    budgets = config.budgets(latency_ms)
    if budgets.limits:
        require_feasible(space, budgets, gauges, config.seed, monitor.progress)
        monitor.say(f"budgets: {budgets}; a member of the space meets them")
    return Resolved(space.text, dataset.resolution, dataset.channels, len(dataset.classes), dataset.fingerprint,
                    dataset.split, latency_ms)


def _require_same(run: RunDirectory, config: SearchConfig, space: SearchSpace, dataset: Dataset) -> None:
    before = run.resolved
    now = dataclasses.replace(before, space=space.text, resolution=dataset.resolution, channels=dataset.channels,
                              classes=len(dataset.classes), data_fingerprint=dataset.fingerprint,
                              data_split=dataset.split)
    differences = run.config.differences(config) or before.differences(now)
    if differences:
        raise InvalidInput(f"a run directory is resumed with its own configuration, but '{run.path}' differs: "
                           + "; ".join(differences))
