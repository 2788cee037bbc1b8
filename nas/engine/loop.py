"""The trials of a search: asked for, worked on by one worker or several, and told, until the search ends."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from evaluators.evaluator import Evaluator, close
from evaluators.machine.processes import end_groups
from nas.engine.history import History
from nas.engine.recovery import fail, fail_own, to_retry
from nas.engine.termination import Termination
from nas.engine.trial import CandidateFailed, Evaluation, HandedOver, objective
from nas.problem.candidate import Candidate, Outcome, winner
from nas.run.artefacts import CHECKPOINTS, WEIGHTS
from nas.trials.record import Start, attributes_of, start_attributes, write_lost
from nas.trials.together import ask, take_up, tell

if TYPE_CHECKING:
    import optuna

AHEAD = 4  # candidates wait for a training until those that only measure propose no more
ENDS_WITHIN_S = 5.0  # a worker that is told to
FAILURES_IN_A_ROW = 5  # so many mean that something is wrong with more than a candidate


class SearchFailed(RuntimeError):
    """The failure of a whole search; the trials that have ended are kept."""


@dataclass
class Loop:
    """The trials of a study, until they end.

    Attributes:
        study: the study of the run.
        evaluation: what the objective needs, but for the evaluators of the workers.
        termination: when the search ends.
        first: what is asked for before the strategy's own.
        reason: why the search is over, empty if it did as it was asked to; None while it is not.
    """

    study: "optuna.Study"
    evaluation: Evaluation
    termination: Termination
    first: Sequence[Start]
    reason: str | None = field(default=None, init=False)
    _said_alone: bool = field(default=False, init=False)

    def run(self, evaluators: Sequence[Evaluator]) -> str:
        """Works through trials with one worker for each evaluator; returns why the search is over.

        Raises:
            SearchFailed: candidate after candidate failed.
            MachineTrouble: the machine failed; trials that were begun count for nothing, as with any other error.
        """
        if len(evaluators) == 1:
            self._work(evaluators[0])
        else:
            pool = ThreadPoolExecutor(len(evaluators))
            workers = [pool.submit(self._work, evaluate) for evaluate in evaluators]
            try:
                for worker in as_completed(workers):
                    worker.result()
            except BaseException as error:
                self._abandon(f"ended by {type(error).__name__}", evaluators, workers)
                raise
            finally:
                pool.shutdown(wait=False)
        return self.reason or ""

    def _abandon(self, reason: str, evaluators: Sequence[Evaluator], workers: Sequence[Future[None]]) -> None:
        """Ends the trainings and commands of all workers, and the search.

        The trials of those that do not end soon, as they propose or wait for a turn, are lost.
        """
        self.reason = reason
        for evaluate in evaluators:
            close(evaluate)
        end_groups()
        threading.Thread(target=self._announce, daemon=True).start()  # which waits for a turn itself
        wait(workers, ENDS_WITHIN_S)
        with contextlib.suppress(Exception):  # else the next search finds them running
            evaluation = self.evaluation
            fail_own(self.study, evaluation.run, evaluation.sharing, evaluation.coordinator.held)

    def _announce(self) -> None:
        with self.evaluation.coordinator:
            self.evaluation.coordinator.announce()

    def _work(self, evaluate: Evaluator) -> None:
        """Evaluates one trial after the other; raises errors that are no fault of a candidate."""
        evaluation = dataclasses.replace(self.evaluation, evaluate=evaluate)
        while True:
            with evaluation.coordinator:
                try:
                    history = evaluation.history(self.study)
                    while (asked := self._next(history)) is not None:
                        number = self._work_on(evaluation, *asked)
                        history = evaluation.history(self.study)
                        self._look_after(number, history)
                    return
                except Exception as error:  # of the storage, before a training: that trial is lost, and nothing else
                    if not evaluation.sharing.outlasts(error):  # none of the threads has the turn meanwhile
                        raise

    def _work_on(self, evaluation: Evaluation, trial: "optuna.Trial", history: History) -> int:
        """Returns the number of a trial that has ended, be it well or not, or that another worker goes on with."""
        import optuna

        values = None
        try:
            values = objective(evaluation, self.study, trial, history)
        except HandedOver:
            evaluation.sharing.end(trial)
            evaluation.coordinator.announce()
            return trial.number
        except (CandidateFailed, optuna.exceptions.UpdateFinishedTrialError):
            pass  # its reason is recorded; or another worker took this one for dead, and the trial for lost
        except BaseException:
            evaluation.sharing.end(trial)
            with contextlib.suppress(Exception):  # else others find that nobody works on it
                write_lost(self.study, trial)
                self._tell(trial, None)
            raise
        evaluation.recorded(lambda: self._tell(trial, values))
        return trial.number

    def _next(self, history: History) -> "tuple[optuna.Trial, History] | None":
        """Returns the next trial and the history before it; None when the search is over.

        That is certain when no trial is running any more. Those that wait for a training are none where it is over.
        """
        role = self.evaluation.role
        while self.reason is None:
            running = history.running
            begun = history.counts.tried + sum(candidate.continues is None for candidate in running)
            enough = self.termination.trials is not None and begun >= self.termination.trials
            continuing = _enqueue_next(self.study, self.evaluation, self.first, history, enough)
            waiting = [candidate for candidate in running if candidate.waits]
            reason = self.termination.reached(history.counts, history.candidates, continuing or bool(waiting))
            if reason is None and role.trains and waiting:
                return take_up(self.study, waiting[0].trial), history
            begins = not enough and role.times and (role.trains or len(waiting) < AHEAD)
            if reason is None and ((continuing and role.trains) or begins):
                return ask(self.study), history
            if reason is None or len(waiting) < len(running):
                self._say_if_alone(len(waiting) == len(running))
                self.evaluation.coordinator.wait()
                history = self.evaluation.history(self.study)
            else:
                fail(self.study, waiting, self.evaluation.sharing)
                self.reason = reason
                self.evaluation.coordinator.announce()
        return None

    def _say_if_alone(self, alone: bool) -> None:
        """Tells the user once that nobody does the other part of the work."""
        if alone and not self._said_alone:
            self._said_alone = True
            missing = "trains" if self.evaluation.role.times else "times"
            self.evaluation.monitor.say(f"waiting for a worker that {missing}")

    def _tell(self, trial: "optuna.Trial", values: tuple[float, ...] | None) -> None:
        import optuna

        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):  # it was told, and the answer lost
            tell(self.study, trial, values)
        self.evaluation.sharing.end(trial)
        self.evaluation.coordinator.announce()

    def _look_after(self, number: int, history: History) -> None:
        """Reports a trial that has ended, and removes the files that are no longer needed."""
        last = next((candidate for candidate in reversed(history.candidates) if candidate.trial == number), None)
        self.evaluation.monitor.told(history.counts, last, winner(history.front, self.evaluation.objectives))
        own, running = history.ids, [*history.running, *history.with_checkpoints()]
        front = [*history.front, *history.front_as_told]  # later timings may bring back whom they have pushed off
        for kind, needed in ((WEIGHTS, front), (CHECKPOINTS, history.stopped)):
            self.evaluation.run.artefacts.remove_of(kind, own - _ids([*needed, *running]))
        _require_progress(history.told)


def _ids(candidates: Iterable[Candidate]) -> set[str]:
    return {candidate.architecture_id for candidate in candidates}


def _require_progress(told: Sequence[Candidate]) -> None:
    ended = list(islice((candidate for candidate in reversed(told) if candidate.outcome not in (
        Outcome.WAITING, Outcome.RUNNING, Outcome.IMPOSSIBLE)), FAILURES_IN_A_ROW))
    if len(ended) == FAILURES_IN_A_ROW and all(candidate.state == "failed" for candidate in ended):
        raise SearchFailed(f"{FAILURES_IN_A_ROW} candidates failed one after the other, the last with: "
                           f"{ended[0].reason}")


def _enqueue_next(study: "optuna.Study", evaluation: Evaluation, first: Sequence[Start],
                  history: History, enough: bool) -> bool:
    """Enqueues a trial before the strategy is asked: of a candidate that continues, of a lost one, or of a start.

    One at a time, so that they keep their order however often the search is interrupted. Returns whether the next
    trial continues another one.
    """
    if history.waiting:
        return any(candidate.continues is not None for candidate in history.waiting)
    continued = _to_continue(evaluation, history, enough)
    if continued and evaluation.role.trains:
        marks = attributes_of(Candidate(continued.trial, continues=continued.trial, outside=continued.outside))
        study.enqueue_trial(dict(continued.assignment), user_attrs=marks)
        return True
    if not evaluation.role.times:
        return False
    lost = None if enough else to_retry(history, evaluation.space)
    if lost:
        study.enqueue_trial(dict(lost.assignment))
        return continued is not None
    start = next((start for start in first if not history.is_started(start.architecture.text)), None)
    if start:
        choices = evaluation.space.encode(start.architecture)
        study.enqueue_trial(choices or {}, user_attrs=start_attributes(start, outside=choices is None))
    return continued is not None


def _to_continue(evaluation: Evaluation, history: History, enough: bool) -> Candidate | None:
    """Returns the stopped candidate that continues next, if one does.

    Where the strategy says which candidates continue, others do only when enough have begun, or where the space lacks
    them.
    """
    by_strategy = evaluation.rungs.by_strategy and not enough
    taken = {candidate.trial for candidate in history.stopped
             if history.is_continued(candidate.trial) or (by_strategy and not candidate.outside)}
    return evaluation.rungs.promotable(history.candidates, taken)
