"""Optuna's own samplers, with the settings that suit spaces of many categorical choices."""

import warnings
from typing import TYPE_CHECKING

from nas.strategies.problem import Problem

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


def random(seed: int, problem: Problem) -> "BaseSampler":
    """Returns uniform random search."""
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


def tpe(seed: int, problem: Problem) -> "BaseSampler":
    """Returns the multivariate tree-structured Parzen estimator (Falkner et al. 2018, section 3)."""
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed, multivariate=True, n_startup_trials=10)


def nsga2(seed: int, problem: Problem) -> "BaseSampler":
    """Returns NSGA-II (Deb et al. 2002) with constraints, in generations of 20."""
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(seed=seed, population_size=20)


def nsga3(seed: int, problem: Problem) -> "BaseSampler":
    """Returns NSGA-III (Deb and Jain 2014) with constraints, in generations of 20."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import NSGAIIISampler

    with warnings.catch_warnings():  # of an interface that may change, once a trial
        warnings.simplefilter("ignore", ExperimentalWarning)
        return NSGAIIISampler(seed=seed, population_size=20)
