"""Turns between training and measuring on one machine: a latency is only worth something if nothing else runs.

Any number of processes may train at a time, one may measure, never both. Who comes first goes first: a measurement
that waits holds new trainings back, and a training that waits holds new measurements back, so neither starves. A
training loop that renews its turn whenever it is over keeps measurements from waiting long.

The locks are kernel locks (`flock`), so they end with the process that holds them, however it ends. Linux lets its own
files about the cores be locked, which all users and jobs of a machine see, whatever they have in the place of `/tmp`;
where there are none, files are made among the user's own data, and the jobs of one user take turns. Nothing is made
where another user could be first. Turns do not nest, and a process forked (not spawned) within a turn shares it.
"""

import contextlib
import errno
import fcntl
import math
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from evaluators.machine.files import at_home
from evaluators.machine.ownership import DATA, NotOwn, directory_of, make_own
from evaluators.machine.trouble import MachineTrouble

TURNSTILE, ROOM = "possible", "online"  # names of files that tell of cores; only their locks matter
CORES = Path("/sys/devices/system/cpu")
PLACE = "PARETONAS_LOCKS"  # the variable that names another directory
TRAINING_S = 0.3
POLL_S = 0.01


class Turn:
    """A turn, which is had in a `with` statement; entering it raises `MachineTrouble` where nothing can be locked."""

    def __init__(self, kind: int, within_s: float = math.inf) -> None:
        """Takes the kind of lock that it has on the room, and how long to wait for it."""
        self._kind, self._within_s = kind, within_s
        self._room: int | None = None

    def __enter__(self) -> Self:
        (entrance, room), deadline = _places(), time.monotonic() + self._within_s
        turnstile = _locked(entrance, fcntl.LOCK_EX, deadline)
        try:
            self._room = _locked(room, self._kind, deadline)
        finally:
            os.close(turnstile)  # only now may the next one queue for the room
        self._since = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        room, self._room = self._room, None
        if room is not None:
            os.close(room)

    @property
    def over(self) -> bool:
        """Tells whether the turn has lasted so long that a training should renew it before it goes on."""
        return time.monotonic() - self._since > TRAINING_S

    def renew(self) -> None:
        """Releases the turn to those who wait for theirs and takes it again; nothing it is for may run meanwhile."""
        self.__exit__()
        self.__enter__()


def training_turn() -> Turn:
    """Returns a turn that waits until nobody measures or waits to; nobody measures while it lasts."""
    return Turn(fcntl.LOCK_SH)


def measuring_turn(within_s: float = math.inf) -> Turn:
    """Returns a turn that waits until nobody trains or measures; nobody does while it lasts.

    It raises `TimeoutError` when it is entered and has not come within some seconds.
    """
    return Turn(fcntl.LOCK_EX, within_s)


def _locked(path: Path, kind: int, deadline: float) -> int:
    """Returns the handle of a locked file; raises `TimeoutError` at the deadline, a time of `time.monotonic`."""
    with _troubles(path):
        handle = _opened(path)
        try:
            _lock(handle, kind, deadline)
        except BaseException:
            os.close(handle)
            raise
    return handle


@contextlib.contextmanager
def _troubles(path: Path) -> Iterator[None]:
    """Makes trouble of the machine of errors that stand in the way of a lock."""
    try:
        yield
    except TimeoutError:
        raise
    except (OSError, NotOwn) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise MachineTrouble(f"training and measuring take turns by the lock of a file, but '{path}' gives none: "
                             f"{reason}; `{PLACE}` names another directory") from None


def _lock(handle: int, kind: int, deadline: float) -> None:
    if deadline == math.inf:
        fcntl.flock(handle, kind)
        return
    while True:  # the kernel's own waiting has no end
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            return
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(POLL_S)


def _opened(path: Path) -> int:
    """Returns the handle of a file, made where there is none; whoever may read it may lock it."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe would wait for a writer
            if stat.S_ISREG(os.fstat(handle).st_mode):
                return handle
            os.close(handle)
            raise OSError(errno.EINVAL, "it is no file")
        with contextlib.suppress(FileExistsError):  # somebody was faster
            handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o444)
            os.fchmod(handle, 0o444)  # other users' too, whatever the umask
            return handle


def _places() -> tuple[Path, Path]:
    """Returns the files whose locks are the turnstile and the room."""
    if PLACE in os.environ:
        return _files(at_home(os.environ[PLACE]))
    if os.access(CORES / TURNSTILE, os.R_OK) and os.access(CORES / ROOM, os.R_OK):
        return CORES / TURNSTILE, CORES / ROOM
    own = directory_of(DATA) / "locks"
    with _troubles(own):
        make_own(own)
    return _files(own)


def _files(directory: Path) -> tuple[Path, Path]:
    return directory / f"paretonas-{TURNSTILE}.lock", directory / f"paretonas-{ROOM}.lock"
