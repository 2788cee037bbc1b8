"""Observations: the results of evaluated candidates, as the models take them.

The loss that models learn is the error on the validation images or, where all whole trainings have one, the log loss of
the same images: within a latency budget it tells more of a whole training than the error does (docs/spaces.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.problem.budgets import is_feasible
from nas.problem.candidate import OBJECTIVES, Candidate
from nas.problem.pareto import ranks
from nas.problem.problem import Problem
from nas.strategies.surrogate.features import EXACT, Member
from nas.strategies.surrogate.learning_curves import final_errors

Matrix = NDArray[np.float64]

LEAST_ERROR = 1e-3


@dataclass(frozen=True)
class Told:
    """The observation of a complete candidate.

    Attributes:
        curve: the errors by the epochs of its training, empty without one.
        log_loss: at the end of a whole training, where it is known.
        images: that the errors are counted on, 0 where they are known exactly.
        costs: what is minimised beside the loss, NaN where it is not known.
        ratios: for each measured limit, what was measured relative to it.
        feasible: whether all constraints are met.
    """

    curve: Mapping[int, float]
    log_loss: float | None
    images: int
    costs: tuple[float, ...]
    ratios: Mapping[str, float]
    feasible: bool


@dataclass(frozen=True)
class Observations:
    """The knowledge of evaluated members; values that are not known are NaN.

    Attributes:
        members: the architectures `[N]`.
        objectives: loss, expected where the training was stopped, and what is minimised beside it `[N, K]`.
        deviations: the standard deviation of the logarithm of the loss, by chance among the images and where the
            training was stopped `[N]`.
        past: the loss, as it was expected when the hyperparameters of its model were fitted `[N]`.
        past_deviations: the standard deviation of its logarithm, by chance among the images `[N]`.
        left: the epochs that are left of a training that was stopped `[N]`.
        ratios: by the name of each measured limit, what was measured relative to it `[N]`.
        feasible: whether all constraints are met `[N]`.
    """

    members: Sequence[Member]
    objectives: Matrix
    deviations: Matrix
    past: Matrix
    past_deviations: Matrix
    left: NDArray[np.int64]
    ratios: Mapping[str, Matrix]
    feasible: NDArray[np.bool_]

    def best(self, count: int) -> list[Member]:
        """Returns the best feasible members by the ranks of their fronts."""
        feasible = np.flatnonzero(self.feasible & ~np.isnan(self.objectives).any(axis=1))
        order = np.argsort(ranks(self.objectives[feasible], count), kind="stable")
        return [self.members[index] for index in feasible[order[:count]]]


def told_by(candidate: Candidate, problem: Problem) -> Told:
    """Returns the observation of a complete candidate."""
    curve = {epochs: max(1 - accuracy, LEAST_ERROR) for epochs, accuracy in candidate.accuracies}
    if candidate.trained and candidate.accuracy is not None:
        curve[problem.epochs] = max(1 - candidate.accuracy, LEAST_ERROR)
    costs = (OBJECTIVES[name](candidate) for name in problem.objectives[1:])
    return Told(curve, candidate.log_loss if candidate.trained else None, candidate.total,
                tuple(cost if 0 < cost < np.inf else np.nan for cost in costs),
                {name: 1 + violation for name, violation in candidate.violations.items()
                 if violation and name not in EXACT}, is_feasible(candidate.violations))


def observed(members: Sequence[Member], told: Sequence[Told], past: Sequence[Told | None], problem: Problem
             ) -> Observations:
    """Returns the observations of members.

    Args:
        members: the members that were evaluated `[N]`.
        told: what their last candidates have told `[N]`.
        past: what was told of them when hyperparameters were fitted, None of a member that was not evaluated yet `[N]`.
        problem: what is searched for.
    """
    epochs = problem.epochs
    curves, past_curves = ([own.curve if own else {} for own in each] for each in (told, past))
    (errors, deviations), (past_errors, _) = (final_errors(each, epochs) for each in (curves, past_curves))
    images = np.array([own.images or np.inf for own in told], float)
    chance, past_chance = (by_chance(each, images) for each in (errors, past_errors))
    losses, past_losses = errors, past_errors
    before = [own for own in past if own]
    if _tell_log_losses(told, epochs) and (not before or _tell_log_losses(before, epochs)):
        (losses, deviations), (past_losses, _) = (
            final_errors([_losses(own, epochs) for own in each], epochs) for each in (told, past))
    costs = [[member.costs.get(name, own.costs[index]) for member, own in zip(members, told, strict=True)]
             for index, name in enumerate(problem.objectives[1:])]
    measured = sorted({name for own in told for name in own.ratios})
    return Observations(
        members, np.array([losses, *costs], float).T, np.hypot(deviations, chance), past_losses, past_chance,
        np.array([epochs - max(curve, default=epochs) for curve in curves], np.int64),
        {name: np.array([own.ratios.get(name, np.nan) for own in told]) for name in measured},
        np.array([own.feasible for own in told], bool))


def _tell_log_losses(told: Sequence[Told], end: int) -> bool:
    """Tells whether log losses are known of all whole trainings, and to be expected of all that were stopped.

    What has stopped at a rung is comparable with them by those that were whole after that rung.
    """
    whole = [own for own in told if end in own.curve]
    rungs = {max(own.curve) for own in told if own.curve and end not in own.curve}
    return bool(whole) and all(own.log_loss is not None for own in whole) and all(
        any(rung in own.curve for own in whole) for rung in rungs)


def _losses(told: Told | None, end: int) -> Mapping[int, float]:
    """Returns the losses of a training by epochs: errors on the way, the log loss at its end.

    What is expected of a stopped one is learned from those that have both.
    """
    if told and told.log_loss is not None:
        return {**told.curve, end: max(told.log_loss, LEAST_ERROR)}
    return told.curve if told else {}


def by_chance(errors: Matrix, images: Matrix | float) -> Matrix:
    """Returns the standard deviations of the logarithms of shares of images that were drawn at random.

    They are taken for the log losses of as many images, too.
    """
    return np.sqrt(np.maximum(1 - errors, 0) / (errors * images))  # an error that is expected may be above 1
