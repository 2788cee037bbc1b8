"""Termination of a search: so many candidates trained, its time used up, or a front that has stopped moving."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nas.problem.budgets import Budgets
from nas.problem.candidate import DEFAULT_OBJECTIVES, OBJECTIVES, Candidate, Outcome
from nas.problem.pareto import hypervolume
from nas.problem.quantities import format_duration
from nas.run.config import TRIALS
from nas.trials.tally import Tally
from search_spaces.numbers import count_of

PROPOSALS_PER_TRIAL = 50  # bounds rejected, duplicate and failed proposals, each
MOVED = 1e-3  # a front moves when its hypervolume grows by this share


@dataclass(frozen=True)
class Termination:
    """The limits of a search: trials, time and patience.

    Attributes:
        trials: distinct candidates to train, to the end or until they are stopped; None for no limit.
        time_s: seconds that the search may take; None for no limit.
        began_s: the reading of `time.monotonic` from which they count.
        patience: candidates, trained or stopped early, after which the front must have moved; None for no limit.
        objectives: what the front is of.
        reference: see `reference_point`.
    """

    trials: int | None
    time_s: float | None = None
    began_s: float = 0.0
    patience: int | None = None
    objectives: tuple[str, ...] = DEFAULT_OBJECTIVES
    reference: tuple[float | None, ...] = (0.0, None)

    def reached(self, counts: Tally, candidates: Sequence[Candidate], continuing: bool = False) -> str | None:
        """Returns the reason why the search is over, empty if it is as was asked for; None if it is not over.

        While a stopped candidate is to continue, the number of trials does not end it.
        """
        if self.trials is not None and counts.tried >= self.trials and not continuing:
            return ""
        trained = count_of(counts.tried, "candidate was trained", "candidates were trained")
        if self.time_s is not None and time.monotonic() >= self.began_s + self.time_s:
            return f"ended as its {format_duration(self.time_s)} were used up: {trained}"
        if self.patience is not None and front_rests(candidates, self.patience, self.objectives, self.reference):
            return (f"ended as the front did not move for {count_of(self.patience, 'trained candidate')}: "
                    f"{trained}")
        wanted = self.trials or max(counts.tried, TRIALS)
        for what, count in (("rejected", counts.rejected), ("duplicate", counts.duplicates),
                            ("failed", counts.failed)):
            if count >= PROPOSALS_PER_TRIAL * wanted:
                return (f"stopped after {count} {what} proposals, {PROPOSALS_PER_TRIAL} for each trial asked for: "
                        f"{counts.tried} of {wanted} candidates were trained")
        return None


def reference_point(objectives: Sequence[str], budgets: Budgets, guessing: float) -> tuple[float | None, ...]:
    """Returns the point where the hypervolume of a front ends: the accuracy of `guessing`, the budget of the cost.

    In the form of `OBJECTIVES`, to be minimised; None where there is no budget, for the largest cost that was found.
    """
    limits = {name: float(limit.value) for name, limit in budgets.limits.items()}
    return tuple(-guessing if name == "accuracy" else limits.get(name) for name in objectives)


def front_rests(candidates: Sequence[Candidate], patience: int, objectives: Sequence[str],
                reference: Sequence[float | None]) -> bool:
    """Returns whether the hypervolume of the front has not grown by `MOVED` with the last candidates that were trained.

    Args:
        candidates: in the order of their trials.
        patience: how many candidates, trained or stopped early, are the last ones; with no more, the answer is no.
        objectives: names in `OBJECTIVES`.
        reference: see `reference_point`.
    """
    continued = {candidate.continues for candidate in candidates}
    trained = [candidate for candidate in candidates if candidate.outcome in (
        Outcome.TRAINED, Outcome.STOPPED, Outcome.TAKEN_OVER) and candidate.trial not in continued]
    if sum(candidate.outcome is not Outcome.TAKEN_OVER for candidate in trained) <= patience:  # those come first
        return False
    points = [[OBJECTIVES[name](candidate) for name in objectives] for candidate in trained]
    limit = [max(column) if value is None else value
             for column, value in zip(zip(*points, strict=True), reference, strict=True)]
    now, before = (hypervolume([point for point, candidate in zip(points, chosen, strict=False) if candidate.eligible],
                               limit) for chosen in (trained, trained[:-patience]))
    return now <= before * (1 + MOVED)


def seconds_spent(candidates: Iterable[Candidate]) -> float:
    """Returns the seconds in which at least one of the trials was running; lost ones count for nothing."""
    spans = sorted((candidate.began, candidate.ended) for candidate in candidates
                   if candidate.began and candidate.ended and candidate.outcome is not Outcome.LOST)
    spent, end = 0.0, None
    for begin, ended in spans:
        start = begin if end is None else max(begin, end)
        spent += max(0.0, (ended - start).total_seconds())
        end = ended if end is None else max(end, ended)
    return spent
