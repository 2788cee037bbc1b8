"""Coordinator: one worker of a search at a time proposes, measures and records, while others train."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from nas.run.sharing import Sharing

POLL_S = 0.2  # until a worker that waits looks at what those in other processes have done


class Coordinator:
    """A lock that a worker holds, in a `with` statement, in all that it does but training.

    Among the threads of a process it is a lock in memory, among processes the turn of a search.

    Attributes:
        held: whether a thread of this process holds it.
    """

    def __init__(self, sharing: Sharing) -> None:
        """Takes the agreement of the processes."""
        self._changed = threading.Condition(threading.Lock())
        self._sharing = sharing
        self.held = False

    def __enter__(self) -> None:
        self._changed.acquire()
        try:
            self._sharing.acquire()
        except BaseException:
            self._changed.release()
            raise
        self.held = True

    def __exit__(self, *error: object) -> None:
        self.held = False
        self._sharing.release()
        self._changed.release()

    @contextmanager
    def released(self) -> Iterator[None]:
        """Releases the coordinator to other workers during the block."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def wait(self) -> None:
        """Releases the coordinator until a worker of this process has announced something, or for a moment."""
        self.held = False
        self._sharing.release()
        try:
            self._changed.wait(POLL_S)
        finally:
            self._sharing.acquire()
            self.held = True

    def announce(self) -> None:
        """Wakes the waiting workers of this process, which look again once the coordinator is free."""
        self._changed.notify_all()
