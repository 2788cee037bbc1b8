"""The search: what an Optuna study is asked, and what it is told.

    suggest -> architecture -> seen before? reuse -> counts -> size -> latency -> only then training
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from evaluators.checkpoint import save_network
from evaluators.datasets import Dataset, load_dataset
from evaluators.evaluator import Evaluator, Fidelity, Score
from evaluators.files import require_writable
from evaluators.tabular import Table, is_table, load_table
from nas.budget import Budgets, Costs, as_given, is_feasible
from nas.candidate import Candidate, front, winner
from nas.config import SearchConfig, load_evaluator
from nas.costs import Gauge, Gauges, costs_within, counted, file_gauges
from nas.ending import Ending, Tally, reference_point, seconds_spent, tally
from nas.retiming import decided, in_fresh_processes, retime_front, wanted_trials
from nas.run import CANDIDATE, Resolved, RunDirectory
from nas.strategies import STRATEGIES, Problem
from nas.strategies.fresh import LOST, OUTSIDE, FreshSampler
from nas.survey import members, percentile_latency_ms, require_feasible
from search_spaces import load_space
from search_spaces.architecture import SEPARATOR, Architecture, identify
from search_spaces.errors import InvalidInput
from search_spaces.layers import require
from search_spaces.space import SearchSpace
from search_spaces.zoo import load_network

if TYPE_CHECKING:
    import optuna

FAILURES_IN_A_ROW = 5  # so many mean that something is wrong with more than a candidate
PERCENTILE_SAMPLE = 60
IMPOSSIBLE = "impossible"  # the attribute of a trial whose choices make no network: why
START = "start"  # the attribute of a trial that was asked for: the text of its architecture


class CandidateFailed(RuntimeError):
    """A candidate that crashed or diverged; the search goes on."""


class SearchFailed(RuntimeError):
    """A search that cannot go on; what was found is kept."""


class Monitor(Protocol):
    """What a search reports to while it runs."""

    def say(self, text: str) -> None:
        """Takes a line that is worth keeping."""
        ...

    def progress(self, what: str, done: int, total: int) -> None:
        """Takes how far a preparation has come."""
        ...

    def phase(self, trial: int, what: str) -> None:
        """Takes what is being done to a trial."""
        ...

    def told(self, tally: Tally, last: Candidate | None, best: Candidate | None) -> None:
        """Takes the state of the search after a trial."""
        ...


class Silent:
    """A monitor that shows nothing."""

    def say(self, text: str) -> None:
        """Shows nothing."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Shows nothing."""

    def phase(self, trial: int, what: str) -> None:
        """Shows nothing."""

    def told(self, tally: Tally, last: Candidate | None, best: Candidate | None) -> None:
        """Shows nothing."""


@dataclass(frozen=True)
class Evaluation:
    """All that the objective needs, besides the trial."""

    run: RunDirectory
    space: SearchSpace
    dataset: Dataset
    budgets: Budgets
    gauges: Gauges
    evaluate: Evaluator
    fidelity: Fidelity
    objectives: tuple[str, ...]
    monitor: Monitor
    table: Table | None = None


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
    evaluate = table or load_evaluator(config.evaluator)
    space, dataset = bound_space(config)
    first = starts(config, dataset)
    if run.exists:
        _require_same(run, config, space, dataset)
    with contextlib.ExitStack() as stack:
        if gauge is None:
            gauges = stack.enter_context(file_gauges(config.targets, run.quiet_ms() if run.exists else None))
        else:
            gauges = gauge if isinstance(gauge, Mapping) else dict.fromkeys(config.targets, gauge)
        if not run.exists:
            resolved = _resolve(config, space, dataset, gauges, monitor)
            stack.enter_context(run.locked())
            require(not run.exists, f"one process begins a search, but another has just begun one in '{run.path}'")
            run.write(config, resolved)
        else:
            stack.enter_context(run.locked())
            run.write(config, run.resolved)
        fidelity = Fidelity(config.epochs, config.seed, config.batch, config.augmentation)
        evaluation = Evaluation(run, space, dataset, run.budgets, gauges, evaluate, fidelity, config.objectives,
                                monitor, table)
        retime = in_fresh_processes(run) if gauge is None else functools.partial(decided, gauges)
        ending = _ending(config, run, began_s)
        while True:
            reason = _optimize(evaluation, config, ending, first)
            retime_front(run, retime, monitor.say, monitor.progress)
            if ending.trials == (wanted := wanted_trials(config.trials, run.candidates())):
                break
            ending = dataclasses.replace(ending, trials=wanted)
        if reason:
            monitor.say(reason)
    return run


