"""Optuna's own samplers, with the settings that suit spaces of many categorical choices."""

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseGASampler,
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial

from nas.problem.problem import Problem
from nas.strategies.reseeding import place, reseeded
from search_spaces.errors import require

GENERATION = 12  # with more, a hundred evaluations are too few generations


@reseeded
def random(seed: int, problem: Problem) -> BaseSampler:
    """Returns uniform random search."""
    return RandomSampler(seed=seed)


@reseeded
def qmc(seed: int, problem: Problem) -> BaseSampler:
    """Returns a scrambled Sobol sequence, which covers the space more evenly than random search does."""
    return _quietly(_Sequence, seed=problem.seed, scramble=True)


class _Sequence(QMCSampler):
    """A sampler that gives each trial the point of its place; Optuna's counts the points of lost trials too."""

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
                        ) -> dict[str, Any]:
        self._place = place(study, trial)
        return super().sample_relative(study, trial, search_space)

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._place


@reseeded
def tpe(seed: int, problem: Problem) -> BaseSampler:
    """Returns the multivariate tree-structured Parzen estimator (Falkner et al. 2018, section 3)."""
    return TPESampler(seed=seed, multivariate=True, n_startup_trials=10)


@reseeded
def nsga2(seed: int, problem: Problem) -> BaseSampler:
    """Returns NSGA-II (Deb et al. 2002) with constraints."""
    return _Nsga2(seed, GENERATION)


@reseeded
def nsga3(seed: int, problem: Problem) -> BaseSampler:
    """Returns NSGA-III (Deb and Jain 2014) with constraints."""
    return _quietly(_Nsga3, seed=seed, population_size=GENERATION)


class _Resumable(BaseGASampler):
    """Proposes the first of a generation again where it was lost.

    Optuna selects the parents of a generation once; where it does, their order is another than later, and NSGA-III has
    drawn random numbers for it.
    """

    def __init__(self, seed: int, population_size: int) -> None:
        super().__init__(seed=seed, population_size=population_size)
        self._seed = seed

    def get_parent_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        parents = super().get_parent_population(study, generation)
        self._rng.rng.seed(self._seed)
        return sorted(parents, key=lambda trial: trial.number)


class _Nsga2(_Resumable, NSGAIISampler):
    pass


class _Nsga3(_Resumable, NSGAIIISampler):
    pass


@reseeded
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
