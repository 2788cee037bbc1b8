"""The candidates of a search: the knowledge of one trial, the winner, the front."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from statistics import NormalDist
from typing import Literal

import numpy as np

from evaluators.datasets.metrics import ACCURACY, METRICS, Metric
from evaluators.latency import Latency
from nas.problem.budgets import Budgets, is_feasible
from nas.problem.costs import Costs
from nas.problem.pareto import non_dominated
from search_spaces.architecture import identify
from search_spaces.errors import unknown
from search_spaces.search_space import Assignment

Interval = tuple[float, float]
State = Literal["waiting", "running", "lost", "failed", "complete"]

_NORMAL_95 = NormalDist().inv_cdf(0.975)
TRAINING = ("accuracy", "total", "epochs", "trained", "accuracies", "compiled", "taken_from",
            "float32_accuracy", "log_loss")  # what a training changes


class Outcome(StrEnum):
    """The outcome of a trial."""

    WAITING = "waiting"  # asked for, and not begun
    RUNNING = "running"
    LOST = "lost"  # its worker died or was interrupted, or the machine failed
    IMPOSSIBLE = "impossible"  # its choices make no network
    FAILED = "failed"
    REJECTED = "rejected"  # over a budget, so that it was not trained
    STOPPED = "stopped"  # before the end of its training
    TRAINED = "trained"
    TAKEN_OVER = "taken over"  # trained in another run
    DUPLICATE = "duplicate"  # of a candidate of an earlier trial, whose values it has


@dataclass(frozen=True)
class Candidate:
    """One trial of a search.

    Attributes:
        trial: its number in the study.
        architecture: the canonical text; empty as long as it is not known.
        accuracy: the share of validation images that it classifies correctly, in [0, 1], or what `metric` says of them;
            None before any training.
        total: the validation images that this is a share of, or is known as well as one of so many; 0 where the
            evaluator has no such count.
        epochs: the epochs it was trained for.
        trained: whether that is all of them; a candidate stopped early is not.
        costs: what it costs, as budgets judge it; what no check has reached is not known.
        violations: by how much each limit is exceeded, relative to it.
        state: how far the trial has come; see `outcome` for what became of it.
        assignment: a value for every parameter of the space; empty before they are chosen, and outside of the space.
        reason: why it was rejected, stopped or failed.
        retimed: whether its latencies are those of a later timing, in a process that had timed nothing else.
        duplicate_of: the trial that met the architecture first, whose values it has.
        accuracies: epochs and accuracy at each rung that it was compared at, and after the whole training.
        bracket: the rung at which it was first judged, counted from 0.
        continues: the trial whose training it continues.
        taken_from: the run that it was trained in, if that is another one.
        compiled: what was compiled at a time to train it, blocks, the network or several side by side, where
            its evaluator says so.
        float32_accuracy: the accuracy of the network itself, where `accuracy` is that of a quantised file of it.
        log_loss: of the validation images, as `Metric.log_loss` says; it tells more of a network than its accuracy.
        start: the text of the architecture that was asked for, where the strategy was not asked.
        outside: whether the space lacks its architecture.
        by_hand: whether it is a published network that was made to fill the budgets or a share of them, for others to
            be compared with.
        metric: what its accuracy is, a name of `evaluators.datasets.metrics.METRICS`.
        worker: the process that works or has worked on it, as `nas.run.sharing` names it.
        waits: whether it waits for a worker that trains, with its costs if these were found.
        died: whether that process was gone before the trial had ended.
        began: when the trial began.
        ended: when it ended.
    """

    trial: int
    architecture: str = ""
    accuracy: float | None = None
    total: int = 0
    epochs: int = 0
    trained: bool = False
    costs: Costs = field(default_factory=Costs)
    violations: Mapping[str, float] = field(default_factory=dict)
    state: State = "running"
    assignment: Assignment = field(default_factory=dict)
    reason: str | None = None
    retimed: bool = field(default=False, compare=False)  # a longer search of equal results may have timed more
    duplicate_of: int | None = None
    accuracies: tuple[tuple[int, float], ...] = ()
    bracket: int = 0
    continues: int | None = None
    taken_from: str | None = None
    compiled: str | None = field(default=None, compare=False)  # by the same numbers but for rounding
    float32_accuracy: float | None = None
    log_loss: float | None = None
    start: str | None = None
    outside: bool = False
    by_hand: bool = field(default=False, compare=False)  # what the run tells, not the trial
    metric: str = field(default=ACCURACY, compare=False)  # likewise
    worker: str | None = field(default=None, compare=False)
    waits: bool = field(default=False, compare=False)
    died: bool = field(default=False, compare=False)
    began: datetime | None = field(default=None, compare=False)
    ended: datetime | None = field(default=None, compare=False)

    @cached_property
    def outcome(self) -> Outcome:
        """The outcome of the trial."""
        if self.state not in ("complete", "failed"):
            return Outcome(self.state)
        if self.duplicate_of is not None:
            return Outcome.DUPLICATE
        if self.state == "failed":
            return Outcome.FAILED if self.architecture else Outcome.IMPOSSIBLE
        if self.taken_from is not None:
            return Outcome.TAKEN_OVER
        if self.trained:
            return Outcome.TRAINED
        return Outcome.STOPPED if self.epochs else Outcome.REJECTED

    @property
    def has_ended(self) -> bool:
        """Tells whether the trial has ended, so that nothing of it changes any more."""
        return self.state not in ("waiting", "running")

    @property
    def evaluated(self) -> bool:
        """Tells whether the architecture is known, and the trial was not lost."""
        return bool(self.architecture) and self.outcome is not Outcome.LOST

    def _repr_html_(self) -> str:
        from nas.problem.representation import candidate_html

        return candidate_html(self)

    @cached_property
    def architecture_id(self) -> str:
        """The id of its architecture, by which files are named."""
        return identify(self.architecture)

    @property
    def accuracy_ci(self) -> Interval | None:
        """The 95 % interval of the accuracy."""
        if self.accuracy is None or not self.total:
            return None
        return accuracy_interval(self.accuracy * self.total, self.total)

    @property
    def latency_ms(self) -> float | None:
        """The median on the first target, which is the objective; None where an earlier check failed."""
        return self.costs.latency_ms

    @property
    def latency_ci_ms(self) -> Interval | None:
        """The 95 % interval of `latency_ms`."""
        return self.costs.latency_ci_ms

    def values(self, objectives: Sequence[str]) -> tuple[float, ...]:
        """Returns the objectives as they are, and as bad as can be where one is not known."""
        known = {"accuracy": self.accuracy, "latency": self.latency_ms, "macs": self.costs.macs,
                 "params": self.costs.params}
        values = ((name, known[name]) for name in objectives)
        return tuple(float(value) if value is not None else 0.0 if name == "accuracy" else math.inf
                     for name, value in values)

    def with_latencies(self, latencies: Mapping[str, Latency], budgets: Budgets) -> "Candidate":
        """Returns the candidate as a later timing and budgets judge it."""
        costs = dataclasses.replace(self.costs, latencies={**self.costs.latencies, **latencies})
        return dataclasses.replace(self, costs=costs, violations=budgets.violations(costs), retimed=True)

    def with_training_of(self, other: "Candidate") -> "Candidate":
        """Returns the candidate with the outcome of another one's training."""
        return dataclasses.replace(self, **{name: getattr(other, name) for name in TRAINING})

    @cached_property
    def feasible(self) -> bool:
        """Tells whether all checks of the candidate were made and no budget is exceeded."""
        return self.state == "complete" and is_feasible(self.violations)

    @cached_property
    def eligible(self) -> bool:
        """Tells whether the candidate may win or lie on the front: feasible and fully trained."""
        return self.feasible and self.trained and self.accuracy is not None


