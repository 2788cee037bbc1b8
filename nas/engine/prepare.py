"""The preparation of a search: all that it needs before its first trial, checked and made once."""

import contextlib
import dataclasses
import functools
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.benchmarks.tables import is_table
from evaluators.datasets import Dataset
from evaluators.datasets.metrics import METRICS
from evaluators.evaluator import Context, Evaluator
from evaluators.machine.devices import require_devices
from evaluators.machine.files import require_writable
from evaluators.machine.ownership import temporary_directory
from evaluators.prediction.timings import Timings
from evaluators.recipe import Recipe
from nas.engine.coordinator import Coordinator
from nas.engine.history import Histories
from nas.engine.pool import TRAINING, evaluators, workers_of
from nas.engine.setting import Setting, require_latencies, require_own_processor, setting_of
from nas.engine.successive_halving import Rungs, default_rung
from nas.engine.termination import reference_point
from nas.engine.trial import Evaluation
from nas.engine.warm_start import epochs_of_starts, starts
from nas.engine.workers import Limits
from nas.measuring.filling import FILLING, FULL, LESS, SHARES, WIDTH, filled_members, made_by_hand
from nas.measuring.meters import Gauge, Gauges, RememberingGauge, file_gauges
from nas.measuring.remeasuring import Retime, decided, in_fresh_processes
from nas.measuring.screening import add_saved, require_fitting_tables, screening
from nas.measuring.survey import members, percentile_latency_ms, require_feasible
from nas.problem.budgets import Budgets, as_given
from nas.run.config import BY_HAND, FILLED, PLACES, SearchConfig
from nas.run.directory import Resolved, RunDirectory
from nas.run.monitor import Monitor
from nas.run.server import StudyDatabase
from nas.run.sharing import BOTH, Role, Sharing
from nas.run.trust import Trust, code_of, identity_of, remember, require_trusted
from nas.strategies import Problem, sampler_of
from nas.strategies.loading import require_able, strategy_of
from nas.trials.record import Start
from search_spaces.errors import InvalidInput, require
from search_spaces.numbers import count_of, rounded
from search_spaces.search_space import SearchSpace

if TYPE_CHECKING:
    import optuna

PERCENTILE_SAMPLE = 60
FILLING_TIME = 0.25  # of the time of a search, which members that fill its budgets are sought for at most


@dataclass(frozen=True)
class Prepared:
    """A search before its first trial.

    Attributes:
        config: the configuration.
        run: the directory, with the resolved configuration.
        sharing: the agreement of its processes.
        space: the choices, bound to the data.
        dataset: the data.
        gauges: what measures costs on each target, without any screening.
        recipe: the whole training of a candidate.
        evaluators: the evaluator of each worker.
        first: what is evaluated before the strategy is asked.
        rungs: when candidates are compared.
        sampler: the strategy, as Optuna asks it.
        retime: what times a candidate anew.
        role: the part of this process.
    """

    config: SearchConfig
    run: RunDirectory
    sharing: Sharing
    space: SearchSpace
    dataset: Dataset
    gauges: Gauges
    recipe: Recipe
    evaluators: Sequence[Evaluator]
    first: Sequence[Start]
    rungs: Rungs
    sampler: "optuna.samplers.BaseSampler"
    retime: Retime
    role: Role

    def evaluation(self, monitor: Monitor) -> Evaluation:
        """Returns the evaluation of candidates, which screens them by the timings so far."""
        config, run = self.config, self.run
        return Evaluation(run, self.space, self.dataset, run.budgets,
                          screening(self.gauges, config, run.timings, run.budgets), self.evaluators[0],
                          self.recipe, self.rungs, config.objectives, monitor, self.sharing,
                          Coordinator(self.sharing), self.role, Histories(config.objectives))


