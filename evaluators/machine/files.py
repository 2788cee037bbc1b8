"""Files and directories that appear whole or not at all."""

import contextlib
import errno
import fcntl
import glob
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from search_spaces.errors import InvalidInput, require

STDOUT = (Path("-"), Path("/dev/stdout"))
BEING_WRITTEN, BEFORE = "written-", ".before"  # in the names of directories that are not in their place


def at_home(path: str | Path) -> Path:
    """Returns a path with `~` expanded, as shells do not in `--out=~/file`; as it is where nobody has that home."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - that of `Path` raises


def exists(path: str | Path) -> bool:
    """Tells whether there is a file or directory of a name."""
    return os.path.exists(path)  # noqa: PTH110 - false for a text too long for a path, and where we may not look


def held(directory: Path, *names: str) -> Path:
    """Returns the path of a file or directory that another directory holds, be it there or not.

    Args:
        directory: which may have come from elsewhere; it may itself be reached by links.
        names: of directories, one in the other, and of the file.

    Raises:
        InvalidInput: one of them is a link, which may lead anywhere, or neither file nor directory.
    """
    path = directory
    for name in names:
        path /= name
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            mode = path.lstat().st_mode
            require(stat.S_ISREG(mode) or stat.S_ISDIR(mode), f"'{directory}' must hold files and directories of its "
                    f"own, but '{path}' is {'a link' if stat.S_ISLNK(mode) else 'none'}")
    return path


def require_writable(path: Path, what: str) -> None:
    """Raises `InvalidInput` if nothing can be written to a directory, or made where it is to be; leaves nothing behind.

    Args:
        path: the directory.
        what: what it is, for the message.
    """
    parent = next(one for one in (path, *path.absolute().parents) if one.exists())
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise InvalidInput(f"{what} must be a directory that can be written, but got '{path}': {error.strerror}"
                           ) from None


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file beside its place and moves it there, so that nobody ever sees half of it.

    A symbolic link stays, and what it leads to is written. A pipe or a device is written into; `-` is standard output.

    Raises:
        OSError: it cannot be written there; names `path`.
    """
    if path in STDOUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    place = followed(path)
    try:
        if place.exists() and not place.is_file():
            place.write_bytes(content)  # raises for a directory
            return
        handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            temporary.chmod(0o644)
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def followed(path: Path) -> Path:
    """Returns the place that symbolic links lead to from a path; the path itself where there are none.

    Raises:
        OSError: the links lead in a circle.
    """
    if not path.is_symlink() or (path.exists() and not path.is_file() and not path.is_dir()):
        return path  # also a pipe behind a link of /proc, which has no other name
    place = Path(os.path.realpath(path))
    if place.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return place


@contextlib.contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """Yields a new directory that takes the place of `path` when the block ends well, and else is removed.

    A symbolic link stays, and what it leads to is replaced. What was there before is removed last. What killed
    processes have left is put right first; a directory that a living process still fills is locked.
    """
    path = followed(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}.{BEING_WRITTEN}"
    for left in sorted(path.parent.glob(f"{glob.escape(prefix)}*")):
        put_right(left, path)
    new = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
    before = new.with_name(f"{new.name}{BEFORE}")
    try:
        with locked(new):
            yield new
            new.chmod(0o755)
            if path.exists():
                path.replace(before)
            try:
                new.replace(path)
            except OSError:
                if before.exists():
                    before.replace(path)
                raise
            shutil.rmtree(before, ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def put_right(left: Path, path: Path, dry: bool = False) -> str:
    """Removes a directory that a killed process has left, or puts it back as `path` if that was there before.

    Returns the deed in words, empty where there is nothing to do; with `dry` it is not done.
    """
    with contextlib.suppress(FileNotFoundError):
        status = left.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            return ""  # somebody else's, to be taken for ours or to be in the way
        with locked(left) as free:
            if free and left.suffix == BEFORE and not path.exists():
                if not dry:
                    left.replace(path)  # its process was killed between the two moves of `whole_directory`
                return f"put back as '{path.name}'"
            if free:
                if not dry:
                    shutil.rmtree(left, ignore_errors=True)
                return "removed"
    return ""


@contextlib.contextmanager
def locked(directory: Path, waits: bool = False) -> Iterator[bool]:
    """Locks a directory until the block or this process ends; yields whether no other process had locked it.

    With `waits` it does so once no other process has it locked.
    """
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        free = True
    except BlockingIOError:
        free = False
    try:
        yield free
    finally:
        os.close(handle)
