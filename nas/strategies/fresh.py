"""A sampler that is made anew for every trial, so that a resumed study asks for what an undisturbed one would."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.strategies.marks import LOST, OUTSIDE
from nas.strategies.problem import Problem, Strategy


class FreshSampler(BaseSampler):
    """Draws each trial from a new inner sampler, seeded by the seed and the number of trials that have finished.

    Trials lost with a dead worker do not count. The distributions are the space's own, which saves Optuna from
    inferring them from the history.
    """

    def __init__(self, strategy: Strategy, seed: int, problem: Problem) -> None:
        """Takes the strategy, the seed of the study, and what is searched for."""
        self._strategy = strategy
        self._seed = seed
        self._problem = problem
        self._distributions: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(values) for name, values in problem.space.parameters.items()}
        self._inner = strategy(seed, problem)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Makes the inner sampler of the trial."""
        finished = sum(1 for other in study.get_trials(deepcopy=False)
                       if other.state.is_finished() and LOST not in other.user_attrs)
        seed = int(np.random.SeedSequence([self._seed, finished]).generate_state(1)[0])
        self._inner = self._strategy(seed, self._problem)
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns the distributions of the space."""
        return {} if OUTSIDE in trial.user_attrs else self._distributions

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
                        ) -> dict[str, Any]:
        """Returns what the inner sampler proposes for all parameters together."""
        if not search_space:
            return {}
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str,
                           param_distribution: BaseDistribution) -> Any:
        """Returns what the inner sampler proposes for one parameter."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Lets the inner sampler note the result."""
        if OUTSIDE not in trial.user_attrs:
            self._inner.after_trial(study, trial, state, values)
