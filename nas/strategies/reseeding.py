"""Optuna's samplers made anew for every trial, so that a resumed study proposes what an undisturbed one would.

A trial's seed follows from the seed of the study and the place of the trial, in which lost trials do not count.
"""

import copy
import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseGASampler, BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.problem.problem import Problem
from nas.trials.memo import Ended, OfFinished, is_finished
from nas.trials.record import OUTSIDE, candidate_of, is_lost
from search_spaces.search_space import SearchSpace

SamplerMaker = Callable[[int, Problem], BaseSampler]


@dataclass(frozen=True)
class Reseeded:
    """Samplers of Optuna's in place of a strategy.

    Attributes:
        make: makes the sampler of a trial from its seed and the problem.
        continues_stopped: as `Strategy` has it.
    """

    make: SamplerMaker
    continues_stopped: bool = False


class ReseededSampler(BaseSampler):
    """A sampler that draws each trial from a new inner sampler, seeded for the trial.

    The distributions are the space's own, which saves Optuna from inferring them from the history. Of that, an inner
    sampler sees what is of the space and was not lost, and of rejected candidates the costs that they have: models
    would learn nothing from the infinite ones that their trials were told.
    """

    def __init__(self, make: SamplerMaker, problem: Problem) -> None:
        """Takes the maker of the inner samplers, and the problem, with the seed of the study."""
        self._make = make
        self._problem = problem
        self._distributions = distributions(problem.space)
        self._seeds = Seeds(problem.seed)
        self._as_seen = OfFinished(partial(_with_costs, problem))
        self._inner: dict[int, BaseSampler] = {}  # of trials that are running

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Makes the inner sampler of the trial, of which a genetic one notes the generation.

        Left to itself it does so where it is asked for a proposal, which a trial with given choices is not.
        """
        inner = self._inner[trial.number] = self._make(self._seeds(study, trial), self._problem)
        seen = self._seen(study)
        inner.before_trial(seen, trial)
        if isinstance(inner, BaseGASampler) and OUTSIDE not in trial.user_attrs:
            inner.get_trial_generation(seen, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns the distributions of the space."""
        return {} if OUTSIDE in trial.user_attrs else self._distributions

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
                        ) -> dict[str, Any]:
        """Returns the inner sampler's proposal for all parameters together."""
        if not search_space:
            return {}
        return self._inner[trial.number].sample_relative(self._seen(study), trial, search_space)

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str,
                           param_distribution: BaseDistribution) -> Any:
        """Returns the inner sampler's proposal for one parameter."""
        return self._inner[trial.number].sample_independent(self._seen(study), trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Lets the inner sampler note the result."""
        inner = self._inner.pop(trial.number, None)
        if inner is not None and OUTSIDE not in trial.user_attrs:
            inner.after_trial(self._seen(study), trial, state, values)

    def _seen(self, study: Study) -> Study:
        return seen(study, self._as_seen)


def reseeded(make: SamplerMaker) -> Callable[[Problem], Reseeded]:
    """Returns the stand-in of a strategy for a search, where Optuna's samplers can be made for it."""
    def made(problem: Problem) -> Reseeded:
        make(problem.seed, problem)  # raises where it cannot
        return Reseeded(make)
    made.__doc__ = make.__doc__
    return made


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Returns Optuna's distribution of each parameter of a space."""
    return {name: CategoricalDistribution(values) for name, values in space.parameters.items()}


def place(study: Study, trial: FrozenTrial) -> int:
    """Returns the number of trials before one, without those that were lost."""
    return sum(other.number < trial.number and not is_lost(other)
               for other in study._get_trials(deepcopy=False, use_cache=True))


class Seeds:
    """The seeds of the trials of a study."""

    def __init__(self, seed: int) -> None:
        """Takes the seed of the study."""
        self._seed = seed
        self._kept: Ended[FrozenTrial, list[int]] = Ended(is_finished, list, lambda kept, trials: kept.extend(
            trial.number for trial in trials if not is_lost(trial)))

    def __call__(self, study: Study, trial: FrozenTrial) -> int:
        """Returns the seed of a trial that is running; it follows from its place."""
        kept, others = self._kept(study._get_trials(deepcopy=False, use_cache=True))
        place = len(kept) + sum(other.number < trial.number and not is_lost(other) for other in others)
        return int(np.random.SeedSequence([self._seed, place]).generate_state(1)[0])


class _Seen(Study):
    """A study of which some trials are left out: some samplers take it that each has all parameters.

    What is seen of one with infinite values is made by `_as_seen`. The trials are read once for each that is
    asked for, as Optuna's own samplers do.
    """

    _as_seen: Callable[[FrozenTrial], FrozenTrial]

    def _get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
                    ) -> list[FrozenTrial]:
        return [trial if trial.values is None or math.inf not in trial.values else self._as_seen(trial)
                for trial in super()._get_trials(deepcopy, states, use_cache=True)
                if not is_lost(trial) and OUTSIDE not in trial.user_attrs]

    def stop(self) -> None:
        """Ignores the wish of exhaustive samplers to end a study: a search ends as it was asked to."""


def seen(study: Study, as_seen: Callable[[FrozenTrial], FrozenTrial] | None = None) -> Study:
    """Returns a study without the trials that a strategy is not to see: lost ones, and those outside of the space.

    Args:
        study: all trials.
        as_seen: makes what is seen of a trial with infinite values; by default that trial itself.
    """
    found = object.__new__(_Seen)  # Optuna's own way, making a study of the same storage, asks that one for its name
    found.__dict__.update(study.__dict__, _as_seen=as_seen or (lambda trial: trial))
    return found


def _with_costs(problem: Problem, trial: FrozenTrial) -> FrozenTrial:
    """Returns a trial with the costs of its candidate for values."""
    found = copy.copy(trial)
    found.values = candidate_of(trial, problem.budgets.targets[0]).values(problem.objectives)
    return found
