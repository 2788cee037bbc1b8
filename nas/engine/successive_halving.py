"""Asynchronous successive halving for several objectives: which candidates continue beyond a rung.

This is early stopping (Li et al. 2020, "A system for massively parallel hyperparameter tuning", algorithm 2):
a candidate that reaches a rung continues if it is among the best third of those that have reached it, and stops if not.
As others arrive it may come to be among them; then it is promoted, which is a new trial that continues its training.
What is best among several objectives is told by non-dominated rank, and within a rank by hypervolume contribution.

With brackets, a share of the candidates is first judged at a later rung, among themselves (Li et al. 2018,
"Hyperband", algorithm 1), in case accuracies after few epochs say little.

A strategy that weighs the rest of a training against a new one says itself which candidates continue, by proposing
stopped ones again; then all stop at each rung, but for the first. A network made by hand that is the most accurate so
far of its kind goes on in any case.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.problem.budgets import is_feasible
from nas.problem.candidate import OBJECTIVES, Candidate, Outcome
from nas.problem.pareto import hypervolume_contributions, ranks
from search_spaces.errors import require
from search_spaces.numbers import is_whole

REDUCTION = 3  # one in so many continues
FEWEST_STEPS = 75  # of a training up to its first rung, by default: with fewer than some 80 none was tried


@dataclass(frozen=True)
class Rungs:
    """The rungs at which candidates are compared.

    Attributes:
        epochs: the epochs of each rung, increasing; the last is the whole training.
        brackets: how many of the rungs candidates are first judged at.
        objectives: names in `OBJECTIVES`, accuracy first.
        reference: the point that hypervolumes end at; None for the largest value that was found.
        by_strategy: whether the strategy says which candidates continue.
    """

    epochs: tuple[int, ...]
    brackets: int = 1
    objectives: tuple[str, ...] = ("accuracy", "latency")
    reference: tuple[float | None, ...] = (0.0, None)
    by_strategy: bool = False

    def __post_init__(self) -> None:
        require(self.epochs[:1] > (0,) and all(np.diff(self.epochs) > 0), "rungs are increasing numbers of epochs, "
                f"shorter than the training, but got {','.join(map(str, self.epochs[:-1]))} of {self.epochs[-1]}")
        require(1 <= self.brackets <= len(self.epochs), f"`brackets` must lie between 1 and {len(self.epochs)}, the "
                f"number of rungs with the whole training, but got {self.brackets}")

    def next_bracket(self, candidates: Iterable[Candidate]) -> int:
        """Returns the bracket of a new candidate, such that each has its share in Hyperband."""
        last = len(self.epochs) - 1
        shares = [REDUCTION ** (last - bracket) / (last - bracket + 1) for bracket in range(self.brackets)]
        have = Counter(candidate.bracket for candidate in latest(candidates) if candidate.accuracies)
        return min(range(self.brackets), key=lambda bracket: (have[bracket] + 1) / shares[bracket])

    def continues(self, candidates: Iterable[Candidate], trial: int) -> bool:
        """Returns whether the candidate of a trial, which has just reached a rung, continues."""
        known = list(candidates)
        own = next(candidate for candidate in known if candidate.trial == trial)
        if own.epochs < self.epochs[own.bracket]:
            return True
        if own.by_hand and _leads_by_hand(own, known):
            return True
        if self.by_strategy and (own.by_hand or any(candidate.trained for candidate in known)):
            return False
        return own in self._best(known, own.epochs, own.bracket)

    def promotable(self, candidates: Iterable[Candidate], taken: Collection[int | None] = ()) -> Candidate | None:
        """Returns a stopped candidate that is to continue, of the highest rung; None if there is none.

        Args:
            candidates: all of them, in the order of their trials.
            taken: trials that others are continuing, or that are not to be continued.
        """
        if len(self.epochs) == 1:
            return None
        known = list(candidates)
        waiting = {candidate.trial for candidate in stopped(known)} - set(taken)
        for epochs in reversed(self.epochs[:-1]):
            for bracket in range(self.brackets):
                for candidate in self._best(known, epochs, bracket):
                    if candidate.trial in waiting and candidate.epochs == epochs:
                        return candidate
        return None

    def _best(self, candidates: Iterable[Candidate], epochs: int, bracket: int) -> list[Candidate]:
        """Returns the best third of the candidates that reached a rung, one of fewer than six, the best first."""
        arrived = [candidate for candidate in latest(candidates) if epochs in dict(candidate.accuracies)
                   and candidate.bracket == bracket and candidate.state != "failed"
                   and is_feasible(candidate.violations)]
        if not arrived:
            return []
        points = [[-dict(candidate.accuracies)[epochs], *(OBJECTIVES[name](candidate) for name in self.objectives[1:])]
                  for candidate in arrived]
        order = best_first(points, self.reference)
        return [arrived[index] for index in order[:max(1, len(arrived) // REDUCTION)]]


def _leads_by_hand(own: Candidate, known: Iterable[Candidate]) -> bool:
    """Tells whether a network made by hand is the most accurate at its rung of all that were and have not failed.

    A winner is compared with them, so the best of them is trained to the end, whatever a strategy says.
    """
    reached = (dict(one.accuracies).get(own.epochs, 0.0) for one in known
               if one.by_hand and one.state != "failed" and is_feasible(one.violations))
    return dict(own.accuracies)[own.epochs] >= max(reached, default=0.0)


def default_rung(epochs: int) -> int:
    """Returns the epochs after which candidates are compared once: a ninth of the training.

    With a learning rate that rises first and then falls, accuracies in between say no more than this early one, while
    a second rung stops many that should go on: `experiments/benchmarks/early_stopping.py`.

    >>> default_rung(9), default_rung(20), default_rung(3)
    (1, 2, 1)
    """
    return max(1, epochs // 9)


def longer(epochs: int) -> int:
    """Returns the epochs of a whole training that the best candidates get, from those of one that all would get.

    >>> longer(5), longer(10), longer(3)
    (9, 18, 5)
    """
    return epochs * 9 // 5


def parse_rungs(text: str) -> tuple[int, ...]:
    """Returns numbers of epochs that are separated by commas.

    >>> parse_rungs("1,3")
    (1, 3)
    """
    numbers = text.split(",")
    require(all(map(is_whole, numbers)), f"rungs are written like 1,3, but got '{text}'")
    return tuple(map(int, numbers))


def best_first(points: ArrayLike, reference: Sequence[float | None]) -> NDArray[np.int64]:
    """Returns the order `[N]` of points `[N, objectives]`: by non-dominated rank, then by hypervolume contribution.

    Contributions are those within a rank; of equal ones, the earlier point is first. Where the reference is None it is
    the largest value among the points.
    """
    values = np.asarray(points, dtype=float)
    limit = [float(column.max()) if value is None else value for column, value in zip(values.T, reference, strict=True)]
    rank, contribution = ranks(values), np.zeros(len(values))
    for own in set(rank.tolist()):
        contribution[rank == own] = hypervolume_contributions(values[rank == own], limit)
    return np.lexsort((np.arange(len(values)), -contribution, rank))


def stopped(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Returns the candidates whose training was stopped and has not been continued."""
    return [candidate for candidate in latest(candidates)
            if candidate.outcome is Outcome.STOPPED]


def latest(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Returns the last candidate of each architecture; duplicates do not count."""
    return list({candidate.architecture: candidate for candidate in candidates
                 if candidate.duplicate_of is None}.values())
