"""The trials of a search: asked for, worked on by one worker or several, and told, until the search ends."""

import dataclasses
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluators.evaluator import Evaluator
from nas.engine.successive_halving import stopped
from nas.engine.termination import Ending
from nas.engine.trial import IMPOSSIBLE, START, CandidateFailed, Evaluation, objective
from nas.engine.warm_start import Start
from nas.engine.workers import TrainingProcess
from nas.problem.candidate import Candidate, front, winner
from nas.trials.memo import OfFinished
from nas.trials.record import CANDIDATE, LOST, OUTSIDE, PROMOTED, TAKEN
from nas.trials.tally import Outcome, Tally, outcome_of, tally
from search_spaces.architecture import identify

if TYPE_CHECKING:
    import optuna

FAILURES_IN_A_ROW = 5  # so many mean that something is wrong with more than a candidate


class SearchFailed(RuntimeError):
    """A search that cannot go on; what was found is kept."""


@dataclass(frozen=True)
class History:
    """All that is known at a moment at which nobody but the worker that holds the baton can change it.

    Attributes:
        trials: of the study.
        candidates: what is known of them.
        counts: how many came to what.
    """

    trials: "list[optuna.trial.FrozenTrial]"
    candidates: list[Candidate]
    counts: Tally


@dataclass
class Loop:
    """The trials of a study, until they end.

    Attributes:
        study: the study of the run.
        evaluation: what the objective needs, but for the evaluators of the workers.
        ending: what ends the search.
        first: what is asked for before the strategy's own.
        reason: why the search is over, empty if it did as it was asked to; None while it is not.
    """

    study: "optuna.Study"
    evaluation: Evaluation
    ending: Ending
    first: Sequence[Start]
    reason: str | None = field(default=None, init=False)
    _outcome: OfFinished[Outcome] = field(default_factory=lambda: OfFinished(outcome_of), init=False)

    def run(self, evaluators: Sequence[Evaluator]) -> str:
        """Works through trials with one worker for each evaluator; returns why the search is over.

        Raises:
            SearchFailed: candidate after candidate failed.
        """
        _fail_lost_trials(self.study)
        if len(evaluators) == 1:
            self._work(evaluators[0])
        else:
            with ThreadPoolExecutor(len(evaluators)) as pool:
                try:
                    for worker in as_completed([pool.submit(self._work, evaluate) for evaluate in evaluators]):
                        worker.result()
                except BaseException as error:
                    self._abandon(f"ended by {type(error).__name__}", evaluators)
                    raise
        return self.reason or ""

    def _abandon(self, reason: str, evaluators: Sequence[Evaluator]) -> None:
        """Ends the trainings of all workers, and the search."""
        for evaluate in evaluators:
            if isinstance(evaluate, TrainingProcess):
                evaluate.close()
        with self.evaluation.baton:
            self.reason = reason
            self.evaluation.baton.announce()

    def _work(self, evaluate: Evaluator) -> None:
        """Works on one trial after the other; raises what is no fault of a candidate."""
        evaluation = dataclasses.replace(self.evaluation, evaluate=evaluate)
        with evaluation.baton:
            history = self._history()
            while (asked := self._next(history)) is not None:
                (trial, history), values = asked, None
                try:
                    values = objective(evaluation, self.study, trial, history.trials)
                except CandidateFailed:
                    pass  # its reason is recorded
                finally:
                    self._tell(trial, values)
                history = self._history()
                self._look_after(trial.number, history)

    def _history(self) -> History:
        trials = self.study.get_trials(deepcopy=False)
        return History(trials, self.evaluation.run.candidates(self.study, trials), tally(trials, self._outcome))

    def _next(self, history: History) -> "tuple[optuna.Trial, History] | None":
        """Returns the next trial and what is known before it; None when the search is over.

        That is certain when nobody works on a trial any more.
        """
        while self.reason is None:
            running = [trial for trial in history.trials if trial.state.name == "RUNNING"]
            begun = history.counts.tried + sum(PROMOTED not in trial.user_attrs for trial in running)
            enough = self.ending.trials is not None and begun >= self.ending.trials
            promoting = _enqueue_next(self.study, self.evaluation, self.first, history, enough)
            reason = self.ending.reached(history.counts, history.candidates, promoting)
            if reason is None and (promoting or not enough):
                return self.study.ask(), history
            if running:
                self.evaluation.baton.wait()
                history = self._history()
            else:
                self.reason = reason
                self.evaluation.baton.announce()
        return None

    def _tell(self, trial: "optuna.Trial", values: tuple[float, ...] | None) -> None:
        import optuna

        failed = optuna.trial.TrialState.FAIL if values is None else None
        self.study.tell(trial, values, state=failed)
        self.evaluation.baton.announce()

    def _look_after(self, number: int, history: History) -> None:
        """Reports a trial that has ended, and keeps of all files those that are still needed."""
        candidates = history.candidates
        last = next((candidate for candidate in candidates if candidate.trial == number), None)
        self.evaluation.monitor.told(history.counts, last, winner(candidates))
        running = [candidate for candidate in candidates if candidate.state == "running"]
        self.evaluation.run.keep_files(_ids([*front(candidates, self.evaluation.objectives), *running]),
                                       _ids([*stopped(candidates), *running]))
        _require_progress(history.trials)


