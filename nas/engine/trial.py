"""What a trial of a search is asked, and what it is told.

    suggest -> architecture -> seen before? reuse -> counts -> size -> latency -> only then training, by rungs
"""

import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluators.benchmarks.tables import Table
from evaluators.datasets import Dataset
from evaluators.evaluator import Evaluator, Fidelity, Score
from evaluators.networks.checkpoint import load_checkpoint, save_checkpoint, save_network
from nas.engine.coordinator import Baton
from nas.engine.successive_halving import Rungs
from nas.measuring.meters import Gauges, costs_within, counted, is_screened
from nas.problem.budgets import Budgets, Costs, is_feasible
from nas.run.directory import RunDirectory
from nas.run.monitor import Monitor
from nas.trials.record import CANDIDATE, LOST, OUTSIDE, PROMOTED, TAKEN
from search_spaces.architecture import Architecture, identify
from search_spaces.errors import InvalidInput
from search_spaces.search_space import SearchSpace

if TYPE_CHECKING:
    import optuna

IMPOSSIBLE = "impossible"  # the attribute of a trial whose choices make no network: why
START = "start"  # the attribute of a trial that was asked for: the text of its architecture


class CandidateFailed(RuntimeError):
    """A candidate that crashed or diverged; the search goes on."""


@dataclass(frozen=True)
class Evaluation:
    """All that the objective needs, besides the trial; of several workers, each has its evaluator and all one baton."""

    run: RunDirectory
    space: SearchSpace
    dataset: Dataset
    budgets: Budgets
    gauges: Gauges
    evaluate: Evaluator
    fidelity: Fidelity
    rungs: Rungs
    objectives: tuple[str, ...]
    monitor: Monitor
    table: Table | None = None
    baton: Baton = field(default_factory=Baton)


def objective(evaluation: Evaluation, study: "optuna.Study", trial: "optuna.Trial",
              trials: "Sequence[optuna.trial.FrozenTrial]") -> tuple[float, ...]:
    """Returns the values of a trial; raises `CandidateFailed`. One that is interrupted counts for nothing.

    `trials` are those of the study before it.
    """
    try:
        if PROMOTED in trial.user_attrs:
            return _continued(evaluation, study, trial)
        return _begun(evaluation, study, trial, trials)
    except (KeyboardInterrupt, SystemExit):
        trial.set_user_attr(LOST, True)
        raise


def _begun(evaluation: Evaluation, study: "optuna.Study", trial: "optuna.Trial",
           trials: "Sequence[optuna.trial.FrozenTrial]") -> tuple[float, ...]:
    """Returns the objectives of what a trial proposes, having recorded all that was found on the way."""
    if OUTSIDE in trial.user_attrs:
        architecture = Architecture.parse(trial.user_attrs[START])
    else:
        try:
            assignment = evaluation.space.suggest(trial)
            architecture = (evaluation.table.space.nearest(assignment, _met(trials)) if evaluation.table
                            else evaluation.space.decode(assignment))
        except InvalidInput as error:
            trial.set_user_attr(IMPOSSIBLE, str(error))
            raise CandidateFailed(str(error)) from None
    with evaluation.baton.claim(architecture.id) as waited:
        earlier = _earlier(study.get_trials(deepcopy=False) if waited else trials, architecture.text)
        if earlier is None:
            return _evaluated(evaluation, study, trial, architecture)
        if evaluation.rungs.by_strategy and _is_stopped(earlier):
            trial.set_user_attr(PROMOTED, earlier.number)
            return _continued(evaluation, study, trial)
        return _reused(trial, earlier)


def _evaluated(evaluation: Evaluation, study: "optuna.Study", trial: "optuna.Trial", architecture: Architecture
               ) -> tuple[float, ...]:
    """Returns the objectives of an architecture that is met for the first time."""
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
        known["reason"] = ("predicted: " if is_screened(costs) else "") + evaluation.budgets.excess(costs)
        trial.set_user_attr(CANDIDATE, known)
        return _values(evaluation, 0.0, costs)
    if TAKEN in trial.user_attrs:
        return _values(evaluation, _taken_over(evaluation, trial, architecture, known), costs)
    if evaluation.rungs.brackets > 1:
        known["bracket"] = evaluation.rungs.next_bracket(evaluation.run.candidates(study))
    return _values(evaluation, _trained(evaluation, study, trial, architecture, known), costs)


def _continued(evaluation: Evaluation, study: "optuna.Study", trial: "optuna.Trial") -> tuple[float, ...]:
    """Returns the objectives of a trial that takes up again what another one has stopped."""
    number = trial.user_attrs[PROMOTED]
    trials = study.get_trials(deepcopy=False)
    if any(PROMOTED in other.user_attrs and other.user_attrs[PROMOTED] == number and LOST not in other.user_attrs
           for other in trials[:trial.number]):
        trial.set_user_attr(LOST, True)
        raise CandidateFailed(f"another worker has taken up trial {number} already")
    if OUTSIDE not in trial.user_attrs:
        evaluation.space.suggest(trial)
    stopped = trials[number]
    for name, violation in stopped.constraints.items():
        trial.set_constraint(name, violation)
    known = {name: value for name, value in stopped.user_attrs[CANDIDATE].items() if name != "reason"}
    accuracy = _trained(evaluation, study, trial, Architecture.parse(known["architecture"]), known)
    assert stopped.values is not None
    return (accuracy, *stopped.values[1:])


