"""The objective of a trial: from a proposal to its values.

    suggest -> architecture -> seen before? reuse -> counts -> size -> latency -> only then training, by rungs
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NoReturn, TypeVar

import numpy as np

from evaluators.datasets import Dataset
from evaluators.evaluator import Evaluator, Fidelity, Score
from evaluators.machine.trouble import MachineTrouble, is_trouble, tells_of_trouble
from evaluators.networks.checkpoint import arrays_in, checkpoint_file, network_file
from evaluators.recipe import Recipe
from nas.engine.coordinator import Coordinator
from nas.engine.history import Histories, History
from nas.engine.recovery import DEATHS, deaths, fail, with_training_of_lost
from nas.engine.successive_halving import Rungs
from nas.measuring.meters import Gauges, costs_within, counted
from nas.problem.budgets import Budgets, is_feasible
from nas.problem.candidate import Candidate, Outcome
from nas.run.artefacts import CHECKPOINTS, WEIGHTS, Artefacts, Files, name_of
from nas.run.directory import RunDirectory
from nas.run.monitor import Monitor
from nas.run.sharing import Role, Sharing, outlasting
from nas.trials.record import candidate_of, start_of, write, write_lost
from nas.trials.tally import is_screened
from nas.trials.together import as_begun, together
from search_spaces.architecture import Architecture
from search_spaces.errors import InvalidInput
from search_spaces.search_space import SearchSpace

if TYPE_CHECKING:
    import optuna


T = TypeVar("T")


class CandidateFailed(RuntimeError):
    """A candidate that crashed or diverged; the search goes on."""


class HandedOver(Exception):
    """The end of the work on a candidate with which a worker that trains goes on."""


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of candidates. Each of several workers has its own evaluator, and all have one coordinator."""

    run: RunDirectory
    space: SearchSpace
    dataset: Dataset
    budgets: Budgets
    gauges: Gauges
    evaluate: Evaluator
    recipe: Recipe
    rungs: Rungs
    objectives: tuple[str, ...]
    monitor: Monitor
    sharing: Sharing
    coordinator: Coordinator
    role: Role
    histories: Histories

    def history(self, study: "optuna.Study") -> History:
        """Returns the history, after failing the running trials of dead workers as lost."""
        history = self._history()
        lost = self.sharing.gone(candidate for candidate in history.running if not candidate.waits)
        if not lost:
            return history
        fail(study, lost, self.sharing)
        return self._history()

    def _history(self) -> History:
        told = self.run.told()
        return self.histories(told, self.run.candidates(told))

    def recorded(self, record: Callable[[], T]) -> T:
        """Returns the result of recording, done again as long as the storage is away: no training is lost."""
        return outlasting(self.sharing.outlasts, record)

    def keep(self, kind: str, architecture: Architecture, content: bytes) -> None:
        """Keeps an artefact of an architecture."""
        self.recorded(partial(self.run.artefacts.put, name_of(kind, architecture.id), content))


def objective(evaluation: Evaluation, study: "optuna.Study", trial: "optuna.Trial", history: History
              ) -> tuple[float, ...]:
    """Returns the values of a trial, given all before it.

    Raises:
        CandidateFailed: its reason is recorded.
        HandedOver: another worker goes on with it.
        MachineTrouble: nothing is known of the candidate, as with any other error.
    """
    own = dataclasses.replace(candidate_of(as_begun(trial)), worker=evaluation.sharing.worker, waits=False)
    if own.costs.macs is not None:
        return _trained(evaluation, study, trial, own, Architecture.parse(own.architecture))
    if own.architecture:
        return _met(evaluation, study, trial, own, history)
    if own.continues is not None:
        return _continued(evaluation, study, trial, own)
    return _begun(evaluation, study, trial, own, history)


def _begun(evaluation: Evaluation, study: "optuna.Study", trial: "optuna.Trial", own: Candidate,
           history: History) -> tuple[float, ...]:
    """Returns the values of a new proposal, having recorded all that was found on the way."""
    start = start_of(trial)
    if start and own.outside:
        own = dataclasses.replace(own, architecture=start.architecture.text)
    else:
        with together(trial):  # so that none is found with choices and without an architecture
            assignment = evaluation.space.suggest(trial)
            try:
                own = dataclasses.replace(own, architecture=evaluation.space.nearest(assignment, history.ids).text)
            except InvalidInput as error:
                own = dataclasses.replace(own, reason=str(error))
            write(trial, own)
    if not own.architecture:
        raise CandidateFailed(own.reason)
    return _met(evaluation, study, trial, own, history)


def _met(evaluation: Evaluation, study: "optuna.Study", trial: "optuna.Trial", own: Candidate,
         history: History) -> tuple[float, ...]:
    """Returns the values of an architecture, which may have been met before."""
    history = _waited(evaluation, study, trial, own, history)
    earlier = history.finished(own.architecture)
    if earlier is None:
        return _evaluated(evaluation, study, trial, own, history)
    if evaluation.rungs.by_strategy and earlier.outcome is Outcome.STOPPED:
        own = dataclasses.replace(own, continues=earlier.trial)
        write(trial, own)
        return _continued(evaluation, study, trial, own)
    return _reused(evaluation, trial, own, earlier)


