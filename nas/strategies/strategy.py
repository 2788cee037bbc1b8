"""What our own samplers have in common: all parameters of a trial are proposed together, as one member of the space."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from nas.problem.problem import Problem
from nas.trials.record import LOST
from search_spaces.search_space import Assignment, Value

Strategy = Callable[[int, Problem], BaseSampler]  # from the seed of a trial
Key = tuple[tuple[str, Value], ...]  # the choices that matter


class ProposingSampler(BaseSampler):
    """An Optuna sampler that proposes members of the space of a problem."""

    def __init__(self, seed: int, problem: Problem) -> None:
        """Takes a seed and what is searched for."""
        self._generator = np.random.default_rng(seed)
        self._problem = problem

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns the distributions of the space."""
        return {name: CategoricalDistribution(values) for name, values in self._problem.space.parameters.items()}

    def _tried(self, study: Study, trial: FrozenTrial) -> list[FrozenTrial]:
        """Returns the other trials that have a value for every parameter, also those that are running."""
        return [other for other in study.get_trials(deepcopy=False) if other.number != trial.number
                and LOST not in other.user_attrs and other.params.keys() == self._problem.space.parameters.keys()]

    def _key(self, assignment: Assignment) -> Key:
        return tuple(self._problem.space.active(assignment).items())

    @abstractmethod
    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
                        ) -> dict[str, Any]:
        """Returns the proposal for a trial."""

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str,
                           param_distribution: BaseDistribution) -> Any:
        """Returns a random value for a parameter that is not of the space."""
        assert isinstance(param_distribution, CategoricalDistribution)
        return param_distribution.choices[self._generator.integers(len(param_distribution.choices))]
