"""Surrogate search: models of what costs a training or a measurement, and the candidate of largest expected gain.

Each quantity that is not known from the architecture's text (the error, a measured latency, the excess over a limit of
one) has a Gaussian process of its own on its logarithm. Proposed is what adds most, in expectation, to the hypervolume
of the feasible front, times the probability that its measured costs are within the budgets; exact costs that are not
rule a candidate out. All that is known is read from the trials, so that a resumed search goes on as it would have.

A candidate whose training was stopped is proposed again, to go on, where that promises more for each epoch that is left
than a new one does for each of all its epochs (in the spirit of Swersky et al. 2014, "Freeze-thaw Bayesian
optimization", which chooses by information instead).
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtr
from threadpoolctl import ThreadpoolController

from nas.problem.pareto import ranks
from nas.problem.problem import Problem
from nas.strategies.strategy import ProposingSampler
from nas.strategies.surrogate.acquisition import expected_gain
from nas.strategies.surrogate.features import EXACT, Member, members_of
from nas.strategies.surrogate.gaussian_process import GaussianProcess, Hyperparameters, fit
from nas.strategies.surrogate.learning_curves import final_errors
from nas.trials.memo import OfFinished
from nas.trials.record import CANDIDATE, LOST
from search_spaces.search_space import Assignment

Matrix = NDArray[np.float64]

STARTUP = 8  # random candidates to begin with
LISTED = 10_000  # combinations of choices up to which all members are candidates
DRAWN = 1000  # random candidates of larger spaces
BRED = 150  # candidates made of the best ones, for each trial
FITTED = 200  # points that a model takes
PARENTS = 20  # of those
EVERY = 40  # points up to which hyperparameters are fitted anew for every trial
REFIT = 1.06  # and later each time that the points have grown by so much
LEAST_ERROR = 1e-3
LEAST_DEVIATION = 1e-3  # of the logarithm of a measured cost, relative to its limit


@dataclass(frozen=True)
class Told:
    """What a trial has told that came to its end; nothing of it changes any more.

    Attributes:
        curve: the errors by the epochs of its training, empty without one.
        costs: what is minimised beside the error, NaN where it is not known.
        ratios: for each measured limit, what was measured relative to it.
        feasible: whether all constraints are met.
    """

    curve: Mapping[int, float]
    costs: tuple[float, ...]
    ratios: Mapping[str, float]
    feasible: bool


@dataclass(frozen=True)
class Records:
    """What is known of members that were evaluated; what was not told is NaN.

    Attributes:
        members: the architectures `[N]`.
        objectives: error, expected where the training was stopped, and what is minimised beside it `[N, K]`.
        deviations: the standard deviation of the logarithm of the error, 0 where the training came to its end `[N]`.
        past: the error, as it was expected when the hyperparameters of its model were fitted `[N]`.
        left: the epochs that are left of a training that was stopped `[N]`.
        ratios: for each measured limit, what was measured relative to it `[R, N]`.
        feasible: whether all constraints are met `[N]`.
    """

    members: Sequence[Member]
    objectives: Matrix
    deviations: Matrix
    past: Matrix
    left: NDArray[np.int64]
    ratios: Sequence[Matrix]
    feasible: NDArray[np.bool_]


class SurrogateSampler(ProposingSampler):
    """An Optuna sampler for a problem; see the module's text."""

    def __init__(self, seed: int, problem: Problem) -> None:
        """Takes a seed and what is searched for."""
        super().__init__(seed, problem)
        self._exact = {name: float(limit.value) for name, limit in problem.budgets.limits.items() if name in EXACT}
        self._members = members_of(problem.space, "memory" in self._exact)
        self._told = _told_by(problem)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
                        ) -> dict[str, Any]:
        """Returns the proposal for a trial."""
        trials = [other for other in study.get_trials(deepcopy=False)
                  if other.number != trial.number and LOST not in other.user_attrs]
        met = [(other, member) for other in trials if (member := self._member(other)) is not None]
        latest = {member.id: other for other, member in met}
        complete = [(other, member) for other, member in met if other.state == TrialState.COMPLETE]
        told = {member.id: (other, member) for other, member in complete}
        limit = _milestone(len(trials))
        end = trials[limit].number if limit < len(trials) else np.inf
        records = self._records(list(told.values()), {
            member.id: other for other, member in complete if other.number < end})
        new = self._within([member for member in self._candidates(records) if member.id not in latest])
        if new and len(records.members) < STARTUP:
            return new[self._generator.integers(len(new))].assignment
        stopped = [index for index in np.flatnonzero(records.left).tolist()
                   if told[(member := records.members[index]).id][0] is latest[member.id]]
        candidates = [*new, *(records.members[index] for index in stopped)]
        if not candidates:
            return self._problem.space.sample(self._generator)
        running = [member for other, member in met if not other.state.is_finished()]
        left = np.concatenate([np.full(len(new), self._problem.epochs), records.left[stopped]])
        with _one_thread():
            best = int(np.argmax(self._gains(candidates, records, running) / left))
        return candidates[best].assignment

    def _member(self, trial: FrozenTrial) -> Member | None:
        """Returns what a trial has evaluated, or is evaluating, if it is of the space."""
        if CANDIDATE in trial.user_attrs:
            return self._members.of_text(trial.user_attrs[CANDIDATE]["architecture"])
        if trial.params.keys() != self._problem.space.parameters.keys():
            return None
        return self._members.of(trial.params)

    def _records(self, known: Sequence[tuple[FrozenTrial, Member]], before: Mapping[str, FrozenTrial]) -> Records:
        """Returns what trials have told of members, now and, by the ids of these, before."""
        epochs = self._problem.epochs
        members, told = [member for _, member in known], [self._told(trial) for trial, _ in known]
        curves = [own.curve for own in told]
        past_curves = [self._told(before[member.id]).curve if member.id in before else {} for member in members]
        errors, deviations = final_errors(curves, epochs)
        costs = [[member.costs.get(name, own.costs[index]) for member, own in zip(members, told, strict=True)]
                 for index, name in enumerate(self._problem.objectives[1:])]
        measured = sorted({name for own in told for name in own.ratios})
        return Records(members, np.array([errors, *costs], float).T, deviations, final_errors(past_curves, epochs)[0],
                       np.array([epochs - max(curve, default=epochs) for curve in curves], np.int64),
                       [np.array([own.ratios.get(name, np.nan) for own in told]) for name in measured],
                       np.array([own.feasible for own in told], bool))

    def _candidates(self, records: Records) -> list[Member]:
        """Returns all members of a small space; of a larger one random ones and some that are made of the best."""
        listed = self._members.listed(LISTED)
        if listed is not None:
            return listed
        drawn, parents = self._members.drawn(DRAWN), _best(records, PARENTS)
        if not parents:
            return drawn
        bred = [self._bred([parent.assignment for parent in parents]) for _ in range(BRED)]
        return list({member.id: member for member in (*drawn, *self._members.distinct(bred))}.values())

    def _bred(self, parents: Sequence[Assignment]) -> Assignment:
        """Returns a cross of two parents, or one of them, with one or two choices changed."""
        generator, parameters = self._generator, self._problem.space.parameters
        first, second = (parents[int(generator.integers(len(parents)))] for _ in range(2))
        child = {name: (first, second)[generator.integers(2)][name] for name in parameters}
        active = list(self._problem.space.active(child)) or list(parameters)
        for _ in range(generator.integers(1, 3)):
            name = active[generator.integers(len(active))]
            child[name] = parameters[name][generator.integers(len(parameters[name]))]
        return child

    def _within(self, candidates: list[Member]) -> list[Member]:
        """Returns the candidates whose exact costs are within the budgets; where none is, those of least excess."""
        if not self._exact or not candidates:
            return candidates
        excess = [max(member.costs[name] / limit for name, limit in self._exact.items()) for member in candidates]
        most = max(1.0, min(excess))
        return [member for member, own in zip(candidates, excess, strict=True) if own <= most]

    def _gains(self, candidates: Sequence[Member], records: Records, running: Sequence[Member]) -> Matrix:
        """Returns what each candidate is expected to add, times the probability that it is within the budgets."""
        queries, objectives = [*candidates, *running], records.objectives
        points = self._members.features(queries)
        predicted = [self._known_or_predicted(name, records, column, queries, points)
                     for name, column in zip(self._problem.objectives, objectives.T, strict=True)]
        means, deviations = (np.stack(each, axis=1) for each in zip(*predicted, strict=True))
        known = ~np.isnan(objectives).any(axis=1) & records.feasible
        front = objectives[known & (records.left == 0)]
        front = np.concatenate([front, np.exp(means[len(candidates):])])  # as if what runs came to what is expected
        gains = np.ones(len(candidates))
        if known.any() or running:
            reference = np.array([self._worst(name, column, queries)
                                  for name, column in zip(self._problem.objectives, objectives.T, strict=True)])
            gains = expected_gain(means[:len(candidates)], deviations[:len(candidates)], front, reference)
        for ratios in records.ratios:
            mean, deviation = self._predicted(records, ratios, points)
            gains *= ndtr(-mean / np.maximum(deviation, LEAST_DEVIATION))[:len(candidates)]
        return gains

    def _known_or_predicted(self, name: str, records: Records, values: Matrix, queries: Sequence[Member],
                            points: Matrix) -> tuple[Matrix, Matrix]:
        if name in EXACT:
            return np.log([member.costs[name] for member in queries]), np.zeros(len(queries))
        if name != "accuracy":
            return self._predicted(records, values, points)
        return self._predicted(records, values, points, records.past, records.deviations)

    def _worst(self, name: str, values: Matrix, queries: Sequence[Member]) -> float:
        """Returns the corner of the hypervolume: the largest exact cost, or the largest value that was seen."""
        if name in EXACT:
            return 1.001 * max(member.costs[name] for member in queries)
        return float(np.nanmax(values)) if not np.isnan(values).all() else 1.0

    def _predicted(self, records: Records, values: Matrix, queries: Matrix, past: Matrix | None = None,
                   deviations: Matrix | None = None) -> tuple[Matrix, Matrix]:
        """Returns the means and deviations of the logarithm of a quantity that is NaN where it is not known.

        Args:
            records: what is known.
            values: the quantity.
            queries: the features of what it is asked for.
            past: the values of which the hyperparameters are.
            deviations: how uncertain the logarithms of the values are.
        """
        known = np.flatnonzero(~np.isnan(values))
        if len(known) < 2:
            return np.zeros(len(queries)), np.ones(len(queries))
        if past is None or np.isnan(past).all():
            past = np.where(np.arange(len(values)) <= known[_milestone(len(known)) - 1], values, np.nan)
        learned = np.flatnonzero(~np.isnan(past))[-FITTED:]
        known = known[_informative(values[known])]
        points, learned_from = (self._members.features([records.members[index] for index in indices])
                                for indices in (known, learned))
        hyperparameters = _fitted(*map(_frozen, (learned_from, np.log(past[learned]), self._members.groups)))
        process = GaussianProcess(points, np.log(values[known]), self._members.groups, hyperparameters,
                                  0.0 if deviations is None else deviations[known])
        return process.predict(queries)