def _waited(evaluation: Evaluation, study: "optuna.Study", trial: "optuna.Trial", own: Candidate,
            history: History) -> History:
    """Returns the history once no trial before this one evaluates the same architecture any more.

    What waits for a training is not waited for, as this worker may be the one to train it, or be needed elsewhere.
    """
    while others := [other for other in history.running
                     if other.trial < trial.number and other.architecture == own.architecture]:
        if not evaluation.role.trains or any(other.waits for other in others):
            _hand_over(trial, own)
        _claim(evaluation, trial, own)
        evaluation.coordinator.wait()
        history = evaluation.history(study)
    return history


def _claim(evaluation: Evaluation, trial: "optuna.Trial", own: Candidate) -> None:
    """Records the architecture and its worker for other workers, before the coordinator is released."""
    write(trial, own)
    evaluation.sharing.begin(trial)


def _hand_over(trial: "optuna.Trial", own: Candidate) -> NoReturn:
    """Records a candidate as waiting for a worker that trains, and raises `HandedOver`."""
    write(trial, dataclasses.replace(own, worker=None, waits=True))
    raise HandedOver


@contextlib.contextmanager
def _measuring(evaluation: Evaluation, trial: "optuna.Trial", own: Candidate) -> Iterator[None]:
    """Records a candidate as being measured; those that train are not kept from recording by who only measures."""
    evaluation.monitor.phase(trial.number, "measuring")
    if evaluation.role.trains:
        write(trial, own)  # so that it is known what its worker dies of
        yield
    else:
        _claim(evaluation, trial, own)
        with evaluation.coordinator.released():
            yield


def _evaluated(evaluation: Evaluation, study: "optuna.Study", trial: "optuna.Trial", own: Candidate,
               history: History) -> tuple[float, ...]:
    """Returns the values of an architecture that is met for the first time."""
    _require_survivable(trial, own, history.lost)
    if not evaluation.role.times:  # what was to be waited for was lost; this is proposed again to who measures it
        write_lost(study, trial)
        raise CandidateFailed("it was not measured")
    architecture, start = Architecture.parse(own.architecture), start_of(trial)
    try:
        with _measuring(evaluation, trial, own):
            costs = costs_within(architecture, evaluation.budgets, evaluation.gauges, tuple(evaluation.gauges))
    except Exception as error:  # a writer or a runtime that cannot take this network
        raise _failed(trial, dataclasses.replace(own, costs=counted(architecture)), error) from error
    own = dataclasses.replace(own, costs=costs, violations=evaluation.budgets.violations(costs))
    if not is_feasible(own.violations):
        predicted = "predicted: " if is_screened(own) else ""
        own = dataclasses.replace(own, reason=predicted + evaluation.budgets.excess(costs))
    elif start and start.trained:
        own = own.with_training_of(start.trained)
        name = name_of(WEIGHTS, architecture.id)
        there = start.weights and Artefacts(Files(start.weights.parent.parent))
        if there and (content := _kept(evaluation, there, name)):
            evaluation.run.artefacts.put(name, content)
    else:
        if evaluation.rungs.brackets > 1:
            bracket = evaluation.rungs.next_bracket(evaluation.run.candidates())
            own = dataclasses.replace(own, bracket=bracket)
        own = with_training_of_lost(own, history.lost, evaluation.rungs.epochs[-1])
        return _trained(evaluation, study, trial, own, architecture)
    write(trial, own)
    return _values(evaluation, own)


def _continued(evaluation: Evaluation, study: "optuna.Study", trial: "optuna.Trial", own: Candidate
               ) -> tuple[float, ...]:
    """Returns the values of a trial that continues the training of a stopped one."""
    told = evaluation.run.told()
    if any(other.continues == own.continues and other.outcome is not Outcome.LOST for other in told[:trial.number]):
        write_lost(study, trial)
        raise CandidateFailed(f"another worker continues trial {own.continues} already")
    if not own.outside:
        with together(trial):
            evaluation.space.suggest(trial)
    assert own.continues is not None
    stopped = told[own.continues]
    own = dataclasses.replace(own, architecture=stopped.architecture, costs=stopped.costs, bracket=stopped.bracket,
                              violations=stopped.violations).with_training_of(stopped)
    lost = [other for other in told if other.outcome is Outcome.LOST]
    _require_survivable(trial, own, lost)
    own = with_training_of_lost(own, lost, evaluation.rungs.epochs[-1])
    return _trained(evaluation, study, trial, own, Architecture.parse(own.architecture))


