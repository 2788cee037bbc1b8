"""A sampler that is made anew for every trial, so that a resumed study asks for what an undisturbed one would."""

import dataclasses
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.problem.problem import Problem
from nas.strategies.strategy import Strategy
from nas.trials.record import LOST, OUTSIDE


class FreshSampler(BaseSampler):
    """Draws each trial from a new inner sampler, seeded by the seed and the place of the trial.

    The distributions are the space's own, which saves Optuna from inferring them from the history. Of that, an inner
    sampler sees what is of the space and was not lost.
    """

    def __init__(self, strategy: Strategy, seed: int, problem: Problem) -> None:
        """Takes the strategy, the seed of the study, and what is searched for."""
        self._strategy = strategy
        self._problem = dataclasses.replace(problem, seed=seed)
        self._distributions: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(values) for name, values in problem.space.parameters.items()}
        self._inner: dict[int, BaseSampler] = {}  # of trials that are running

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Makes the inner sampler of the trial."""
        seed = int(np.random.SeedSequence([self._problem.seed, place(study, trial)]).generate_state(1)[0])
        self._inner[trial.number] = self._strategy(seed, self._problem)
        self._inner[trial.number].before_trial(_seen(study), trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns the distributions of the space."""
        return {} if OUTSIDE in trial.user_attrs else self._distributions

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
                        ) -> dict[str, Any]:
        """Returns what the inner sampler proposes for all parameters together."""
        if not search_space:
            return {}
        return self._inner[trial.number].sample_relative(_seen(study), trial, search_space)

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str,
                           param_distribution: BaseDistribution) -> Any:
        """Returns what the inner sampler proposes for one parameter."""
        return self._inner[trial.number].sample_independent(_seen(study), trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Lets the inner sampler note the result."""
        inner = self._inner.pop(trial.number, None)
        if inner is not None and OUTSIDE not in trial.user_attrs:
            inner.after_trial(_seen(study), trial, state, values)


def place(study: Study, trial: FrozenTrial) -> int:
    """Returns how many trials came before one; what was lost with a dead worker does not count."""
    return sum(other.number < trial.number and LOST not in other.user_attrs
               for other in study._get_trials(deepcopy=False, use_cache=True))


class _Seen(Study):
    """A study as samplers see it: some take it that each trial has all parameters.

    The trials are read once for each that is asked for, as Optuna's own samplers do.
    """

    def _get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
                    ) -> list[FrozenTrial]:
        return [trial for trial in super()._get_trials(deepcopy, states, use_cache=True)
                if LOST not in trial.user_attrs and OUTSIDE not in trial.user_attrs]

    def stop(self) -> None:
        """Does nothing, where exhaustive samplers end a study: a search ends as it was asked to."""


def _seen(study: Study) -> Study:
    seen = object.__new__(_Seen)  # Optuna's own way, making a study of the same storage, asks that one for its name
    seen.__dict__.update(study.__dict__)
    return seen
