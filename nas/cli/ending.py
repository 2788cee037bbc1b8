"""The end of a command by a signal: it is interrupted, cleans up and leaves with the status of the signal."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType

from evaluators.machine.processes import ENDING

STATUS = 128  # of a program that a signal has ended, plus the number of the signal, as shells have it
AGAIN_S = 0.5  # a second SIGINT after less is the same key, which tools in between have passed on too


class Ending:
    """The signals that end a command. Use it in a `with` statement.

    The first one raises `KeyboardInterrupt`, so that all that was begun is left in order. A second Ctrl-C does not wait
    for that. Other signals that come later, as when a terminal is closed, change nothing.
    """

    def __init__(self) -> None:
        """Makes the state before any signal has come."""
        self.signal: signal.Signals | None = None
        self._since_s = 0.0

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Minds the signals during the block, but for ignored ones, as under `nohup`."""
        before = {number: signal.getsignal(number) for number in ENDING}
        minded = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
        for number in minded:
            signal.signal(number, self._receive)
        try:
            yield
        finally:
            for number in minded:
                signal.signal(number, before[number])

    def leave(self, status: int) -> None:
        """Ends the process with a status, or with that of a signal.

        After a signal nothing is waited for: not for threads that hang, and not for a terminal that is gone.
        """
        if self.signal is None:
            sys.exit(status)
        with contextlib.suppress(OSError):
            print("nas: interrupted" if self.signal is signal.SIGINT else f"nas: ended by {self.signal.name}",
                  file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(STATUS + self.signal)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal, self._since_s = signal.Signals(number), time.monotonic()
            raise KeyboardInterrupt
        if number == signal.SIGINT and time.monotonic() - self._since_s > AGAIN_S:
            os._exit(STATUS + number)