def _trained(evaluation: Evaluation, study: "optuna.Study", trial: "optuna.Trial", own: Candidate,
             architecture: Architecture) -> tuple[float, ...]:
    """Returns the values after a training that stops at the first rung where others are better.

    What is known at each rung is recorded for the other workers, and then its checkpoint, from which the same training
    goes on when it has stopped or its worker has died: an older one, or none, only takes longer.
    """
    if not evaluation.role.trains:
        _hand_over(trial, own)
    evaluation.monitor.phase(trial.number, "training")
    _claim(evaluation, trial, own)
    run, rungs = evaluation.run, evaluation.rungs
    checkpoint = _checkpoint(evaluation, own, architecture) if own.epochs else {}
    for epochs in (rung for rung in rungs.epochs if rung > own.epochs):
        try:
            score = _score(evaluation, architecture, epochs, checkpoint)
        except Exception as error:
            raise _failed(trial, own, error) from error
        checkpoint = score.checkpoint
        own = dataclasses.replace(own, accuracy=score.accuracy, total=score.total, epochs=epochs,
                                  trained=epochs == rungs.epochs[-1], compiled=score.compiled or None,
                                  accuracies=(*own.accuracies, (epochs, score.accuracy)),
                                  float32_accuracy=score.float32_accuracy, log_loss=score.log_loss)
        if own.trained:
            if score.arrays:
                evaluation.keep(WEIGHTS, architecture, network_file(architecture, score.arrays))
            evaluation.recorded(partial(write, trial, own))
            break
        evaluation.recorded(partial(write, trial, own))
        if checkpoint:
            evaluation.keep(CHECKPOINTS, architecture, checkpoint_file(checkpoint))
        if not evaluation.recorded(lambda: rungs.continues(run.candidates(), trial.number)):
            stopped = dataclasses.replace(own, reason=f"stopped after {epochs} of {rungs.epochs[-1]} epochs")
            evaluation.recorded(partial(write, trial, stopped))
            break
    return _values(evaluation, own)


def _checkpoint(evaluation: Evaluation, own: Candidate, architecture: Architecture) -> Mapping[str, np.ndarray]:
    """Returns the checkpoint that a training goes on from; without one it begins anew, which comes to the same."""
    name = name_of(CHECKPOINTS, architecture.id)
    content = _kept(evaluation, evaluation.run.artefacts, name)
    if content:
        return arrays_in(content)
    if own.compiled:  # by our own training, which leaves one
        evaluation.monitor.say(f"trial {own.trial} begins its training anew, without '{name}'")
    return {}


def _kept(evaluation: Evaluation, artefacts: Artefacts, name: str) -> bytes | None:
    """Returns an artefact, None for a damaged one, which is said, and where there is none."""
    try:
        return artefacts.get(name)
    except InvalidInput as error:
        evaluation.monitor.say(str(error))
        return None


def _reused(evaluation: Evaluation, trial: "optuna.Trial", own: Candidate, earlier: Candidate) -> tuple[float, ...]:
    """Returns the values that the architecture had before; fails again where it failed."""
    own = dataclasses.replace(own, architecture=earlier.architecture, costs=earlier.costs, reason=earlier.reason,
                              violations=earlier.violations, bracket=earlier.bracket, duplicate_of=earlier.trial)
    write(trial, own.with_training_of(earlier))
    if earlier.outcome is Outcome.FAILED:
        raise CandidateFailed(earlier.reason)
    return _values(evaluation, earlier)


def _require_survivable(trial: "optuna.Trial", own: Candidate, lost: Sequence[Candidate]) -> None:
    """Raises `CandidateFailed`, having recorded it, for a candidate whose workers have died again and again."""
    found = deaths(lost, own)
    if len(found) >= DEATHS:
        workers = " and ".join(candidate.worker or "" for candidate in found if candidate.worker)
        reason = f"its worker died {len(found)} times{workers and ': '}{workers}"
        write(trial, dataclasses.replace(own, reason=reason))
        raise CandidateFailed(reason)


def _failed(trial: "optuna.Trial", own: Candidate, error: Exception) -> CandidateFailed | MachineTrouble:
    """Returns the error that ends a trial, having recorded its reason if it is the candidate's."""
    reason = str(error) if isinstance(error, CandidateFailed | MachineTrouble) else in_words(error)
    if is_trouble(error) or tells_of_trouble(reason):
        return MachineTrouble(f"{reason} (no candidate is to blame: once that is mended, the same command goes on)")
    write(trial, dataclasses.replace(own, reason=reason))
    return CandidateFailed(reason)


def in_words(error: Exception) -> str:
    """Returns an error as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _score(evaluation: Evaluation, architecture: Architecture, epochs: int, checkpoint: Mapping[str, np.ndarray]
           ) -> Score:
    fidelity = Fidelity(evaluation.recipe, epochs, checkpoint)
    with evaluation.coordinator.released():
        score = evaluation.evaluate(architecture, evaluation.dataset, fidelity)
    if not isinstance(score, Score):
        return Score(float(score))
    return dataclasses.replace(score, accuracy=float(score.accuracy), total=int(score.total))  # numpy's are not stored


def _values(evaluation: Evaluation, own: Candidate) -> tuple[float, ...]:
    """Returns the objectives of a candidate; of one that was not trained those that dominate nothing.

    Its constraints rule it out, but there are displays of fronts that do not read them.
    """
    if own.accuracy is None:
        return tuple(0.0 if name == "accuracy" else math.inf for name in evaluation.objectives)
    return own.values(evaluation.objectives)
