"""Exhaustive search of small spaces.

Optuna's own sampler goes through all combinations of choices, those that make the same network too, takes what was lost
with a dead worker for visited, and cannot be told outside `optimize` that the last is done.
"""

from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial

from nas.problem.problem import Problem
from nas.strategies.strategy import Key, ProposingSampler
from search_spaces.errors import require
from search_spaces.search_space import Assignment, SearchSpace

LARGEST = 10_000  # members of a space


class GridSampler(ProposingSampler):
    """Proposes each member of a space once, in random order; after the last one any."""

    def __init__(self, seed: int, problem: Problem) -> None:
        """Takes a seed and what is searched for; raises `InvalidInput` if the space is too large."""
        super().__init__(seed, problem)
        require(problem.space.size <= LARGEST, f"the strategy grid is for spaces of at most {LARGEST} members, but got "
                f"one of {problem.space.size:.6g}")

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
                        ) -> dict[str, Any]:
        """Returns the proposal for a trial."""
        members = _members(self._problem.space)
        tried = {self._key(other.params) for other in self._tried(study, trial)}
        unseen = [member for key, member in members.items() if key not in tried] or list(members.values())
        return unseen[self._generator.integers(len(unseen))]


@lru_cache(maxsize=8)
def _members(space: SearchSpace) -> dict[Key, Assignment]:
    """Returns all members by their choices that matter; kept, since a sampler lives for one trial only."""
    return {tuple(space.active(member).items()): member for member in space.enumerated(LARGEST) or ()}
