"""Files that may be forgotten: a directory of bounded size, from which the least recently used go first."""

import contextlib
import hmac
import os
from dataclasses import dataclass, field
from pathlib import Path

from evaluators.machine import ownership
from evaluators.machine.files import write_whole
from evaluators.machine.ownership import NotOwn, make_own, require_own, say_once

CODE_BYTES = 64
KEPT = 0.9  # of the bound, after files had to go; so they seldom have to


@dataclass
class Storage:
    """Contents by name in a directory of the user's own, shared by any number of processes.

    What cannot be written is not kept, and what was damaged is not found: the owner of the contents can make them
    again. Nor is what this user may not have written: each file bears a code of its name and content that only who has
    the user's key can make, and where others can have a hand in the directory, nothing is kept in it or loaded from it.

    Attributes:
        directory: where they are; made when something is written.
        limit_bytes: of all contents together; 0 keeps nothing.
    """

    directory: Path
    limit_bytes: int
    _known_bytes: int | None = field(default=None, repr=False)

    def read(self, name: str) -> bytes | None:
        """Returns the content that was written under a name, or None."""
        path = self.directory / name
        try:
            _require_own_file(path)
            code, content = path.read_bytes().split(b"\n", 1)
            if not hmac.compare_digest(code, _code(ownership.key(), name, content)):
                return None
            os.utime(path)
        except NotOwn as error:
            self._refuse(error)
            return None
        except (OSError, ValueError):
            return None
        return content

    def write(self, name: str, content: bytes) -> None:
        """Keeps a content under a name, if it can."""
        if CODE_BYTES + 1 + len(content) > KEPT * self.limit_bytes:
            return
        path = self.directory / name
        try:
            make_own(self.directory)
            _require_own_file(path)
            whole = _code(ownership.key(make=True), name, content) + b"\n" + content
            write_whole(path, whole)
            known = self._known_bytes
            self._known_bytes = self.size_bytes() if known is None else known + len(whole)
            if self._known_bytes > self.limit_bytes:
                self._forget()
        except NotOwn as error:
            self._refuse(error)
        except OSError as error:
            say_once(f"nothing more is kept in '{self.directory}': {error.strerror}")

    def _refuse(self, error: NotOwn) -> None:
        say_once(f"nothing is kept in '{self.directory}' or loaded from it: {error}")

    def size_bytes(self) -> int:
        """Returns the total size of all files."""
        return sum(size for _, size, _ in self._files())

    def _files(self) -> list[tuple[int, int, Path]]:
        """Returns the time of last use, the size and the path of each file, the last used first."""
        found = []
        for path in self.directory.glob("*"):
            with contextlib.suppress(FileNotFoundError):  # another process may have removed it
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
        return sorted(found, reverse=True)

    def _forget(self) -> None:
        kept = 0
        for _, size, path in self._files():
            if kept + size > KEPT * self.limit_bytes:
                path.unlink(missing_ok=True)
            else:
                kept += size
        self._known_bytes = kept


def _require_own_file(path: Path) -> None:
    """Raises `NotOwn` unless a path is wholly the user's own and no pipe, which would be waited for."""
    require_own(path)
    if path.exists() and not path.is_file():
        raise NotOwn(f"'{path}' is no file")


def _code(key: bytes, name: str, content: bytes) -> bytes:
    """Returns the authentication code (HMAC, RFC 2104) of a content under its name."""
    return hmac.digest(key, name.encode() + b"\n" + content, "sha256").hex().encode()