def _ending(config: SearchConfig, run: RunDirectory, began_s: float) -> Ending:
    """Returns what ends a search; the time that earlier processes have spent on its trials is spent."""
    spent_s = seconds_spent(run.study().get_trials(deepcopy=False))
    return Ending(wanted_trials(config.trials, run.candidates()), config.time_s, began_s - spent_s, config.patience,
                  config.objectives, reference_point(config.objectives, run.budgets, run.resolved.classes))


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


def starts(config: SearchConfig, dataset: Dataset) -> list[Architecture]:
    """Returns the architectures to evaluate first: published networks put to the data, and texts as they are.

    Raises:
        InvalidInput: unknown name, wrong text, or an architecture that does not fit the data.
    """
    found = []
    for name in config.start:
        fitted = {"resolution": dataset.resolution, "channels": dataset.channels, "classes": len(dataset.classes)}
        architecture = Architecture.parse(name) if SEPARATOR in name else load_network(name, **fitted)
        require((architecture.input.channels, architecture.classes) == (dataset.channels, len(dataset.classes)),
                f"a start must take {dataset.channels} channels and tell {len(dataset.classes)} classes apart, but got "
                f"{architecture.input.channels} and {architecture.classes} in '{name}'")
        found.append(architecture)
    return found


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


def _optimize(evaluation: Evaluation, config: SearchConfig, ending: Ending, first: list[Architecture]) -> str:
    """Runs trials until the search ends; returns why, empty if it did as it was asked to."""
    problem = Problem(evaluation.space, evaluation.objectives, evaluation.budgets)
    sampler = FreshSampler(STRATEGIES[config.strategy], config.seed, problem)
    study = evaluation.run.study(sampler)
    _fail_lost_trials(study)
    _enqueue_next(study, evaluation.space, first)
    reason = ending.reached(tally(study.get_trials(deepcopy=False)), evaluation.run.candidates(study))

    def after(study: "optuna.Study", trial: "optuna.trial.FrozenTrial") -> None:
        nonlocal reason
        trials = study.get_trials(deepcopy=False)
        counts, candidates = tally(trials), evaluation.run.candidates(study)
        last = next((c for c in candidates if c.trial == trial.number), None)
        evaluation.monitor.told(counts, last, winner(candidates))
        evaluation.run.keep_weights(identify(member.architecture)
                                    for member in front(candidates, evaluation.objectives))
        _require_progress(trials)
        _enqueue_next(study, evaluation.space, first)
        reason = ending.reached(counts, candidates)
        if reason is not None:
            study.stop()

    if reason is None:
        study.optimize(lambda trial: _objective(evaluation, study, trial), callbacks=[after], catch=(CandidateFailed,))
    return reason or ""


def _require_progress(trials: "list[optuna.trial.FrozenTrial]") -> None:
    last = [trial for trial in trials
            if trial.state.is_finished() and IMPOSSIBLE not in trial.user_attrs][-FAILURES_IN_A_ROW:]
    reasons = [trial.user_attrs.get(CANDIDATE, {}).get("reason") for trial in last if trial.state.name == "FAIL"]
    if len(reasons) == FAILURES_IN_A_ROW and all(LOST not in trial.user_attrs for trial in last):
        raise SearchFailed(f"{FAILURES_IN_A_ROW} candidates failed one after the other, the last with: {reasons[-1]}")


def _fail_lost_trials(study: "optuna.Study") -> None:
    """Ends the trials that a dead worker left running; the directory's lock says that none is alive."""
    import optuna

    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study._storage.set_trial_user_attr(trial._trial_id, LOST, True)  # Optuna has no public way to note it
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _enqueue_next(study: "optuna.Study", space: SearchSpace, first: list[Architecture]) -> None:
    """Asks for the first start that has not been tried yet, by its choices if the space has it.

    One at a time, so that they keep their order however often the search is interrupted.
    """
    tried = {trial.user_attrs.get(START) for trial in study.get_trials(deepcopy=False) if LOST not in trial.user_attrs}
    for architecture in first:
        if architecture.text not in tried:
            choices = space.encode(architecture)
            outside = {} if choices is not None else {OUTSIDE: True}
            study.enqueue_trial(choices or {}, user_attrs={START: architecture.text, **outside})
            return


def _objective(evaluation: Evaluation, study: "optuna.Study", trial: "optuna.Trial") -> tuple[float, ...]:
    try:
        return _evaluated(evaluation, study, trial)
    except KeyboardInterrupt:
        trial.set_user_attr(LOST, True)
        raise


