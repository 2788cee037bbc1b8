"""Monitor: shows a search while it runs."""

from typing import Protocol

from nas.problem.candidate import Candidate
from nas.trials.tally import Tally


class Monitor(Protocol):
    """A listener that a search reports to."""

    def say(self, text: str) -> None:
        """Takes a line that is worth keeping."""
        ...

    def progress(self, what: str, done: int, total: int) -> None:
        """Takes the progress of a preparation."""
        ...

    def phase(self, trial: int, what: str) -> None:
        """Takes the phase that a trial is in."""
        ...

    def told(self, tally: Tally, last: Candidate | None, best: Candidate | None) -> None:
        """Takes the state of the search after a trial."""
        ...


class Silent:
    """A monitor that shows nothing."""

    def say(self, text: str) -> None:
        """Ignores the line."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Ignores the progress."""

    def phase(self, trial: int, what: str) -> None:
        """Ignores the phase."""

    def told(self, tally: Tally, last: Candidate | None, best: Candidate | None) -> None:
        """Ignores the state of the search."""
