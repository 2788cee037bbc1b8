"""Strategies that change one choice of an earlier candidate: regularised evolution and local search.

They differ in whose choice is changed. Choices that do not matter are never changed, and nothing is proposed twice as
long as there is something else nearby.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nas.problem.candidate import OBJECTIVES, Candidate
from nas.problem.pareto import ranks
from nas.problem.problem import Problem
from nas.strategies.strategy import choices_that_matter
from search_spaces.search_space import Assignment, SearchSpace

STARTUP = 10  # random candidates to begin with
POPULATION = 30  # the latest candidates that may have offspring in evolution
TOURNAMENT = 8  # drawn of those, the best of which has
ATTEMPTS = 30

Parents = Callable[[np.random.Generator, Sequence[Assignment], Sequence[int]], Iterator[Assignment]]


@dataclass(frozen=True)
class Neighbourhood:
    """A strategy that proposes a random unseen neighbour of the first parent that has one.

    Attributes:
        problem: what is searched for.
        parents: yields parents of past assignments and their ranks.
        continues_stopped: as `Strategy` has it.
    """

    problem: Problem
    parents: Parents
    continues_stopped: bool = False

    def propose(self, history: Sequence[Candidate], running: Sequence[Candidate], generator: np.random.Generator
                ) -> Assignment:
        """Returns the proposal."""
        space = self.problem.space
        seen = {choices_that_matter(space, candidate.assignment) for candidate in (*history, *running)}
        past = [candidate for candidate in history if candidate.state == "complete"]
        if len(past) >= STARTUP:
            order = _ranks(past, self.problem.objectives)
            for parent in self.parents(generator, [candidate.assignment for candidate in past], order):
                near = [other for other in _neighbours(space, parent) if choices_that_matter(space, other) not in seen]
                if near:
                    return near[generator.integers(len(near))]
        drawn = [space.sample(generator)]
        while choices_that_matter(space, drawn[-1]) in seen and len(drawn) < ATTEMPTS:
            drawn.append(space.sample(generator))
        return drawn[-1]


def evolution(problem: Problem) -> Neighbourhood:
    """Returns regularised evolution: the best of a tournament among the latest candidates (Real et al. 2019)."""
    return Neighbourhood(problem, _winners)


def local_search(problem: Problem) -> Neighbourhood:
    """Returns local search from the front (White et al. 2021, "Exploring the Loss Landscape in NAS")."""
    return Neighbourhood(problem, _best_first)


def _winners(generator: np.random.Generator, past: Sequence[Assignment], order: Sequence[int]) -> Iterator[Assignment]:
    latest = np.arange(len(past))[-POPULATION:]
    for _ in range(ATTEMPTS):
        drawn = generator.choice(latest, min(TOURNAMENT, len(latest)), replace=False)
        yield past[min(drawn, key=lambda index: order[index])]


def _best_first(generator: np.random.Generator, past: Sequence[Assignment], order: Sequence[int]
                ) -> Iterator[Assignment]:
    shuffled = generator.permutation(len(past))
    return (past[index] for index in sorted(shuffled, key=lambda index: order[index]))


def _ranks(past: Sequence[Candidate], objectives: Sequence[str]) -> list[int]:
    """Returns the rank of each candidate: feasible ones by their fronts, then the others by all their violations."""
    violations = np.array([sum(max(0.0, value) for value in candidate.violations.values()) for candidate in past])
    feasible, found = violations <= 0, np.zeros(len(past), np.int64)
    if feasible.any():
        points = np.array([[OBJECTIVES[name](candidate) for name in objectives] for candidate in past])
        found[feasible] = ranks(points[feasible])
    found[~feasible] = 1 + found.max() + np.unique(violations[~feasible], return_inverse=True)[1]
    return [int(rank) for rank in found]


def _neighbours(space: SearchSpace, assignment: Assignment) -> list[Assignment]:
    """Returns the assignments that differ in one choice that matters."""
    return [assignment | {name: value} for name in space.active(assignment)
            for value in space.parameters[name] if value != assignment[name]]
