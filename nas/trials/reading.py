"""The candidates of a run, made of its trials as these end, and judged by later timings."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from evaluators.datasets.metrics import ACCURACY
from nas.problem.budgets import Budgets
from nas.problem.candidate import Candidate
from nas.trials.memo import Ended, OfFinished, is_finished
from nas.trials.record import latencies_of, stored_candidate

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class Reading:
    """The candidates of a run; each call looks only at the trials that had not ended before the last one."""

    def __init__(self, target: str, metric: str = ACCURACY) -> None:
        """Takes the target of latencies that were stored without one, and what the accuracies are."""
        self._target, self._metric = target, metric
        self._candidate: OfFinished[Candidate] = OfFinished(lambda trial: stored_candidate(trial, target))
        self._told: Ended[FrozenTrial, list[Candidate]] = Ended(
            is_finished, list, lambda kept, trials: kept.extend(map(self._candidate, trials)))
        self._judge: Callable[[Candidate], Candidate]
        self._judged: Ended[Candidate, list[Candidate]]
        self._judged_by: object = None

    def told(self, trials: "Sequence[FrozenTrial]") -> list[Candidate]:
        """Returns the candidate of each trial, as it was told."""
        ended, others = self._told(trials)
        return [*ended, *map(self._candidate, others)]

    def judged(self, told: Sequence[Candidate], by_hand: Sequence[str], notes: Mapping[str, Any], budgets: Budgets
               ) -> list[Candidate]:
        """Returns the evaluated candidates, lost ones left out.

        Args:
            told: the candidates of all trials.
            by_hand: the architectures that were made by hand.
            notes: the attributes of the study, with later timings of the candidates of some trials, which hold for all
                of the same architecture.
            budgets: by which they are judged.
        """
        later = {told[trial].architecture: name for trial, name in _last_timings(notes)
                 if trial < len(told) and told[trial].evaluated}
        if self._judged_by != (judged_by := (by_hand, later, budgets)):
            def judged(candidate: Candidate) -> Candidate:
                hand = candidate.architecture in by_hand
                found = (dataclasses.replace(candidate, by_hand=hand, metric=self._metric)
                         if hand or self._metric != ACCURACY else candidate)
                name = later.get(candidate.architecture)
                return found.with_latencies(latencies_of(notes[name], self._target), budgets) if name else found

            self._judge, self._judged_by = judged, judged_by
            self._judged = Ended(attrgetter("has_ended"), list, lambda kept, candidates: kept.extend(
                judged(candidate) for candidate in candidates if candidate.evaluated))
        ended, others = self._judged(told)
        return [*ended, *(self._judge(candidate) for candidate in others if candidate.evaluated)]


def later_timings(notes: Mapping[str, Any], trial: int) -> list[str]:
    """Returns the names of the later timings of a trial among the attributes of its study, the last one last."""
    return list(itertools.takewhile(notes.__contains__, (f"after:{trial}:latency:{n}" for n in itertools.count(1))))


def _last_timings(notes: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Returns the trials that have later timings, in their order, and the name of the last one."""
    noted = sorted({int(name.split(":")[1]) for name in notes if name.startswith("after:")})
    return [(trial, names[-1]) for trial in noted if (names := later_timings(notes, trial))]
