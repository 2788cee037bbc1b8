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
    """Draws each trial from a new inner sampler, seeded by the seed and the number of trials before it.

    Those count that have finished or are running; what was lost with a dead worker does not. The distributions are the
    space's own, which saves Optuna from inferring them from the history.
    """

    def __init__(self, strategy: Strategy, seed: int, problem: Problem) -> None:
        """Takes the strategy, the seed of the study, and what is searched for."""
        self._strategy = strategy
        self._seed = seed
        self._problem = problem
        self._distributions: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(values) for name, values in problem.space.parameters.items()}
        self._inner: dict[int, BaseSampler] = {}  # of trials that are running

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Makes the inner sampler of the trial."""
        before = sum(1 for other in study.get_trials(deepcopy=False) if other.number != trial.number
                     and other.state != TrialState.WAITING and LOST not in other.user_attrs)
        seed = int(np.random.SeedSequence([self._seed, before]).generate_state(1)[0])
        self._inner[trial.number] = self._strategy(seed, self._problem)
        self._inner[trial.number].before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns the distributions of the space."""
        return {} if OUTSIDE in trial.user_attrs else self._distributions

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
                        ) -> dict[str, Any]:
        """Returns what the inner sampler proposes for all parameters together."""
        if not search_space:
            return {}
        return self._inner[trial.number].sample_relative(study, trial, search_space)

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str,
                           param_distribution: BaseDistribution) -> Any:
        """Returns what the inner sampler proposes for one parameter."""
        return self._inner[trial.number].sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Lets the inner sampler note the result."""
        inner = self._inner.pop(trial.number, None)
        if inner is not None and OUTSIDE not in trial.user_attrs:
            inner.after_trial(study, trial, state, values)
