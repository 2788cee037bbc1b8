"""Coordinator: one worker of a search at a time proposes, measures and records, while others train."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Coordinator:
    """A lock that a worker holds, in a `with` statement, in all that it does but training."""

    def __init__(self) -> None:
        """Makes a coordinator that is free."""
        self._changed = threading.Condition(threading.Lock())
        self._claimed: set[str] = set()

    def __enter__(self) -> None:
        self._changed.acquire()

    def __exit__(self, *error: object) -> None:
        self._changed.release()

    @contextmanager
    def released(self) -> Iterator[None]:
        """Lets others hold it during the block."""
        self._changed.release()
        try:
            yield
        finally:
            self._changed.acquire()

    def wait(self) -> None:
        """Lets others hold it until one of them has announced something."""
        self._changed.wait()

    def announce(self) -> None:
        """Lets all that wait look again, once the coordinator is free."""
        self._changed.notify_all()

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Waits until no other worker claims the name, and claims it during the block; tells whether it has waited."""
        waited = name in self._claimed
        while name in self._claimed:
            self.wait()
        self._claimed.add(name)
        try:
            yield waited
        finally:
            self._claimed.remove(name)
            self.announce()
