"""Strategies that change one choice of an earlier candidate: regularised evolution and local search.

They differ in whose choice is changed. Choices that do not matter are never changed, and nothing is proposed twice as
long as there is something else nearby. All that is known is read from the trials.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.problem.pareto import ranks
from nas.problem.problem import Problem
from nas.strategies.strategy import ProposingSampler
from search_spaces.search_space import Assignment, SearchSpace

STARTUP = 10  # random candidates to begin with
POPULATION = 30  # the latest candidates that may have offspring in evolution
TOURNAMENT = 8  # drawn of those, the best of which has
ATTEMPTS = 30

Parents = Callable[[np.random.Generator, Sequence[Assignment], Sequence[int]], Iterator[Assignment]]


class NeighbourhoodSampler(ProposingSampler):
    """Proposes a random unseen neighbour of the first parent that has one."""

    def __init__(self, seed: int, problem: Problem, parents: Parents) -> None:
        """Takes a seed, what is searched for, and what yields parents of past assignments and their ranks."""
        super().__init__(seed, problem)
        self._space = problem.space
        self._parents = parents

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
                        ) -> dict[str, Any]:
        """Returns the proposal for a trial."""
        tried = self._tried(study, trial)
        seen = {self._key(other.params) for other in tried}
        past = [other for other in tried if other.state == TrialState.COMPLETE]
        if len(past) >= STARTUP:
            order = _ranks(past, study.directions)
            for parent in self._parents(self._generator, [other.params for other in past], order):
                near = [other for other in _neighbours(self._space, parent) if self._key(other) not in seen]
                if near:
                    return near[self._generator.integers(len(near))]
        drawn = [self._space.sample(self._generator)]
        while self._key(drawn[-1]) in seen and len(drawn) < ATTEMPTS:
            drawn.append(self._space.sample(self._generator))
        return drawn[-1]


def evolution(seed: int, problem: Problem) -> BaseSampler:
    """Returns regularised evolution: the best of a tournament among the latest candidates (Real et al. 2019)."""
    return NeighbourhoodSampler(seed, problem, _winners)


def local_search(seed: int, problem: Problem) -> BaseSampler:
    """Returns local search from the front (White et al. 2021, "Exploring the Loss Landscape in NAS")."""
    return NeighbourhoodSampler(seed, problem, _best_first)


def _winners(generator: np.random.Generator, past: Sequence[Assignment], order: Sequence[int]) -> Iterator[Assignment]:
    latest = np.arange(len(past))[-POPULATION:]
    for _ in range(ATTEMPTS):
        drawn = generator.choice(latest, min(TOURNAMENT, len(latest)), replace=False)
        yield past[min(drawn, key=lambda index: order[index])]


def _best_first(generator: np.random.Generator, past: Sequence[Assignment], order: Sequence[int]
                ) -> Iterator[Assignment]:
    shuffled = generator.permutation(len(past))
    return (past[index] for index in sorted(shuffled, key=lambda index: order[index]))


def _ranks(past: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[int]:
    """Returns the rank of each trial: feasible ones by their fronts, then the others by the sum of their violations."""
    signs = np.array([-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in directions])
    violations = np.array([sum(max(0.0, value) for value in other.constraints.values()) for other in past])
    feasible, found = violations <= 0, np.zeros(len(past), np.int64)
    if feasible.any():
        found[feasible] = ranks(signs * np.array([other.values for other in past])[feasible])
    found[~feasible] = 1 + found.max() + np.unique(violations[~feasible], return_inverse=True)[1]
    return [int(rank) for rank in found]


def _neighbours(space: SearchSpace, assignment: Assignment) -> list[Assignment]:
    """Returns the assignments that differ in one choice that matters."""
    return [assignment | {name: value} for name in space.active(assignment)
            for value in space.parameters[name] if value != assignment[name]]
