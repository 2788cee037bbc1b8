"""The preparation of a search: all that it needs before its first trial, checked and made once."""

import contextlib
import dataclasses
import functools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluators.benchmarks.tables import Table, is_table, load_table
from evaluators.datasets import Dataset
from evaluators.evaluator import Evaluator
from evaluators.machine.files import require_writable
from evaluators.prediction.timings import Timings
from nas.engine.successive_halving import Rungs, default_rung
from nas.engine.termination import reference_point
from nas.engine.trial import Evaluation
from nas.engine.warm_start import starts
from nas.engine.workers import TrainingProcess
from nas.measuring.meters import Gauge, Gauges, file_gauges
from nas.measuring.remeasuring import Retime, decided, in_fresh_processes
from nas.measuring.screening import add_saved, require_fitting_tables, screening
from nas.measuring.survey import members, percentile_latency_ms, require_feasible
from nas.problem.budgets import Budgets, as_given
from nas.run.binding import bound_space
from nas.run.config import SearchConfig, load_evaluator
from nas.run.directory import Resolved, RunDirectory
from nas.run.monitor import Monitor
from nas.strategies import SAYS_WHO_GOES_ON, Problem
from nas.strategies.loading import require_able, strategy_of
from nas.strategies.reseeding import FreshSampler
from nas.trials.record import Start
from search_spaces.errors import InvalidInput, require
from search_spaces.search_space import SearchSpace

if TYPE_CHECKING:
    import optuna

PERCENTILE_SAMPLE = 60


@dataclass(frozen=True)
class Prepared:
    """A search before its first trial.

    Attributes:
        config: the configuration.
        run: the directory, which is held against other processes, with the resolved configuration.
        space: the choices, bound to the data.
        dataset: the data.
        table: the table of a benchmark, in the place of data and training.
        gauges: what measures costs on each target, without any screening.
        evaluators: the evaluator of each worker.
        first: what is evaluated before the strategy is asked.
        rungs: when candidates are compared.
        sampler: the strategy, as Optuna asks it.
        retime: what times a candidate anew.
    """

    config: SearchConfig
    run: RunDirectory
    space: SearchSpace
    dataset: Dataset
    table: Table | None
    gauges: Gauges
    evaluators: Sequence[Evaluator]
    first: Sequence[Start]
    rungs: Rungs
    sampler: "optuna.samplers.BaseSampler"
    retime: Retime

    def evaluation(self, monitor: Monitor) -> Evaluation:
        """Returns the evaluation of candidates, which screens them by the timings so far."""
        config, run = self.config, self.run
        recipe = dataclasses.replace(config.recipe, epochs=self.rungs.epochs[-1])
        return Evaluation(run, self.space, self.dataset, run.budgets,
                          screening(self.gauges, config, run.timings, run.budgets), self.evaluators[0], recipe,
                          self.rungs, config.objectives, monitor, self.table)


@contextlib.contextmanager
def prepare(config: SearchConfig, path: Path, monitor: Monitor, gauge: Gauge | Gauges | None = None
            ) -> Iterator[Prepared]:
    """Yields a search that was begun or is resumed in a directory; its processes and its lock end with the context.

    The arguments are those of `run_search`; raises `InvalidInput` as that does.
    """
    run = RunDirectory(path)
    require(run.path.is_dir() or not run.path.exists(), f"a run directory must be a directory, but got '{run.path}'")
    require_writable(run.path, "a run directory")
    table = _table(config)
    if table:
        gauge = table if table.latencies_ms else {}
    else:
        load_evaluator(config.evaluator)  # raises if there is none
    space, dataset = bound_space(config)
    budgets = config.budgets(config.latency_ms or config.latency_percentile)  # whatever a percentile will come to
    require_able(config.strategy, Problem(space, config.objectives, budgets, config.seed))
    first, rungs = starts(config, dataset), _rungs(config, table)
    if run.exists:
        _require_same(run, config, space, dataset)
    with contextlib.ExitStack() as stack:
        if gauge is None:
            gauges = stack.enter_context(file_gauges(config.targets, run.quiet_ms() if run.exists else None))
        else:
            gauges = gauge if isinstance(gauge, Mapping) else dict.fromkeys(config.targets, gauge)
        if run.exists:
            stack.enter_context(run.locked())
            run.write(config, run.resolved)
        else:
            _begin(run, config, space, dataset, gauges, monitor, stack)
        rungs = dataclasses.replace(rungs, objectives=config.objectives, reference=reference_point(
            config.objectives, run.budgets, run.resolved.classes))
        problem = Problem(space, config.objectives, run.budgets, epochs=rungs.epochs[-1])
        yield Prepared(
            config, run, space, dataset, table, gauges, _evaluators(config, table, stack), first, rungs,
            FreshSampler(strategy_of(config.strategy), config.seed, problem),
            in_fresh_processes(run) if gauge is None else functools.partial(decided, gauges))


def _begin(run: RunDirectory, config: SearchConfig, space: SearchSpace, dataset: Dataset, gauges: Gauges,
           monitor: Monitor, stack: contextlib.ExitStack) -> None:
    """Writes the directory of a search, once all that it needs was found; holds it until the stack ends."""
    before = Timings(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "timings.csv")
    require_fitting_tables(config, space, monitor)
    add_saved(config, space, before)
    resolved = _resolve(config, space, dataset, screening(gauges, config, before, Budgets()), monitor)
    stack.enter_context(run.locked())
    require(not run.exists, f"one process begins a search, but another has just begun one in '{run.path}'")
    run.begin_timings(before)
    run.write(config, resolved)


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


def _resolve(config: SearchConfig, space: SearchSpace, dataset: Dataset, gauges: Gauges, monitor: Monitor) -> Resolved:
    """Returns the resolved configuration; measures the percentile, and that the budgets can be met."""
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
