"""The agreement of the processes that work on one search: whose turn it is, and which of them are still alive.

A run directory is shared by the processes of one machine through locks of the kernel on files in it, which end with
the process that holds them, however it ends.

    .lock        locked as long as a process uses the directory, alone while it begins a search
    .turn        locked by the process that proposes, measures or records
    .end         locked by the process that completes the search once its trials have ended
    .workers/    a file for each process, which is locked as long as that lives
"""

import contextlib
import fcntl
import os
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from evaluators.machine.files import held
from nas.problem.candidate import Candidate
from search_spaces.errors import InvalidInput

if TYPE_CHECKING:
    import optuna

T = TypeVar("T")

USE, TURN, END, WORKERS = ".lock", ".turn", ".end", ".workers"


@dataclass(frozen=True)
class Role:
    """The part of a process in a search: it proposes and times candidates, trains them, or both."""

    times: bool = True
    trains: bool = True


BOTH = Role()


class Sharing(Protocol):
    """The agreement of the workers of a search, seen from one process."""

    @property
    def worker(self) -> str:
        """The name of this process among all that ever work on the search: its host, its number, and chance."""
        ...

    def acquire(self) -> None:
        """Waits until no other process has the turn, and takes it."""
        ...

    def release(self) -> None:
        """Gives the turn back, if this process has it."""
        ...

    def ending(self) -> AbstractContextManager[None]:
        """Returns a context that one process at a time is in, which completes the search."""
        ...

    def begin(self, trial: "optuna.Trial") -> None:
        """Announces a trial that this process works on.

        Raises an error that `outlasts` knows where the turn has been lost.
        """
        ...

    def end(self, trial: "optuna.Trial") -> None:
        """Announces the end of this process's work on a trial."""
        ...

    def gone(self, running: Iterable[Candidate]) -> list[Candidate]:
        """Returns the running trials whose process has ended; asked by the process that has the turn.

        Each process names itself in a trial before it gives its turn back, so a trial without a name was left.
        """
        ...

    def outlasts(self, error: Exception) -> bool:
        """Waits until the storage is there again, if an error tells that it was away; tells whether it does."""
        ...


def outlasting(outlasts: Callable[[Exception], bool], work: Callable[[], T]) -> T:
    """Returns the result of work on a storage, done again whenever `outlasts` has waited for that."""
    while True:
        try:
            return work()
        except Exception as error:
            if not outlasts(error):
                raise


@contextlib.contextmanager
def used(path: Path, alone: bool = False) -> Iterator[Callable[[], None]]:
    """Holds a run directory, which others may use too unless one of them is to be alone, as to begin a search.

    Yields a function that lets others use it from then on.

    Raises:
        InvalidInput: another process is in the way.
    """
    path.mkdir(parents=True, exist_ok=True)
    with os.fdopen(_opened(held(path, USE))) as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidInput("a search is begun, or its directory repaired, while no other process uses that, but "
                               f"another one uses '{path}'") from None
        yield lambda: fcntl.flock(file, fcntl.LOCK_SH)


def worker_name() -> str:
    """Returns a new name for this process: `host:pid:` and a random text, as numbers are given again."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


@dataclass
class SharedDirectory:
    """The sharing of a run directory by the processes of one machine. Use it in a `with` statement."""

    path: Path
    worker: str = field(default_factory=worker_name)
    _turn: int = field(default=-1, init=False)

    def __enter__(self) -> "SharedDirectory":
        self._turn = _opened(held(self.path, TURN))
        self.acquire()
        try:
            self._presence = self._appear()
        finally:
            self.release()
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._place(self.worker).unlink()
        with contextlib.suppress(OSError):  # others are there
            held(self.path, WORKERS).rmdir()
        os.close(self._presence)
        os.close(self._turn)

    def acquire(self) -> None:
        """Waits until no other process has the turn, and takes it."""
        fcntl.flock(self._turn, fcntl.LOCK_EX)

    def release(self) -> None:
        """Gives the turn back, if this process has it."""
        fcntl.flock(self._turn, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """Waits until no other process completes the search; none does during the block."""
        with os.fdopen(_opened(held(self.path, END))) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def begin(self, trial: "optuna.Trial") -> None:
        """Needs no announcement: the lock of this process says that it is there, and is not lost."""

    def end(self, trial: "optuna.Trial") -> None:
        """Needs no announcement."""

    def gone(self, running: Iterable[Candidate]) -> list[Candidate]:
        """Returns the running trials whose process has ended."""
        return [candidate for candidate in running if candidate.worker is None or self._is_gone(candidate.worker)]

    def outlasts(self, error: Exception) -> bool:
        """Returns False: a file is there or not, and is not waited for."""
        return False

    def _appear(self) -> int:
        """Returns the handle of this process's file, having removed those of processes that are gone."""
        for left in held(self.path, WORKERS).glob("*"):
            if self._is_gone(left.name):
                left.unlink(missing_ok=True)
        while True:
            held(self.path, WORKERS).mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # the last process has just removed the directory
                handle = _opened(self._place(self.worker))
                fcntl.flock(handle, fcntl.LOCK_EX)
                return handle

    def _is_gone(self, worker: str) -> bool:
        if worker == self.worker:
            return False
        try:
            with os.fdopen(os.open(self._place(worker), os.O_RDWR | os.O_NOFOLLOW)) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except (FileNotFoundError, IsADirectoryError):
            return True
        return True

    def _place(self, worker: str) -> Path:
        return held(self.path, WORKERS, worker.replace(os.sep, "_"))


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
