"""The scene of a plot of accuracy against latency, as plain data: the PNG and the terminal draw the same.

The latency is that on the first target, which is the objective.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluators.datasets.metrics import Metric
from nas.problem.budgets import Budgets
from nas.problem.candidate import DEFAULT_OBJECTIVES, Candidate, Interval, distinct, front, metric_of, winner
from nas.report.measured import accuracy_text

LOGARITHMIC_FROM = 10.0  # the ratio of latencies from which their axis is logarithmic
FARTHEST = 1.5  # budgets at which the axis ends, where nothing but rejected candidates is farther off
_MARGIN = 0.06


@dataclass(frozen=True)
class Scene:
    """Candidates with a measured latency by their outcome, and the limits of the axes.

    Attributes:
        front: one candidate for each architecture of the front, fastest first.
        winner: the one to mark.
        others: feasible and fully trained, but dominated.
        partial: trained, but over a budget or stopped early.
        by_hand: published networks that fill the budget or a share of it, also where they are on the front.
        untrained: rejected before training, so that their latency alone is known; it may be beyond the axis.
        budget_ms: the budget for latency.
        latency_limits_ms: the horizontal axis.
        accuracy_limits: the vertical axis; candidates far below the others are left out of it.
        logarithmic: whether the horizontal axis is.
        total: the candidates there are, with those that cannot be shown.
        metric: what stands for the accuracy.
        easy_accuracy: that of logistic regression on the same images, where it is known and there is any other.
    """

    front: tuple[Candidate, ...]
    winner: Candidate | None
    others: tuple[Candidate, ...]
    partial: tuple[Candidate, ...]
    by_hand: tuple[Candidate, ...]
    untrained: tuple[Candidate, ...]
    budget_ms: float | None
    latency_limits_ms: Interval
    accuracy_limits: Interval
    logarithmic: bool
    total: int
    metric: Metric
    easy_accuracy: float | None

    @property
    def easy_text(self) -> str:
        """Logistic regression and its accuracy, in words that tell where it is below the axis; empty if not known."""
        if self.easy_accuracy is None:
            return ""
        below = ", below the axis" if self.easy_accuracy < self.accuracy_limits[0] else ""
        return f"logistic regression {accuracy_text(self.easy_accuracy)} %{below}"

    def stairs(self) -> tuple[list[float], list[float]]:
        """Returns the latencies at which the best accuracy of the front rises, and that accuracy, to the last limit."""
        latencies: list[float] = []
        accuracies: list[float] = []
        for candidate in self.front:
            accuracy = accuracy_of(candidate)
            if not accuracies or accuracy > accuracies[-1]:
                latencies.append(latency_of(candidate))
                accuracies.append(accuracy)
        if latencies:
            latencies.append(max(latencies[-1], self.budget_ms or self.latency_limits_ms[1]))
            accuracies.append(accuracies[-1])
        return latencies, accuracies

    def horizontal(self, latency_ms: float) -> float:
        """Returns the place of a latency on the horizontal axis, 0 at its left end and 1 at its right (and beyond)."""
        ends = np.array([*self.latency_limits_ms, latency_ms])
        low, high, value = np.log(ends) if self.logarithmic else ends
        return min(1.0, float((value - low) / (high - low)))

    def vertical(self, accuracy: float) -> float:
        """Returns the place of an accuracy on the vertical axis, 0 at its lower end (and for all below) and 1 above."""
        low, high = self.accuracy_limits
        return max(0.0, (accuracy - low) / (high - low))


def build_scene(candidates: Sequence[Candidate], budgets: Budgets, objectives: Sequence[str] = DEFAULT_OBJECTIVES,
                easy_accuracy: float | None = None) -> Scene:
    """Returns the scene of the complete candidates of known latency, and of logistic regression."""
    shown = [c for c in candidates if c.state == "complete" and c.latency_ms]
    members = distinct(candidate for candidate in front(candidates, objectives) if candidate.latency_ms)
    best = winner(candidates, objectives)
    on_front = {candidate.architecture for candidate in members}
    rest = [candidate for candidate in distinct(shown) if candidate.architecture not in on_front]
    untrained = [c for c in rest if c.accuracy is None or not (c.trained or c.epochs)]
    others = [c for c in rest if c.eligible]
    partial = [c for c in rest if c not in untrained and not c.eligible]
    limit = budgets.limits.get("latency")
    budget_ms = limit.value if limit else None
    ends = [end for c in shown for end in (latency_of(c), *(c.latency_ci_ms or ()))
            if c not in untrained or not budget_ms or end <= FARTHEST * budget_ms]
    latency_limits_ms, logarithmic = axis_limits([*ends, *([budget_ms] if budget_ms else [])])
    return Scene(
        front=tuple(members),
        winner=next((c for c in members if best and c.architecture == best.architecture), None),
        others=tuple(others), partial=tuple(partial), untrained=tuple(untrained),
        by_hand=tuple(c for c in distinct(shown) if c.by_hand and c.eligible),
        budget_ms=budget_ms, latency_limits_ms=latency_limits_ms, logarithmic=logarithmic,
        accuracy_limits=accuracy_limits(members, others, partial, easy_accuracy or 0.0),
        total=len(distinct(candidates)), metric=metric_of(candidates),
        easy_accuracy=easy_accuracy if members or others or partial else None)


def latency_of(candidate: Candidate) -> float:
    """Returns the latency of a candidate in a scene, in milliseconds: there it is known."""
    assert candidate.latency_ms is not None
    return candidate.latency_ms


def accuracy_of(candidate: Candidate) -> float:
    """Returns the accuracy of a trained candidate in a scene: there it is known."""
    assert candidate.accuracy is not None
    return candidate.accuracy


def axis_limits(values: Sequence[float]) -> tuple[Interval, bool]:
    """Returns the ends of an axis around positive values, and whether it is logarithmic."""
    low, high = (min(values), max(values)) if values else (0.1, 1.0)
    if high / low >= LOGARITHMIC_FROM:
        factor = (high / low) ** _MARGIN
        return (low / factor, high * factor), True
    margin = _MARGIN * (high - low) or _MARGIN * high
    return (max(low - margin, low / 2), high + margin), False


def accuracy_limits(members: Sequence[Candidate], others: Sequence[Candidate], partial: Sequence[Candidate],
                    easy_accuracy: float = 0.0) -> Interval:
    """Returns limits that show the front in detail: candidates far below it do not squeeze it to a line.

    Nor does logistic regression, which they show where it is better.
    """
    ends = [end for c in members for end in (c.accuracy_ci or (accuracy_of(c),))]
    below = sorted(map(accuracy_of, others or partial))
    everything = [*ends, *map(accuracy_of, [*others, *partial])]
    if not everything:
        return 0.0, 1.0
    high = max(*everything, easy_accuracy)
    near = min([*ends, *below[len(below) // 4:][:1]])  # a quarter of the dominated ones may be far off
    low = min(value for value in everything if value >= near - 0.5 * (high - near))
    margin = _MARGIN * (high - low) or 0.01
    return max(low - margin, min(low, 0.0)), min(high + margin, max(high, 1.0))
