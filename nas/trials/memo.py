"""A memory of functions of trials that have ended, of which nothing changes any more."""

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

T = TypeVar("T")


class OfFinished(Generic[T]):
    """A function of a trial, called only once for each trial that has ended."""

    def __init__(self, function: "Callable[[FrozenTrial], T]") -> None:
        """Takes the function."""
        self._function = function
        self._found: dict[int, tuple[weakref.ref[FrozenTrial], T]] = {}  # for as long as the trial is in memory

    def __call__(self, trial: "FrozenTrial") -> T:
        """Returns the value of the function for a trial."""
        key = id(trial)
        if key in self._found:
            return self._found[key][1]
        found = self._function(trial)
        if trial.state.is_finished():
            self._found[key] = weakref.ref(trial, lambda _: self._found.pop(key, None)), found
        return found