def _trained(evaluation: Evaluation, study: "optuna.Study", trial: "optuna.Trial", architecture: Architecture,
             known: dict[str, Any]) -> float:
    """Returns the accuracy after a training that stops at the first rung where others are better.

    What is known at each rung is recorded for the other workers; a training that stops leaves its checkpoint.
    """
    evaluation.monitor.phase(trial.number, "training")
    run, rungs = evaluation.run, evaluation.rungs
    done = known.get("epochs", 0)
    checkpoint: Mapping[str, np.ndarray] = load_checkpoint(run.checkpoint_path(architecture.id)) if done else {}
    for epochs in (rung for rung in rungs.epochs if rung > done):
        try:
            score = _score(evaluation, architecture, epochs, checkpoint)
        except Exception as error:
            raise _failed(trial, known, error) from error
        checkpoint = score.checkpoint
        known |= {"accuracy": score.accuracy, "total": score.total, "epochs": epochs,
                  "trained": epochs == rungs.epochs[-1],
                  "compiled": score.compiled or None,
                  "accuracies": [*known.get("accuracies", ()), (epochs, score.accuracy)]}
        trial.set_user_attr(CANDIDATE, known)
        if not known["trained"] and not rungs.goes_on(run.candidates(study), trial.number):
            save_checkpoint(checkpoint, run.checkpoint_path(architecture.id))
            trial.set_user_attr(CANDIDATE, known | {"reason": f"stopped after {epochs} of {rungs.epochs[-1]} epochs"})
            break
    if known["trained"] and score.arrays:
        save_network(architecture, score.arrays, run.weights_path(architecture.id))
    return score.accuracy


def _taken_over(evaluation: Evaluation, trial: "optuna.Trial", architecture: Architecture, known: dict[str, Any]
                ) -> float:
    """Returns the accuracy that another run has found, whose weights are copied where it has kept them."""
    taken = dict(trial.user_attrs[TAKEN])
    weights, own = Path(taken.pop("weights")), evaluation.run.weights_path(architecture.id)
    if weights.exists():
        own.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(weights, own)
    trial.set_user_attr(CANDIDATE, known | taken)
    return float(taken["accuracy"])


def _failed(trial: "optuna.Trial", known: dict[str, Any], error: Exception) -> CandidateFailed:
    """Returns the error that ends a trial, having recorded its reason."""
    reason = str(error) if isinstance(error, CandidateFailed) else in_words(error)
    trial.set_user_attr(CANDIDATE, known | {"reason": reason})
    return CandidateFailed(reason)


def in_words(error: Exception) -> str:
    """Returns an error as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _score(evaluation: Evaluation, architecture: Architecture, epochs: int, checkpoint: Mapping[str, np.ndarray]
           ) -> Score:
    fidelity = dataclasses.replace(evaluation.fidelity, epochs=epochs, checkpoint=checkpoint)
    with evaluation.baton.laid_down():
        score = evaluation.evaluate(architecture, evaluation.dataset, fidelity)
    if not isinstance(score, Score):
        return Score(float(score))
    return dataclasses.replace(score, accuracy=float(score.accuracy), total=int(score.total))  # numpy's are not stored


def _values(evaluation: Evaluation, accuracy: float, costs: Costs) -> tuple[float, ...]:
    """Returns the objectives; a latency that was not reached is 0, in a trial that its constraints rule out."""
    values = {"accuracy": accuracy, "latency": costs.latency_ms or 0.0, "macs": costs.macs, "params": costs.params}
    return tuple(float(values[name] or 0) for name in evaluation.objectives)


def _met(trials: "Sequence[optuna.trial.FrozenTrial]") -> Iterator[str]:
    """Yields the ids of all architectures that trials have met."""
    for trial in trials:
        if CANDIDATE in trial.user_attrs:
            yield identify(trial.user_attrs[CANDIDATE]["architecture"])


def _earlier(trials: "Sequence[optuna.trial.FrozenTrial]", text: str) -> "optuna.trial.FrozenTrial | None":
    """Returns the last finished trial that has evaluated an architecture."""
    for trial in reversed(trials):
        known = trial.user_attrs.get(CANDIDATE)
        if (known and known["architecture"] == text and trial.state.is_finished()
                and LOST not in trial.user_attrs and "duplicate_of" not in known):
            return trial
    return None


def _is_stopped(trial: "optuna.trial.FrozenTrial") -> bool:
    known = trial.user_attrs[CANDIDATE]
    return trial.state.name == "COMPLETE" and bool(known.get("epochs")) and not known["trained"]


def _reused(trial: "optuna.Trial", earlier: "optuna.trial.FrozenTrial") -> tuple[float, ...]:
    """Returns the objectives that the architecture had before; fails again where it failed."""
    known = earlier.user_attrs[CANDIDATE]
    trial.set_user_attr(CANDIDATE, {"duplicate_of": earlier.number} | known)
    for name, violation in earlier.constraints.items():
        trial.set_constraint(name, violation)
    if earlier.values is None:
        raise CandidateFailed(known["reason"])
    return tuple(earlier.values)
