"""Surrogate search: models of the results of training and timing, and the candidate of largest expected gain.

Each quantity that is not known from the architecture's text (the loss, a measured latency, the excess over a limit of
one) has a Gaussian process of its own on its logarithm, which may follow a trend in the logarithm of the multiply-adds:
among networks of one latency these tell as much of the loss as a brief training, and a latency is about a power of
them. Proposed is what adds most, in expectation, to the hypervolume of the feasible front, times the probability that
its measured costs are within the budgets; exact costs that are not rule a candidate out.

A candidate whose training was stopped is proposed again, to continue, where that promises more for each epoch that is
left than a new one does for each of all its epochs (in the spirit of Swersky et al. 2014, "Freeze-thaw Bayesian
optimization", which chooses by information instead).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from threadpoolctl import ThreadpoolController

from nas.problem.candidate import Candidate, Outcome
from nas.problem.problem import Problem
from nas.strategies.surrogate.acquisition import expected_gain
from nas.strategies.surrogate.features import EXACT, Member, Members
from nas.strategies.surrogate.gaussian_process import GaussianProcess, Hyperparameters, fit
from nas.strategies.surrogate.observations import Observations, Told, observed, told_by
from search_spaces.search_space import Assignment

Matrix = NDArray[np.float64]

STARTUP = 8  # random candidates to begin with
DRAWN = 1000  # random candidates of spaces that are too large to be listed
BRED = 150  # candidates made of the best ones, for each trial
FITTED = 200  # points that a model takes
PARENTS = 20  # of those
REJECTED_IN_TURN = 20  # proposals over a measured budget, for the winner or for the front
EVERY = 40  # points up to which hyperparameters are fitted anew for every trial
REFIT = 1.06  # and later each time that the points have grown by so much
LEAST_DEVIATION = 1e-3  # of the logarithm of a measured cost, relative to its limit


@dataclass(frozen=True, eq=False)
class Fit:
    """The hyperparameters of a quantity, and the points `[N, D]` and values `[N]` that they were fitted to."""

    points: Matrix
    values: Matrix
    hyperparameters: Hyperparameters


@dataclass(frozen=True, eq=False)
class Met:
    """A candidate with its member and its observation, None until it is complete."""

    candidate: Candidate
    member: Member
    told: Told | None


class Surrogate:
    """The strategy of a problem; see the module's text. Its state follows from the history and saves time."""

    continues_stopped = True

    def __init__(self, problem: Problem) -> None:
        """Takes the problem."""
        self._problem = problem
        self._limits = {name: float(limit.value) for name, limit in problem.budgets.limits.items()}
        self._exact = {name: limit for name, limit in self._limits.items() if name in EXACT}
        self._members = Members(problem.space, "memory" in self._exact)
        self._met: dict[int, Met] = {}  # by the number of the trial
        self._fits: dict[str, Fit] = {}  # the last one of each quantity

    def propose(self, history: Sequence[Candidate], running: Sequence[Candidate], generator: np.random.Generator
                ) -> Assignment:
        """Returns the member of largest expected gain; a random one at first."""
        known = sorted([*history, *running], key=attrgetter("trial"))
        met = [found for candidate in known if (found := self._met_as(candidate)) is not None]
        latest = {found.member.id: found.candidate for found in met}
        complete = [found for found in met if found.told is not None]
        last = {found.member.id: found for found in complete}
        fitted = known[_milestone(len(known)) - 1].trial if known else 0
        past = {found.member.id: found.told for found in complete if found.candidate.trial <= fitted}
        observations = observed([found.member for found in last.values()],
                                [found.told for found in last.values() if found.told is not None],
                                [past.get(key) for key in last], self._problem)
        new = self._within([member for member in self._candidates(observations, generator) if member.id not in latest])
        if new and len(last) < STARTUP:
            return new[generator.integers(len(new))].assignment
        stopped = [index for index in np.flatnonzero(observations.left).tolist()
                   if last[(member := observations.members[index]).id].candidate is latest[member.id]]
        candidates = [*new, *(observations.members[index] for index in stopped)]
        if not candidates:
            return self._problem.space.sample(generator)
        pending = [found.member for found in met if found.candidate.state == "running"]
        left = np.concatenate([np.full(len(new), self._problem.epochs), observations.left[stopped]])
        aims = self._aims([found.candidate for found in met])
        with self._one_thread():
            best = int(np.argmax(self._gains(candidates, observations, pending, aims) / left))
        return candidates[best].assignment

    def _aims(self, known: Sequence[Candidate]) -> list[int]:
        """Returns the objectives that a proposal is for: under budgets, every other training is for the winner.

        The hypervolume of a front grows most at its cheap end, far from the budgets. Rejected proposals cost no
        training and do not count; but after each `REJECTED_IN_TURN` of them the turn passes.
        """
        rejected = [candidate.outcome is Outcome.REJECTED for candidate in known]
        turn = rejected.count(False) + rejected.count(True) // REJECTED_IN_TURN
        objectives = self._problem.objectives
        return [0] if self._problem.budgets.limits and turn % 2 else list(range(len(objectives)))

    def _met_as(self, candidate: Candidate) -> Met | None:
        """Returns a candidate with the member that it is, or is going to be; None where the space lacks that."""
        known = self._met.get(candidate.trial)
        if known is None or known.candidate is not candidate:
            member = (self._members.of_text(candidate.architecture) if candidate.architecture
                      else self._members.of(candidate.assignment))
            if member is None:
                return None
            told = told_by(candidate, self._problem) if candidate.state == "complete" else None
            known = self._met[candidate.trial] = Met(candidate, member, told)
        return known

    def _candidates(self, observations: Observations, generator: np.random.Generator) -> list[Member]:
        """Returns all members of a small space; of a larger one random ones and some that are made of the best."""
        if self._members.listed is not None:
            return self._members.listed
        drawn, parents = self._members.drawn(DRAWN), observations.best(PARENTS)
        if not parents:
            return drawn
        bred = [self._bred([parent.assignment for parent in parents], generator) for _ in range(BRED)]
        return list({member.id: member for member in (*drawn, *self._members.distinct(bred))}.values())

    def _bred(self, parents: Sequence[Assignment], generator: np.random.Generator) -> Assignment:
        """Returns a cross of two parents, or one of them, with one or two choices changed."""
        parameters = self._problem.space.parameters
        first, second = (parents[int(generator.integers(len(parents)))] for _ in range(2))
        child = {name: (first, second)[taken][name]
                 for name, taken in zip(parameters, generator.integers(2, size=len(parameters)).tolist(), strict=True)}
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

    def _gains(self, candidates: Sequence[Member], observations: Observations, running: Sequence[Member],
               aims: Sequence[int]) -> Matrix:
        """Returns the expected gain of each candidate, times the probability that it is within the budgets."""
        queries, objectives = [*candidates, *running], observations.objectives[:, aims]
        names = [self._problem.objectives[aim] for aim in aims]
        points = self._members.features(queries)
        predicted = [self._known_or_predicted(name, observations, column, queries, points)
                     for name, column in zip(names, objectives.T, strict=True)]
        means, deviations = (np.stack(each, axis=1) for each in zip(*predicted, strict=True))
        known = ~np.isnan(objectives).any(axis=1) & observations.feasible
        front = objectives[known & (observations.left == 0)]
        front = np.concatenate([front, np.exp(means[len(candidates):])])  # as if what runs came to what is expected
        gains = np.ones(len(candidates))
        if known.any() or running:
            reference = np.array([min(_worst(name, column, queries), self._limits.get(name, np.inf))
                                  for name, column in zip(names, objectives.T, strict=True)])
            gains = expected_gain(means[:len(candidates)], deviations[:len(candidates)], front, reference)
        for name, ratios in observations.ratios.items():
            mean, deviation = self._predicted(f"limit of {name}", observations.members, ratios, points)
            gains *= ndtr(-mean / np.maximum(deviation, LEAST_DEVIATION))[:len(candidates)]
        return gains

    def _known_or_predicted(self, name: str, observations: Observations, values: Matrix, queries: Sequence[Member],
                            points: Matrix) -> tuple[Matrix, Matrix]:
        if name in EXACT:
            return np.log([member.costs[name] for member in queries]), np.zeros(len(queries))
        return self._predicted(name, observations.members, values, points,
                               observations if name == "accuracy" else None)

    def _predicted(self, name: str, members: Sequence[Member], values: Matrix, queries: Matrix,
                   of_losses: Observations | None = None) -> tuple[Matrix, Matrix]:
        """Returns the means and deviations of the logarithm of a quantity that is NaN where it is not known.

        Args:
            name: tells the quantity from the others.
            members: the members that it is known of `[N]`.
            values: the quantity `[N]`.
            queries: the features of what it is asked for `[M, D]`.
            of_losses: what else is known of it if it is the loss: how sure it is, and what it was when hyperparameters
                were fitted. Other quantities are sure.
        """
        known = np.flatnonzero(~np.isnan(values))
        if len(known) < 2:
            return np.zeros(len(queries)), np.ones(len(queries))
        sure = np.zeros(len(values))
        past, deviations, past_deviations = ((of_losses.past, of_losses.deviations, of_losses.past_deviations)
                                             if of_losses else (np.full(len(values), np.nan), sure, sure))
        if np.isnan(past).all():
            past = np.where(np.arange(len(values)) <= known[_milestone(len(known)) - 1], values, np.nan)
            past_deviations = sure
        learned = np.flatnonzero(~np.isnan(past))[-FITTED:]
        known = known[_informative(values[known])]
        points, learned_from = (self._members.features([members[index] for index in indices])
                                for indices in (known, learned))
        hyperparameters = self._fitted(name, learned_from, np.log(past[learned]), past_deviations[learned])
        return GaussianProcess(points, np.log(values[known]), self._members.groups, hyperparameters,
                               deviations[known], self._members.macs).predict(queries)

    def _fitted(self, name: str, points: Matrix, values: Matrix, deviations: Matrix) -> Hyperparameters:
        """Returns the hyperparameters of a quantity; fitted only where points or values are others than before."""
        last = self._fits.get(name)
        if last is None or not (np.array_equal(last.points, points) and np.array_equal(last.values, values)):
            found = fit(points, values, self._members.groups, self._members.macs, deviations)
            last = self._fits[name] = Fit(points, values, found)
        return last.hyperparameters

    def _one_thread(self) -> AbstractContextManager[Any]:
        """Returns a context without threads in linear algebra: on matrices of this size they wait for one another."""
        return self._libraries.limit(limits=1, user_api="blas")

    @cached_property
    def _libraries(self) -> ThreadpoolController:
        return ThreadpoolController()


def _worst(name: str, values: Matrix, queries: Sequence[Member]) -> float:
    """Returns the corner of the hypervolume: the largest exact cost, or the largest value that was seen."""
    if name in EXACT:
        return 1.001 * max(member.costs[name] for member in queries)
    return float(np.nanmax(values)) if not np.isnan(values).all() else 1.0


def _milestone(count: int) -> int:
    """Returns the number of points that hyperparameters are of: all at first, later anew at each growth by `REFIT`."""
    if count <= EVERY:
        return count
    return int(EVERY * REFIT ** np.floor(np.log(count / EVERY) / np.log(REFIT)))


def _informative(values: Matrix) -> NDArray[np.int64]:
    """Returns the indices of points that a model learns from: all, or the best half of `FITTED` and the latest."""
    if len(values) <= FITTED:
        return np.arange(len(values))
    best = np.argsort(values, kind="stable")[:FITTED // 2]
    others = np.setdiff1d(np.arange(len(values)), best)
    return np.sort(np.concatenate([best, others[-(FITTED - len(best)):]]))
