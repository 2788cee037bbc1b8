"""Strategy: the protocol of a search strategy, and the one adapter that makes an Optuna sampler of it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from evaluators.latency import Latency
from nas.problem.budgets import is_feasible
from nas.problem.candidate import Candidate
from nas.problem.problem import Problem
from nas.strategies.reseeding import Reseeded, ReseededSampler, Seeds, distributions
from nas.trials.memo import Ended, OfFinished, is_finished
from nas.trials.record import OUTSIDE, candidate_of, is_lost
from search_spaces.search_space import Assignment, SearchSpace, Value

Key = tuple[tuple[str, Value], ...]


class Strategy(Protocol):
    """A search strategy, made once for a search: a function of the history, the running candidates and a generator.

    Whatever else an instance keeps may save time, but must not change a proposal: a search that is interrupted goes on
    with a new instance. `nas.testing.check_strategy` holds a strategy to that.
    """

    @property
    def continues_stopped(self) -> bool:
        """Tells whether the proposal of a candidate whose training was stopped early continues that training."""
        ...

    def propose(self, history: Sequence[Candidate], running: Sequence[Candidate], generator: np.random.Generator
                ) -> Assignment:
        """Returns the next candidate as a value for every parameter of the space.

        Args:
            history: the candidates that are complete or have failed, in the order of their trials; without those that
                were lost with a worker or are not of the space.
            running: the candidates that others evaluate at the moment.
            generator: seeded for this proposal.
        """
        ...


Maker = Callable[[Problem], Strategy | Reseeded]  # from the problem of a search


class ProposingSampler(BaseSampler):
    """An Optuna sampler of a strategy. Optuna's storage is the only memory that proposals depend on."""

    def __init__(self, strategy: Strategy, problem: Problem) -> None:
        """Takes a strategy and the problem that it was made for, whose seed is that of the study."""
        self._strategy = strategy
        self._problem = problem
        self._distributions = distributions(problem.space)
        self._seeds = Seeds(problem.seed)
        self._candidate = OfFinished(lambda trial: _candidate(trial, problem))
        self._ended: Ended[FrozenTrial, list[Candidate]] = Ended(is_finished, list, lambda kept, trials: kept.extend(
            candidate for candidate in map(self._candidate, trials) if candidate is not None))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns the distributions of the space."""
        return {} if OUTSIDE in trial.user_attrs else self._distributions

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
                        ) -> dict[str, Any]:
        """Returns the proposal for a trial."""
        if not search_space:
            return {}
        ended, others = self._ended(study._get_trials(deepcopy=False, use_cache=True))
        known = [candidate for other in others if other.number != trial.number
                 and (candidate := self._candidate(other)) is not None]
        history = [*ended, *(candidate for candidate in known if candidate.state in ("complete", "failed"))]
        return self._strategy.propose(history, [candidate for candidate in known if candidate.state == "running"],
                                      np.random.default_rng(self._seeds(study, trial)))

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str,
                           param_distribution: BaseDistribution) -> Any:
        """Raises `ValueError`, since a proposal has a value for every parameter."""
        raise ValueError(f"a proposal must have a value for every parameter, but got none for '{param_name}'")


def sampler_of(strategy: Strategy | Reseeded, problem: Problem) -> BaseSampler:
    """Returns the Optuna sampler of a strategy for a study, the seed of which is the problem's."""
    if isinstance(strategy, Reseeded):
        return ReseededSampler(strategy.make, problem)
    return ProposingSampler(strategy, problem)


def choices_that_matter(space: SearchSpace, assignment: Assignment) -> Key:
    """Returns the active choices of an assignment; equal ones are those of equal architectures."""
    return tuple(space.active(assignment).items())


def _candidate(trial: FrozenTrial, problem: Problem) -> Candidate | None:
    """Returns the candidate of a trial; None where it was lost, is outside or lacks values of parameters.

    Of a trial without a record, such as one of a benchmark, only what Optuna was told is known.
    """
    if OUTSIDE in trial.user_attrs or len(trial.params) < len(problem.space.parameters) or is_lost(trial):
        return None
    candidate = candidate_of(trial, problem.budgets.targets[0])
    if candidate.architecture or trial.values is None:
        return candidate
    told = dict(zip(problem.objectives, trial.values, strict=True))
    accuracy, latency_ms = told.pop("accuracy"), told.pop("latency", None)
    latencies = {} if latency_ms is None else {problem.budgets.targets[0]: Latency.exact(latency_ms)}
    return dataclasses.replace(candidate, accuracy=accuracy, trained=is_feasible(candidate.violations),
                               costs=dataclasses.replace(candidate.costs, latencies=latencies, **told))