def _loss(candidate: Candidate) -> float:
    return math.inf if candidate.accuracy is None else -candidate.accuracy


def _latency(candidate: Candidate) -> float:
    return math.inf if candidate.latency_ms is None else candidate.latency_ms


def _macs(candidate: Candidate) -> float:
    return candidate.costs.macs or math.inf


def _params(candidate: Candidate) -> float:
    return candidate.costs.params or math.inf


OBJECTIVES: dict[str, Callable[[Candidate], float]] = {  # to be minimised
    "accuracy": _loss, "latency": _latency, "macs": _macs, "params": _params}
DEFAULT_OBJECTIVES = ("accuracy", "latency")


def directions(objectives: Sequence[str]) -> list[str]:
    """Returns the directions of an Optuna study, the values of which are objectives as they are.

    >>> directions(("accuracy", "latency"))
    ['maximize', 'minimize']
    """
    return ["maximize" if name == "accuracy" else "minimize" for name in objectives]


def rank(candidate: Candidate, objectives: Sequence[str] = DEFAULT_OBJECTIVES) -> tuple[float, ...]:
    """Returns the key by which candidates are sorted, the winner first: by objectives, then latency, then trial."""
    return *(OBJECTIVES[name](candidate) for name in objectives), _latency(candidate), candidate.trial


