"""A memory of functions of trials that have ended, of which nothing changes any more."""

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

T = TypeVar("T")


class Ended(Generic[T]):
    """The values of a function of trials, kept of all trials before the first that has not ended."""

    def __init__(self, function: "Callable[[FrozenTrial], T | None]") -> None:
        """Takes the function, which returns None for trials that do not count."""
        self._function = function
        self._last: FrozenTrial | None = None
        self._count, self._kept = 0, list[T]()

    def __call__(self, trials: "Sequence[FrozenTrial]") -> "tuple[list[T], Sequence[FrozenTrial]]":
        """Returns the values of the first trials, None left out, and the other trials, the first of which runs."""
        if self._count and (len(trials) < self._count or trials[self._count - 1] is not self._last):
            self._count, self._kept = 0, []  # of another study, or read anew
        while self._count < len(trials) and trials[self._count].state.is_finished():
            self._last = trials[self._count]
            if (value := self._function(self._last)) is not None:
                self._kept.append(value)
            self._count += 1
        return list(self._kept), trials[self._count:]


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
