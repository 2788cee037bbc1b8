"""The outcomes of the trials of a search, counted."""

import dataclasses
import operator
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from evaluators.latency import Source
from nas.problem.candidate import Candidate, Outcome

ENDED = (Outcome.TRAINED, Outcome.STOPPED, Outcome.FAILED)


@dataclass(frozen=True)
class Tally:
    """The number of trials of each outcome."""

    trained: int = 0
    rejected: int = 0
    duplicates: int = 0
    failed: int = 0
    stopped: int = 0
    taken_over: int = 0
    screened: int = 0  # of the rejected: those that a predictor has ruled out, so that they were not timed

    @property
    def tried(self) -> int:
        """The number of candidates that were trained here, to the end or until they were stopped."""
        return self.trained + self.stopped

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*map(operator.add, dataclasses.astuple(self), dataclasses.astuple(other)))


def tally(candidates: Iterable[Candidate]) -> Tally:
    """Returns the number of trials of each outcome, without lost trials and stopped ones with a continuation."""
    known = list(candidates)
    counts = Counter(candidate.outcome for candidate in known)
    continued = sum(candidate.continues is not None and candidate.outcome in ENDED for candidate in known)
    screened = sum(candidate.outcome is Outcome.REJECTED and is_screened(candidate) for candidate in known)
    return Tally(trained=counts[Outcome.TRAINED], rejected=counts[Outcome.REJECTED],
                 duplicates=counts[Outcome.DUPLICATE], failed=counts[Outcome.FAILED] + counts[Outcome.IMPOSSIBLE],
                 stopped=counts[Outcome.STOPPED] - continued, taken_over=counts[Outcome.TAKEN_OVER],
                 screened=screened)


def is_screened(candidate: Candidate) -> bool:
    """Tells whether a latency of a candidate was predicted to be over its budget, instead of timed."""
    return any(latency.source is Source.SCREENED for latency in candidate.costs.latencies.values())
