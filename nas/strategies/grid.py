"""Exhaustive search of small spaces.

Optuna's own sampler goes through all combinations of choices, those that make the same network too, takes what was lost
with a dead worker for visited, and cannot be told outside `optimize` that the last is done.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from nas.problem.candidate import Candidate
from nas.problem.problem import Problem
from nas.strategies.strategy import Key, choices_that_matter
from search_spaces.errors import require
from search_spaces.numbers import rounded
from search_spaces.search_space import Assignment

LARGEST = 10_000  # members of a space


class Grid:
    """A strategy that proposes each member of a space once, in random order; after the last one any."""

    continues_stopped = False

    def __init__(self, problem: Problem) -> None:
        """Takes the problem; raises `InvalidInput` if the space is too large."""
        self._space = problem.space
        require(self._space.size <= LARGEST, f"the strategy grid is for spaces of at most {LARGEST} members, but got "
                f"one of {rounded(self._space.size, 6)}")

    def propose(self, history: Sequence[Candidate], running: Sequence[Candidate], generator: np.random.Generator
                ) -> Assignment:
        """Returns a random member that was not proposed yet."""
        tried = {choices_that_matter(self._space, candidate.assignment) for candidate in (*history, *running)}
        unseen = [member for key, member in self._members.items() if key not in tried] or list(self._members.values())
        return unseen[generator.integers(len(unseen))]

    @cached_property
    def _members(self) -> dict[Key, Assignment]:
        """The members of the space by their choices that matter."""
        return {choices_that_matter(self._space, member): member for member in self._space.enumerated(LARGEST) or ()}
