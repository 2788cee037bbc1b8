"""Optuna's own samplers, with the settings that suit spaces of many categorical choices."""

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from nas.strategies.fresh import place
from nas.strategies.problem import Problem
from search_spaces.layers import require


def random(seed: int, problem: Problem) -> BaseSampler:
    """Returns uniform random search."""
    return RandomSampler(seed=seed)


def qmc(seed: int, problem: Problem) -> BaseSampler:
    """Returns a scrambled Sobol sequence, which covers the space more evenly than random search does."""
    return _quietly(_Sequence, seed=problem.seed, scramble=True)


class _Sequence(QMCSampler):
    """Each trial takes the point of its place, where Optuna counts the points of lost trials too."""

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
                        ) -> dict[str, Any]:
        self._place = place(study, trial)
        return super().sample_relative(study, trial, search_space)

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._place


def tpe(seed: int, problem: Problem) -> BaseSampler:
    """Returns the multivariate tree-structured Parzen estimator (Falkner et al. 2018, section 3)."""
    return TPESampler(seed=seed, multivariate=True, n_startup_trials=10)


def nsga2(seed: int, problem: Problem) -> BaseSampler:
    """Returns NSGA-II (Deb et al. 2002) with constraints, in generations of 20."""
    return NSGAIISampler(seed=seed, population_size=20)


def nsga3(seed: int, problem: Problem) -> BaseSampler:
    """Returns NSGA-III (Deb and Jain 2014) with constraints, in generations of 20."""
    return _quietly(NSGAIIISampler, seed=seed, population_size=20)


def gp(seed: int, problem: Problem) -> BaseSampler:
    """Returns Optuna's Gaussian processes, with constraints; raises `InvalidInput` where PyTorch is not installed."""
    require(find_spec("torch") is not None,
            "the strategy gp needs PyTorch (pip install 'paretonas[gp]'), but 'torch' is not installed")
    return GPSampler(seed=seed, n_startup_trials=10, warn_independent_sampling=False)


def _quietly(make: Callable[..., BaseSampler], **options: Any) -> BaseSampler:
    """Makes a sampler without the warning, once a trial, that its interface may change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return make(**options)
