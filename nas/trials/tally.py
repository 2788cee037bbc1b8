"""What the trials of a search came to, counted."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.trials.record import CANDIDATE, LOST, PROMOTED, SCREENED

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Tally:
    """How many proposals came to what."""

    trained: int = 0
    rejected: int = 0
    duplicates: int = 0
    failed: int = 0
    stopped: int = 0
    taken_over: int = 0
    screened: int = 0  # of the rejected: those that a predictor has ruled out, so that they were not timed

    @property
    def tried(self) -> int:
        """How many candidates were trained here, to the end or until they were stopped."""
        return self.trained + self.stopped


Outcome = tuple[tuple[str, int], ...]  # what a trial adds to a tally


def outcome_of(trial: "optuna.trial.FrozenTrial") -> Outcome:
    """Returns what a trial adds to a tally."""
    if LOST in trial.user_attrs or not trial.state.is_finished():
        return ()
    known = trial.user_attrs.get(CANDIDATE, {})
    if "duplicate_of" in known:
        return (("duplicates", 1),)
    found = ("failed" if trial.state.name == "FAIL" else "taken_over" if "taken_from" in known else
             "trained" if known["trained"] else "stopped" if known.get("epochs") else "rejected")
    screened = any(SCREENED in latency["flags"] for latency in known.get("latencies", {}).values())
    return (found, 1), ("screened", int(screened)), ("stopped", -int(PROMOTED in trial.user_attrs))


def tally(trials: "Iterable[optuna.trial.FrozenTrial]",
          outcome: "Callable[[optuna.trial.FrozenTrial], Outcome]" = outcome_of) -> Tally:
    """Returns how many finished trials came to what; lost ones, and stopped ones that went on, count for nothing.

    Args:
        trials: of a search.
        outcome: `outcome_of`, where it is kept for trials that have ended.
    """
    counts: Counter[str] = Counter()
    for found, times in Counter(map(outcome, trials)).items():
        for name, count in found:
            counts[name] += times * count
    return Tally(**counts)