@lru_cache(maxsize=4)
def _told_by(problem: Problem) -> OfFinished[Told]:
    """Returns what tells of the complete trials of a problem; kept, since a sampler lives for one trial only."""
    def told(trial: FrozenTrial) -> Told:
        known, constraints = trial.user_attrs.get(CANDIDATE, {}), trial.constraints
        assert trial.values is not None
        accuracy, *costs = trial.values
        feasible = all(violation <= 0 for violation in constraints.values())
        curve = {epochs: max(1 - value, LEAST_ERROR) for epochs, value in known.get("accuracies", ())}
        if known.get("trained", feasible):
            curve[problem.epochs] = max(1 - accuracy, LEAST_ERROR)
        return Told(curve, tuple(cost or np.nan for cost in costs),
                    {name: 1 + violation for name, violation in constraints.items()
                     if violation and name not in EXACT}, feasible)

    return OfFinished(told)


def _one_thread() -> AbstractContextManager[Any]:
    """Returns a context without threads in linear algebra: on matrices of this size they wait for one another."""
    return _libraries().limit(limits=1, user_api="blas")


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _best(records: Records, count: int) -> list[Member]:
    """Returns the best feasible members by the ranks of their fronts."""
    feasible = np.flatnonzero(records.feasible & ~np.isnan(records.objectives).any(axis=1))
    order = np.argsort(ranks(records.objectives[feasible]), kind="stable")
    return [records.members[index] for index in feasible[order[:count]]]


def _milestone(count: int) -> int:
    """Returns of how many points the hyperparameters are: of all at first, later anew after each growth by `REFIT`."""
    if count <= EVERY:
        return count
    return int(EVERY * REFIT ** np.floor(np.log(count / EVERY) / np.log(REFIT)))


def _informative(values: Matrix) -> NDArray[np.int64]:
    """Returns which points a model takes: all, or the best half of `FITTED` and the latest others."""
    if len(values) <= FITTED:
        return np.arange(len(values))
    best = np.argsort(values, kind="stable")[:FITTED // 2]
    others = np.setdiff1d(np.arange(len(values)), best)
    return np.sort(np.concatenate([best, others[-(FITTED - len(best)):]]))


def _frozen(array: Matrix | NDArray[np.int64]) -> tuple[bytes, tuple[int, ...], str]:
    return array.tobytes(), array.shape, array.dtype.str


@lru_cache(maxsize=64)
def _fitted(*frozen: tuple[bytes, tuple[int, ...], str]) -> Hyperparameters:
    """Returns the hyperparameters of points, values and groups; kept, since a sampler lives for one trial only."""
    points, values, groups = (np.frombuffer(data, dtype).reshape(shape) for data, shape, dtype in frozen)
    return fit(points, values, groups)