def _ids(candidates: list[Candidate]) -> list[str]:
    return [identify(candidate.architecture) for candidate in candidates]


def _require_progress(trials: "list[optuna.trial.FrozenTrial]") -> None:
    last = list(itertools.islice((trial for trial in reversed(trials) if trial.state.is_finished()
                                  and IMPOSSIBLE not in trial.user_attrs), FAILURES_IN_A_ROW))
    reasons = [trial.user_attrs.get(CANDIDATE, {}).get("reason") for trial in last if trial.state.name == "FAIL"]
    if len(reasons) == FAILURES_IN_A_ROW and all(LOST not in trial.user_attrs for trial in last):
        raise SearchFailed(f"{FAILURES_IN_A_ROW} candidates failed one after the other, the last with: {reasons[0]}")


def _fail_lost_trials(study: "optuna.Study") -> None:
    """Ends the trials that a dead worker left running; the directory's lock says that none is alive."""
    import optuna

    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study._storage.set_trial_user_attr(trial._trial_id, LOST, True)  # Optuna has no public way to note it
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _enqueue_next(study: "optuna.Study", evaluation: Evaluation, first: Sequence[Start],
                  history: History, enough: bool) -> bool:
    """Asks for what comes before the strategy's own: a stopped candidate that is promoted, or a start not tried yet.

    One at a time, so that they keep their order however often the search is interrupted. Starts are asked for by their
    choices if the space has them. Where the strategy says who goes on, others do only when enough candidates have
    begun, or where it does not know them. Returns whether a candidate is promoted.
    """
    trials = [trial for trial in history.trials if LOST not in trial.user_attrs]
    waiting = [trial for trial in trials if trial.state.name == "WAITING"]
    if waiting:
        return any(PROMOTED in trial.user_attrs for trial in waiting)
    taken = {trial.user_attrs.get(PROMOTED) for trial in trials}
    if evaluation.rungs.by_strategy and not enough:
        taken |= {trial.number for trial in trials if OUTSIDE not in trial.user_attrs}
    promoted = evaluation.rungs.promotable(history.candidates, taken)
    if promoted:
        original = next(trial for trial in trials if trial.number == promoted.trial)
        outside = {OUTSIDE: True} if OUTSIDE in original.user_attrs else {}
        study.enqueue_trial(original.params, user_attrs={PROMOTED: promoted.trial, **outside})
        return True
    tried = {trial.user_attrs.get(START) for trial in trials}
    for start in first:
        if start.architecture.text not in tried:
            choices = evaluation.space.encode(start.architecture)
            marks = ({OUTSIDE: True} if choices is None else {}) | ({TAKEN: start.known} if start.known else {})
            study.enqueue_trial(choices or {}, user_attrs={START: start.architecture.text, **marks})
            break
    return False