def _evaluated(evaluation: Evaluation, study: "optuna.Study", trial: "optuna.Trial") -> tuple[float, ...]:
    """Returns the objectives of a trial, having recorded all that was found on the way."""
    if OUTSIDE in trial.user_attrs:
        architecture = Architecture.parse(trial.user_attrs[START])
    else:
        try:
            assignment = evaluation.space.suggest(trial)
            architecture = (evaluation.table.space.nearest(assignment, _seen(study)) if evaluation.table
                            else evaluation.space.decode(assignment))
        except InvalidInput as error:
            trial.set_user_attr(IMPOSSIBLE, str(error))
            raise CandidateFailed(str(error)) from None
    earlier = _earlier(study, architecture.id)
    if earlier is not None:
        return _reused(evaluation, trial, earlier)
    evaluation.monitor.phase(trial.number, "measuring")
    known: dict[str, Any] = {"architecture": architecture.text, "trained": False}
    try:
        costs = costs_within(architecture, evaluation.budgets, evaluation.gauges, tuple(evaluation.gauges))
    except Exception as error:  # a writer or a runtime that cannot take this network
        raise _failed(trial, known | dataclasses.asdict(counted(architecture)), error) from error
    violations = evaluation.budgets.violations(costs)
    known |= dataclasses.asdict(costs)
    for name, violation in violations.items():
        trial.set_constraint(name, violation)
    if not is_feasible(violations):
        known["reason"] = evaluation.budgets.excess(costs)
        trial.set_user_attr(CANDIDATE, known)
        return _values(evaluation, 0.0, costs)
    evaluation.monitor.phase(trial.number, "training")
    try:
        score = _score(evaluation, architecture)
    except Exception as error:
        raise _failed(trial, known, error) from error
    known |= {"accuracy": score.accuracy, "total": score.total, "trained": True, "epochs": evaluation.fidelity.epochs}
    if score.arrays:
        save_network(architecture, score.arrays, evaluation.run.weights_path(architecture.id))
    trial.set_user_attr(CANDIDATE, known)
    return _values(evaluation, score.accuracy, costs)


def _failed(trial: "optuna.Trial", known: dict[str, Any], error: Exception) -> CandidateFailed:
    """Returns the error that ends a trial, having recorded its reason."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    trial.set_user_attr(CANDIDATE, known | {"reason": reason})
    return CandidateFailed(reason)


def _score(evaluation: Evaluation, architecture: Architecture) -> Score:
    score = evaluation.evaluate(architecture, evaluation.dataset, evaluation.fidelity)
    if not isinstance(score, Score):
        return Score(float(score))
    return dataclasses.replace(score, accuracy=float(score.accuracy), total=int(score.total))  # numpy's are not stored


def _values(evaluation: Evaluation, accuracy: float, costs: Costs) -> tuple[float, ...]:
    """Returns the objectives; a latency that was not reached is 0, in a trial that its constraints rule out."""
    values = {"accuracy": accuracy, "latency": costs.latency_ms or 0.0, "macs": costs.macs, "params": costs.params}
    return tuple(float(values[name] or 0) for name in evaluation.objectives)


def _seen(study: "optuna.Study") -> set[str]:
    """Returns the ids of all architectures that trials have met."""
    return {identify(trial.user_attrs[CANDIDATE]["architecture"]) for trial in study.get_trials(deepcopy=False)
            if CANDIDATE in trial.user_attrs}


def _earlier(study: "optuna.Study", architecture_id: str) -> "optuna.trial.FrozenTrial | None":
    """Returns the finished trial in which an architecture was first met."""
    for trial in study.get_trials(deepcopy=False):
        known = trial.user_attrs.get(CANDIDATE)
        if (known and trial.state.is_finished() and LOST not in trial.user_attrs
                and identify(known["architecture"]) == architecture_id):
            return trial
    return None


def _reused(evaluation: Evaluation, trial: "optuna.Trial", earlier: "optuna.trial.FrozenTrial") -> tuple[float, ...]:
    """Returns the objectives that the architecture had before; fails again where it failed."""
    known = earlier.user_attrs[CANDIDATE]
    trial.set_user_attr(CANDIDATE, {"duplicate_of": earlier.number} | known)
    for name, violation in earlier.constraints.items():
        trial.set_constraint(name, violation)
    if earlier.values is None:
        raise CandidateFailed(known["reason"])
    return tuple(earlier.values)
