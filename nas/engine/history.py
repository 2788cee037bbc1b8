"""The history of a search, as its engine asks for it: the trials that have ended are looked at once, not at each trial.

Each worker of a search tells trial after trial; whatever walked through all of those before would come to take longer
than all else.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from nas.engine.successive_halving import latest
from nas.problem.candidate import Candidate, Outcome, front
from nas.trials.memo import Ended
from nas.trials.tally import Tally, tally

_has_ended = attrgetter("has_ended")


@dataclass
class _Told:
    """The sums over candidates as they were told, with those of lost trials."""

    objectives: tuple[str, ...]
    front: list[Candidate] = field(default_factory=list)
    counts: Tally = field(default_factory=Tally)
    lost: list[Candidate] = field(default_factory=list)
    finished: dict[str, Candidate] = field(default_factory=dict)  # the last of each architecture that tells its values
    begun: dict[str, Candidate] = field(default_factory=dict)  # the last of each architecture that was trained at all
    ids: set[str] = field(default_factory=set)  # of architectures
    starts: set[str | None] = field(default_factory=set)  # of trials that are not lost
    continued: set[int | None] = field(default_factory=set)  # the trials that those continue

    def add(self, candidates: Sequence[Candidate]) -> None:
        self.front = front([*self.front, *candidates], self.objectives)
        self.counts += tally(candidates)
        self.lost += [candidate for candidate in candidates if candidate.outcome is Outcome.LOST]
        self.finished |= {candidate.architecture: candidate for candidate in candidates if _tells_values(candidate)}
        self.begun |= {candidate.architecture: candidate for candidate in candidates if candidate.epochs}
        self.ids.update(candidate.architecture_id for candidate in candidates if candidate.architecture)
        kept = [candidate for candidate in candidates if candidate.outcome is not Outcome.LOST]
        self.starts.update(candidate.start for candidate in kept)
        self.continued.update(candidate.continues for candidate in kept)


@dataclass
class _Judged:
    """The sums over evaluated candidates as later timings judge them."""

    objectives: tuple[str, ...]
    front: list[Candidate] = field(default_factory=list)
    stopped: dict[str, Candidate] = field(default_factory=dict)  # by architecture

    def add(self, candidates: Sequence[Candidate]) -> None:
        self.front = front([*self.front, *candidates], self.objectives)
        for candidate in latest(candidates):
            if candidate.outcome is Outcome.STOPPED:
                self.stopped[candidate.architecture] = candidate
            else:
                self.stopped.pop(candidate.architecture, None)


@dataclass(frozen=True)
class History:
    """The state of a search at a moment at which only the worker that holds the coordinator can change it.

    Attributes:
        told: the candidates of all trials, as these were told.
        candidates: those that were evaluated or are being evaluated, as later timings judge them.
        counts: how many came to what.
        running: the candidates that are being evaluated, or wait for a worker that trains.
        waiting: those that were asked for and not begun.
        lost: those that were lost, in the order of their trials.
        front: the front.
        stopped: the candidates whose training was stopped and has not been continued.
    """

    told: Sequence[Candidate]
    candidates: Sequence[Candidate]
    counts: Tally
    running: Sequence[Candidate]
    waiting: Sequence[Candidate]
    lost: Sequence[Candidate]
    front: Sequence[Candidate]
    stopped: Sequence[Candidate]
    _past: _Told
    _recent: Sequence[Candidate]

    @property
    def front_as_told(self) -> list[Candidate]:
        """The front of the candidates as they were told, whose members only new ones can push off."""
        return front([*self._past.front, *self._recent], self._past.objectives)

    @property
    def ids(self) -> set[str]:
        """The ids of all architectures that were met."""
        return self._past.ids | {candidate.architecture_id for candidate in self._recent if candidate.architecture}

    def finished(self, text: str) -> Candidate | None:
        """Returns the candidate of the last finished trial that has evaluated an architecture."""
        recent = (candidate for candidate in reversed(self._recent)
                  if candidate.architecture == text and _tells_values(candidate))
        return next(recent, self._past.finished.get(text))

    def is_started(self, text: str) -> bool:
        """Tells whether an architecture was asked for as a start, by a trial that is not lost."""
        return text in self._past.starts or any(candidate.start == text for candidate in _kept(self._recent))

    def is_continued(self, trial: int) -> bool:
        """Tells whether a trial that is not lost continues the training of another one."""
        return trial in self._past.continued or any(candidate.continues == trial for candidate in _kept(self._recent))

    def with_checkpoints(self) -> list[Candidate]:
        """Returns the lost trials whose checkpoint may still be gone on from."""
        last = {candidate.architecture: candidate for candidate in self._recent if candidate.epochs}
        return [lost for lost in self.lost if lost.epochs
                and (last.get(lost.architecture) or self._past.begun[lost.architecture]) is lost]


class Histories:
    """Makes the histories of a search one after the other."""

    def __init__(self, objectives: tuple[str, ...]) -> None:
        """Takes the objectives of the front."""
        self._objectives = objectives
        self._told: Ended[Candidate, _Told] = Ended(_has_ended, lambda: _Told(objectives), _Told.add)
        self._judged: Ended[Candidate, _Judged] = Ended(_has_ended, lambda: _Judged(objectives), _Judged.add)

    def __call__(self, told: Sequence[Candidate], candidates: Sequence[Candidate]) -> History:
        """Returns the history from the candidates of all trials, and from those that were evaluated as they are judged.

        Only that of the last call is up to date.
        """
        past, recent = self._told(told)
        judged, others = self._judged(candidates)
        fresh = {candidate.architecture for candidate in others if candidate.duplicate_of is None}
        return History(
            told, candidates, past.counts + tally(recent),
            [candidate for candidate in recent if candidate.outcome is Outcome.RUNNING],
            [candidate for candidate in recent if candidate.outcome is Outcome.WAITING],
            [*past.lost, *(candidate for candidate in recent if candidate.outcome is Outcome.LOST)],
            front([*judged.front, *others], self._objectives),
            [*(one for text, one in judged.stopped.items() if text not in fresh),
             *(candidate for candidate in latest(others) if candidate.outcome is Outcome.STOPPED)], past, recent)


def _kept(candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    return (candidate for candidate in candidates if candidate.outcome is not Outcome.LOST)


def _tells_values(candidate: Candidate) -> bool:
    return candidate.state in ("complete", "failed") and candidate.outcome is not Outcome.DUPLICATE