@contextlib.contextmanager
def prepare(config: SearchConfig, path: Path, monitor: Monitor, gauge: Gauge | Gauges | None = None,
            trust: Trust = False, elsewhere: StudyDatabase | None = None, role: Role = BOTH) -> Iterator[Prepared]:
    """Yields a search that is begun or gone on with in a directory; its processes and locks end with the context.

    The arguments are those of `run_search`; raises `InvalidInput` as that does.
    """
    run = RunDirectory(path, elsewhere)
    require(run.path.is_dir() or not run.path.exists(), f"a run directory must be a directory, but got '{run.path}'")
    require_writable(run.path, "a run directory")
    _require_own_study(run)
    run.require_sound()
    if run.exists:
        run.require_there(config, *PLACES)
        require_trusted(run.path, run.identity, code_of(config), trust)
    config = _as_before(run, config)
    setting = setting_of(config)
    config = _filled(config, setting.epochs, setting.stops_early)
    require_latencies(setting, config)
    if config.evaluator == TRAINING and setting.side_by_side and role.trains:
        require_devices()
    space, dataset = setting.space, setting.dataset
    gauge = gauge if setting.gauges is None else setting.gauges
    budgets = config.budgets(config.latency_ms or config.latency_percentile)  # whatever a percentile will come to
    require_able(config.strategy, Problem(space, config.objectives, budgets, config.seed))
    starts(config, dataset)  # raises where one of them is none
    rungs = _rungs(config, setting)
    if run.exists:
        _require_same(run, config, space, dataset)
        if gauge is None and role.times:
            require_own_processor(run)
    with contextlib.ExitStack() as stack:
        if gauge is None:
            timed = config.targets if role.times else ()
            gauges = stack.enter_context(file_gauges(timed, run.quiet_ms() if run.exists else None))
        else:
            gauges = gauge if isinstance(gauge, Mapping) else dict.fromkeys(config.targets, gauge)
        gauges = {target: RememberingGauge(own) for target, own in gauges.items()}
        if goes_on := run.exists:
            stack.enter_context(run.locked())
            run.begin_trials(config)
        else:
            _begin(run, config, setting, gauges, monitor, stack)
        sharing = stack.enter_context(run.shared(monitor.say))
        if goes_on:
            with Coordinator(sharing):  # others may be writing it too
                run.write(config, run.resolved)
        stack.callback(run.close)
        problem = Problem(space, config.objectives, run.budgets, config.seed, rungs.epochs[-1])
        strategy = strategy_of(config.strategy)(problem)
        rungs = dataclasses.replace(rungs, objectives=config.objectives, reference=reference_point(
            config.objectives, run.budgets, METRICS[config.metric].guessing(run.resolved.classes)),
            by_strategy=strategy.continues_stopped)
        recipe = dataclasses.replace(config.recipe, epochs=rungs.epochs[-1])
        context = Context(space, dataset, run.place("evaluator"), recipe)
        made = _evaluators(config, setting, context, stack) if role.trains else [setting.make(context)]
        yield Prepared(
            config, run, sharing, space, dataset, gauges, recipe, made, starts(config, dataset, run.resolved),
            rungs, sampler_of(strategy, problem),
            in_fresh_processes(run) if gauge is None else functools.partial(decided, gauges), role)


def _begin(run: RunDirectory, config: SearchConfig, setting: Setting, gauges: Gauges, monitor: Monitor,
           stack: contextlib.ExitStack) -> None:
    """Writes the directory of a search, once all that it needs was found; holds it until the stack ends."""
    before = Timings(stack.enter_context(temporary_directory()) / "timings.csv")
    require_fitting_tables(config, setting.space, monitor)
    add_saved(config, setting.space, before)
    resolved = _resolve(config, setting, screening(gauges, config, before, Budgets()), monitor)
    begun = stack.enter_context(run.locked(alone=True))
    require(not run.exists, f"one process begins a search, but another has just begun one in '{run.path}'")
    _require_own_study(run)
    run.require_sound()
    run.begin_timings(before)
    run.begin_trials(config)
    run.write(config, resolved)
    if code := code_of(config):
        remember(run.path, run.identity, code)
    begun()


def _require_own_study(run: RunDirectory) -> None:
    """Raises `InvalidInput` where a database is named that has the study of another search."""
    if run.elsewhere is None:
        return
    if not run.exists:
        run.elsewhere.require_new()
        return
    there = run.elsewhere.place
    require(run.study_name == run.elsewhere.name, f"a search goes on with its own study, but '{run.path}' has "
            f"{run.study_name or 'its trials in a file'}, not '{there}'")
    begun = tomllib.loads(run.elsewhere.kept_description()).get("environment")
    require(begun is None or identity_of("run", begun) == run.identity, "a search goes on with its own study, but "
            f"'{there}' is that of another one, which was begun at {(begun or {}).get('written')}")


def _evaluators(config: SearchConfig, setting: Setting, context: Context, stack: contextlib.ExitStack
                ) -> list[Evaluator]:
    """Returns the evaluator of each worker, which end with the stack."""
    if not setting.side_by_side:
        return [setting.make(context)] * workers_of(config)
    return stack.enter_context(evaluators(
        config.evaluator, context, workers_of(config), Limits(config.trial_time_s, config.trial_memory_bytes),
        config.targets[0], config.precision))


def _as_before(run: RunDirectory, config: SearchConfig) -> SearchConfig:
    """Returns a configuration that goes on as its run, or as the runs that it starts from, in what it leaves open."""
    if run.exists:
        return _filled(config, run.config.epochs, bool(run.config.early_stopping))  # earlier versions stopped none
    return _filled(config, epochs_of_starts(config), None) if config.epochs is None else config


def _filled(config: SearchConfig, epochs: int | None, early_stopping: bool | None) -> SearchConfig:
    """Returns a configuration with these where it leaves them open."""
    values: dict[str, Any] = {"epochs": epochs, "early_stopping": early_stopping}
    open_ones = {name: value for name, value in values.items() if value is not None and getattr(config, name) is None}
    return dataclasses.replace(config, **open_ones) if open_ones else config


def _rungs(config: SearchConfig, setting: Setting) -> Rungs:
    """Returns the rungs at which candidates are compared; only the end of their training without early stopping."""
    epochs = setting.epochs
    if not setting.stops_early:
        return Rungs((epochs,))
    require(epochs > 1, f"early stopping needs trainings of more than one epoch, but got {epochs}"
            + (f", since {setting.name} has no others" if epochs != config.epochs else ""))
    return Rungs((*(config.rungs or (default_rung(epochs),)), epochs), config.brackets)