def winner(candidates: Iterable[Candidate], objectives: Sequence[str] = DEFAULT_OBJECTIVES) -> Candidate | None:
    """Returns the eligible candidate of highest accuracy, ties by `rank`; None if there is none.

    It lies on the front of the same objectives, the first of which is the accuracy.
    """
    eligible = [candidate for candidate in candidates if candidate.eligible]
    losses = list(map(_loss, eligible))
    best = min(losses, default=None)
    return min((candidate for loss, candidate in zip(losses, eligible, strict=True) if loss == best),
               key=lambda candidate: rank(candidate, objectives), default=None)


def best_by_hand(candidates: Iterable[Candidate]) -> Candidate | None:
    """Returns the `winner` among the networks that were made by hand; None if there is none."""
    return winner(candidate for candidate in candidates if candidate.by_hand)


def front(candidates: Iterable[Candidate], objectives: Sequence[str] = DEFAULT_OBJECTIVES) -> list[Candidate]:
    """Returns the eligible candidates that no other eligible one dominates, fastest first, then by trial.

    Candidates of equal values are all returned, such as trials that came upon the same architecture; see `distinct`.

    Raises:
        InvalidInput: an objective that `OBJECTIVES` lacks.
    """
    for name in objectives:
        if name not in OBJECTIVES:
            raise unknown("objective", name, OBJECTIVES)
    eligible = [candidate for candidate in candidates if candidate.eligible]
    mask = non_dominated(np.array([list(map(OBJECTIVES[name], eligible)) for name in objectives]).T)
    return sorted((candidate for candidate, kept in zip(eligible, mask, strict=True) if kept),
                  key=lambda candidate: (_latency(candidate), _loss(candidate), candidate.trial))


def distinct(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Returns the candidate of each architecture that was trained longest, the first of several, in the order given."""
    found: dict[str, Candidate] = {}
    for candidate in candidates:
        if candidate.epochs > found.setdefault(candidate.architecture, candidate).epochs:
            found[candidate.architecture] = candidate
    return list(found.values())


def metric_of(candidates: Iterable[Candidate]) -> Metric:
    """Returns the metric of candidates, which they have in common; the accuracy where there are none."""
    return METRICS[next((candidate.metric for candidate in candidates), ACCURACY)]


def accuracy_interval(correct: float, count: int) -> Interval:
    """Returns the 95 % interval of an accuracy of `correct` out of `count`, count > 0.

    Wilson's score interval (Wilson 1927, "Probable inference, the law of succession, and statistical inference"):
    unlike the normal approximation it stays within [0, 1] and has width at 0 and 1.
    """
    rate, ratio = correct / count, _NORMAL_95**2 / count
    centre = (rate + ratio / 2) / (1 + ratio)
    half = math.sqrt(ratio * (rate * (1 - rate) + ratio / 4)) / (1 + ratio)
    return max(0.0, centre - half), min(1.0, centre + half)
