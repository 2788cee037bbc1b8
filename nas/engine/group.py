"""The group of the workers that share one accelerator: candidates that wait for it are trained side by side."""

import threading
from collections.abc import Hashable
from dataclasses import dataclass, field

from evaluators.datasets import Dataset
from evaluators.evaluator import Fidelity, Score
from evaluators.recipe import BLOCKS, Recipe
from nas.engine.trial import CandidateFailed
from nas.engine.workers import TrainingProcess
from search_spaces.architecture import Architecture

GATHERING_S = 5.0  # without a new candidate, after which those that wait are trained


def fit_side_by_side(recipe: Recipe) -> bool:
    """Tells whether candidates can be trained by one program, which draws the same for each of them."""
    return recipe.compile != BLOCKS and not recipe.stochastic_depth


@dataclass(eq=False)
class Request:
    """A candidate that waits for its score, or for the error that it raises instead."""

    architecture: Architecture
    fidelity: Fidelity
    answer: Score | float | BaseException | None = field(default=None, init=False)

    @property
    def kind(self) -> Hashable:
        """The properties that candidates trained side by side have in common."""
        return self.architecture.input, self.fidelity, int(self.fidelity.checkpoint.get("epochs", 0))


class Group:
    """The evaluator of several workers, each in a thread, that have one training process."""

    def __init__(self, process: TrainingProcess, workers: int, gathering_s: float = GATHERING_S) -> None:
        """Takes the process, which somebody else closes, and how many workers there are."""
        self._process, self._workers, self._gathering_s = process, workers, gathering_s
        self._changed = threading.Condition()
        self._waiting: list[Request] = []
        self._busy = False

    def __call__(self, architecture: Architecture, data: Dataset, fidelity: Fidelity) -> Score | float:
        """Returns the score of a candidate; raises as `TrainingProcess` does."""
        own = Request(architecture, fidelity)
        with self._changed:
            self._waiting.append(own)
            self._changed.notify_all()
            while own.answer is None:
                there = len(self._waiting)
                complete = there == self._workers or not self._changed.wait(None if self._busy else self._gathering_s)
                if complete and not self._busy and own.answer is None:
                    self._train()
        if isinstance(own.answer, BaseException):
            raise own.answer
        return own.answer

    def _train(self) -> None:
        """Trains the candidate that has waited for longest, and those of its kind; others can come meanwhile."""
        group = [candidate for candidate in self._waiting if candidate.kind == self._waiting[0].kind]
        self._waiting = [candidate for candidate in self._waiting if candidate not in group]
        self._busy = True
        self._changed.release()
        try:
            self._answer(group)
        finally:
            self._changed.acquire()
            self._busy = False
            self._changed.notify_all()

    def _answer(self, group: list[Request]) -> None:
        try:
            answers = self._process.scores([(candidate.architecture, candidate.fidelity) for candidate in group])
        except CandidateFailed as error:
            if len(group) == 1:
                group[0].answer = error
            else:  # one of them has ended the process
                for candidate in group:
                    self._answer([candidate])
        except BaseException as error:  # raised again by each of their workers
            for candidate in group:
                candidate.answer = error
        else:
            for candidate, answer in zip(group, answers, strict=True):
                candidate.answer = answer

    def close(self) -> None:
        """Ends the process; evaluations that wait for it are interrupted."""
        self._process.close()
