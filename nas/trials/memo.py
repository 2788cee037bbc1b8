"""A memory of sums over trials that have ended, of which nothing changes any more."""

import weakref
from collections.abc import Callable, Sequence
from operator import is_
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

T = TypeVar("T")
One = TypeVar("One")
Sum = TypeVar("Sum")


class Ended(Generic[One, Sum]):
    """The sum of all trials before the first that has not ended, to which each is added once."""

    def __init__(self, has_ended: Callable[[One], bool], empty: Callable[[], Sum],
                 add: Callable[[Sum, Sequence[One]], None]) -> None:
        """Takes the predicate of an ended trial, the maker of an empty sum, and the function that adds trials to it."""
        self._has_ended, self._empty, self._add = has_ended, empty, add
        self._added: list[One] = []
        self._sum = empty()

    def __call__(self, trials: Sequence[One]) -> tuple[Sum, Sequence[One]]:
        """Returns the sum, which the next call may change, and the other trials, the first of which runs."""
        if len(trials) < len(self._added) or not all(map(is_, self._added, trials)):  # read or judged anew
            self._added, self._sum = [], self._empty()
        begin = end = len(self._added)
        while end < len(trials) and self._has_ended(trials[end]):
            end += 1
        if new := trials[begin:end]:
            self._add(self._sum, new)
            self._added.extend(new)
        return self._sum, trials[end:]


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


def is_finished(trial: "FrozenTrial") -> bool:
    """Tells whether a trial has ended."""
    return trial.state.is_finished()
