"""What follows from trials that have ended, of which nothing changes any more: found once."""

from collections.abc import Callable
from typing import Generic, TypeVar

from optuna.trial import FrozenTrial

T = TypeVar("T")


class OfFinished(Generic[T]):
    """A function of a trial that is called only once for one that has ended."""

    def __init__(self, function: Callable[[FrozenTrial], T]) -> None:
        """Takes the function."""
        self._function = function
        self._found: dict[int, tuple[FrozenTrial, T]] = {}  # with the trial, so that no other takes its identity

    def __call__(self, trial: FrozenTrial) -> T:
        """Returns what follows from a trial."""
        if id(trial) in self._found:
            return self._found[id(trial)][1]
        found = self._function(trial)
        if trial.state.is_finished():
            self._found[id(trial)] = trial, found
        return found
