"""Files that may be forgotten: a directory of bounded size, from which the least recently used go first."""

import contextlib
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from evaluators.machine.files import write_whole

KEPT = 0.9  # of the bound, after files had to go; so they seldom have to


@dataclass
class Storage:
    """Contents by name in a directory of the user's own, shared by any number of processes.

    What cannot be written is not kept, and what was damaged is not found: the owner of the contents can make them
    again.

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
            digest, content = path.read_bytes().split(b"\n", 1)
            if digest.decode() != _digest(content):
                return None
            os.utime(path)
        except (OSError, ValueError):
            return None
        return content

    def write(self, name: str, content: bytes) -> None:
        """Keeps a content under a name, if it can."""
        whole = _digest(content).encode() + b"\n" + content
        if len(whole) > KEPT * self.limit_bytes:
            return
        with contextlib.suppress(OSError):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self.directory / name, whole)
            known = self._known_bytes
            self._known_bytes = self.size_bytes() if known is None else known + len(whole)
            if self._known_bytes > self.limit_bytes:
                self._forget()

    def size_bytes(self) -> int:
        """Returns how large all files are together."""
        return sum(size for _, size, _ in self._files())

    def _files(self) -> list[tuple[int, int, Path]]:
        """Returns when each file was last used, its size and path, in descending order of that time."""
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


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
