"""What a search reports to while it runs."""

from typing import Protocol

from nas.problem.candidate import Candidate
from nas.trials.tally import Tally


class Monitor(Protocol):
    """What a search reports to while it runs."""

    def say(self, text: str) -> None:
        """Takes a line that is worth keeping."""
        ...

    def progress(self, what: str, done: int, total: int) -> None:
        """Takes how far a preparation has come."""
        ...

    def phase(self, trial: int, what: str) -> None:
        """Takes what is being done to a trial."""
        ...

    def told(self, tally: Tally, last: Candidate | None, best: Candidate | None) -> None:
        """Takes the state of the search after a trial."""
        ...


class Silent:
    """A monitor that shows nothing."""

    def say(self, text: str) -> None:
        """Shows nothing."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Shows nothing."""

    def phase(self, trial: int, what: str) -> None:
        """Shows nothing."""

    def told(self, tally: Tally, last: Candidate | None, best: Candidate | None) -> None:
        """Shows nothing."""
