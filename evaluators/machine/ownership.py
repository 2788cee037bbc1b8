"""Paths that are wholly the user's own, so that nobody but this user, or root, has put anything there.

One rule for all that is kept outside of the places that a user names: caches are loaded from nowhere else, and locks
and temporary files are made nowhere else.
"""

import contextlib
import fcntl
import functools
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from evaluators.machine.files import at_home
from evaluators.machine.trouble import MachineTrouble

NAME = "paretonas"
CACHE, DATA, STATE = ("XDG_CACHE_HOME", "~/.cache"), ("XDG_DATA_HOME", "~/.local/share"), (
    "XDG_STATE_HOME", "~/.local/state")  # by the XDG base directory specification
KEY_BYTES = 32
HELD = ".held"  # what temporary directories end on as long as they are locked
SILENT = "PARETONAS_SILENT"  # set for processes that would say what another one says
ROOT = 0


class NotOwn(MachineTrouble):
    """A path that somebody else may have a hand in: one line that says why."""


def directory_of(base: tuple[str, str]) -> Path:
    """Returns our directory among the user's caches, data or states; a relative path in the variable does not count."""
    variable, default = base
    given = os.environ.get(variable, "")
    return (Path(given) if os.path.isabs(given) else at_home(default)) / NAME  # noqa: PTH117 - false for an empty one


def require_own(path: Path) -> None:
    """Raises `NotOwn` unless a path, as far as it is there, is wholly the user's own.

    All directories on it, and what it leads to, must belong to the user or root, be writable by nobody else and be no
    symbolic links. A directory in which anybody may write but only move what is their own, like /tmp, changes nothing.
    """
    if not path.is_absolute():
        raise NotOwn(f"'{path}' is no absolute path")
    for one in (*reversed(path.parents), path):
        try:
            status = one.lstat()
        except FileNotFoundError:
            return
        if reason := _foreign(status):
            raise NotOwn(f"'{one}' {reason}")


def _foreign(status: os.stat_result) -> str:
    """Returns the reason why a part of a path may be another user's doing, empty if it cannot be."""
    if stat.S_ISLNK(status.st_mode):
        return "is a symbolic link"
    if status.st_uid not in (ROOT, os.geteuid()):
        return "belongs to another user"
    sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    return "can be written by others" if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not sticky else ""


def make_own(directory: Path) -> None:
    """Makes a directory that nobody else can enter, where there is none, and those above it.

    Raises:
        NotOwn: it is not wholly the user's own.
        OSError: it cannot be made.
    """
    require_own(directory)
    for one in (*reversed(directory.parents), directory):
        if not one.exists():
            one.mkdir(mode=0o700, exist_ok=True)
    require_own(directory)  # somebody may have been faster in /tmp


def key(make: bool = False) -> bytes:
    """Returns a secret of the user's, by which content is known to be theirs.

    It does not lie among the caches: who hands over one of these, or restores it, hands over no key.

    Args:
        make: whether it is made where there is none.

    Raises:
        NotOwn: others may know it or have made it.
        OSError: it cannot be made, or is not there.
    """
    path = directory_of(DATA) / "key"
    if make and not path.exists():
        make_own(path.parent)
        _write_key(path)
    return _key(path)


@functools.cache
def _key(path: Path) -> bytes:
    require_own(path)
    content = path.read_bytes()
    if path.stat().st_mode & 0o077 or len(content) != KEY_BYTES:
        raise NotOwn(f"'{path}' can be read by others, or is damaged: it may be removed")
    return content


def _write_key(path: Path) -> None:
    """Writes a new key, whole or not at all; of several processes the first one's stays."""
    handle, name = tempfile.mkstemp(dir=path.parent)  # which nobody else can read
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()


@contextlib.contextmanager
def temporary_directory() -> Iterator[Path]:
    """Yields a new directory that nobody else can enter, which is removed when the block ends.

    It is made in the system's directory for that (`TMPDIR`), or in the user's own data where others could put another
    one in its place. What a killed process has left is removed by the next one that makes a directory there.

    Raises:
        MachineTrouble: there is no such place.
        OSError: there is no room.
    """
    place = _temporary_place()
    for left in place.glob(f"{NAME}-*{HELD}"):
        with contextlib.suppress(OSError), _held(left):
            if left.lstat().st_uid == os.geteuid():
                shutil.rmtree(left)
    begun = Path(tempfile.mkdtemp(prefix=f"{NAME}-", dir=place))
    with _held(begun):
        directory = begun.rename(begun.with_suffix(HELD))  # only now, as others remove what is not held
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Locks a directory, a lock that ends with this process; raises `OSError` where another process has it."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _temporary_place() -> Path:
    try:
        place = Path(os.path.realpath(tempfile.gettempdir()))
    except FileNotFoundError as error:
        raise MachineTrouble(f"temporary files have no place, `TMPDIR` names one: {error.strerror}") from None
    try:
        require_own(place)
    except NotOwn as error:
        place = directory_of(DATA) / "temporary"
        say_once(f"temporary files are made in '{place}': {error}")
        make_own(place)
    return place


def say_once(line: str) -> None:
    """Prints a line among the errors, unless this process has done so, or another one does."""
    if line not in _said and SILENT not in os.environ:
        print(f"nas: {line}", file=sys.stderr)
    _said.add(line)


_said: set[str] = set()
