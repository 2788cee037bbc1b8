"""Turns between training and measuring on one machine: a latency is only worth something if nothing else runs.

Any number of processes may train at a time, one may measure, never both. Who comes first goes first: a measurement
that waits holds new trainings back, and a training that waits holds new measurements back, so neither starves. A
training loop that takes a new turn every few seconds keeps measurements from waiting long.

The locks are kernel locks (`flock`) on two files in a directory of the user under the system's temporary directory, so
they end with the process that holds them, however it ends. They bind the processes of one user on one machine. Turns do
not nest, and a process forked (not spawned) within a turn shares it.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TURNSTILE, ROOM = "turnstile.lock", "room.lock"


@contextmanager
def training_turn() -> Iterator[None]:
    """Waits until nobody measures or waits to; then nobody measures until the block ends."""
    with _turn(fcntl.LOCK_SH):
        yield


@contextmanager
def measuring_turn() -> Iterator[None]:
    """Waits until nobody trains or measures; then nobody does until the block ends."""
    with _turn(fcntl.LOCK_EX):
        yield


@contextmanager
def _turn(kind: int) -> Iterator[None]:
    directory = _directory()
    turnstile = _locked(directory / TURNSTILE, fcntl.LOCK_EX)
    try:
        room = _locked(directory / ROOM, kind)
    finally:
        os.close(turnstile)  # only now may the next one queue for the room
    try:
        yield
    finally:
        os.close(room)


def _locked(path: Path, kind: int) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, kind)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _directory() -> Path:
    """Returns the user's own directory for locks; raises `PermissionError` if somebody else has made it."""
    path = Path(tempfile.gettempdir()) / f"paretonas-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.is_symlink() or path.stat().st_uid != os.getuid():
        raise PermissionError(f"the directory of the locks must belong to the user, but '{path}' does not")
    return path