def _resolve(config: SearchConfig, setting: Setting, gauges: Gauges, monitor: Monitor) -> Resolved:
    """Returns the resolved configuration; measures the percentile, and that the budgets can be met."""
    space, dataset = setting.space, setting.dataset
    monitor.say(f"data: {dataset.summary}")
    monitor.say(f"space: {setting.name}, {rounded(space.size, 2)} architectures")
    members(space, 1, config.seed)  # raises if it has none
    limits_ms = list(config.latencies_ms)

    def required() -> Budgets:
        budgets = config.budgets(as_given(limits_ms))
        if budgets.limits:
            require_feasible(space, budgets, gauges, config.seed, monitor.progress)
        return budgets

    budgets = required()  # a limit that no member meets is told before members are timed for a percentile
    for index, (target, percentile) in enumerate(zip(config.targets, config.percentiles, strict=True)):
        if percentile is not None:
            limits_ms[index] = percentile_latency_ms(space, gauges, target, percentile, config.seed, PERCENTILE_SAMPLE,
                                                     monitor.progress)
            monitor.say(f"latency budget on {target}: {limits_ms[index]:g} ms, percentile {percentile:g} of "
                        f"{PERCENTILE_SAMPLE} members of the space")
    if limits_ms != list(config.latencies_ms):
        budgets = required()
    if budgets.limits:
        monitor.say(f"budgets: {budgets}; a member of the space meets them")
    by_hand, filling = _filling(config, space, dataset, budgets, gauges, monitor)
    return Resolved(space.text, dataset.resolution, dataset.channels, len(dataset.classes), dataset.fingerprint,
                    dataset.split, as_given(limits_ms), by_hand, filling, _easy_accuracy(config, dataset))


def _easy_accuracy(config: SearchConfig, dataset: Dataset) -> float | None:
    """Returns the validation accuracy of logistic regression, None where nothing is compared with it."""
    if config.evaluator != TRAINING or is_table(config.data):
        return None
    from evaluators.training.logistic_regression import easy_accuracy

    return easy_accuracy(dataset, dataset.train, dataset.validation)


def _filling(config: SearchConfig, space: SearchSpace, dataset: Dataset, budgets: Budgets, gauges: Gauges,
             monitor: Monitor) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the texts of published networks and of members of the space that fill the budgets, as far as asked."""
    by_hand, filling, fronts = [], [], len(config.objectives) > 1
    if budgets.limits and BY_HAND in config.start:
        found = made_by_hand(dataset.resolution, dataset.channels, len(dataset.classes), budgets, gauges,
                             monitor.progress, SHARES if fronts else ())
        by_hand = [network.text for network, _ in found.values()]
        families = ", ".join(name for name in found if " " not in name)  # others are further forms of these
        forms = count_of(len(found), "form")
        full = max((used for _, used in found.values()), default=0.0)
        use = "fill the budget" if full >= FULL else f"use {full:.0%} of the budget"
        use += " or a share of it" if fronts else ""
        monitor.say(f"first: {families} in {forms}, made by hand to {use}" if found else "no published "
                    "network keeps the budget, however narrow: it may want smaller images (`--resolution`)")
    if budgets.limits and FILLED in config.start:
        filling = [network.text for network in filled_members(space, budgets, gauges, config.seed, FILLING,
                                                              monitor.progress, LESS if fronts else (),
                                                              FILLING_TIME * (config.time_s or math.inf))]
        members = count_of(len(filling), "member that fills", "members that fill")
        other = ("the space has no choice of width, such as `scale_w0.5/1`" if WIDTH not in space.parameters else
                 "another space (`--space`) may use it better"
                 + (", or a longer `--time` find some" if config.time_s else ""))
        monitor.say(f"then: {members} the budget{' or a share of it' if fronts else ''}" if filling else
                    f"no member of the space was found that fills the budget: {other}")
    if not budgets.limits and {BY_HAND, FILLED} & {*config.start}:
        monitor.say("there is no budget for published networks and members of the space to fill, which a search "
                    "begins with: `--latency p30` is one")
    return tuple(by_hand), tuple(filling)


def _require_same(run: RunDirectory, config: SearchConfig, space: SearchSpace, dataset: Dataset) -> None:
    before = run.resolved
    now = dataclasses.replace(before, space=space.text, resolution=dataset.resolution, channels=dataset.channels,
                              classes=len(dataset.classes), data_fingerprint=dataset.fingerprint,
                              data_split=dataset.split)
    alike = [name for name, of in (("space", "space"), ("data", "data_fingerprint"))
             if getattr(before, of) == getattr(now, of)]  # content tells, wherever it is
    differences = _filled(run.config, None, False).differences(config, alike) or before.differences(now)
    if differences:
        raise InvalidInput(f"a run directory is resumed with its own configuration, but '{run.path}' differs: "
                           + "; ".join(differences))
