"""Processes of our own that answer requests."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

KILLED = f"died of {signal.SIGKILL.name}"  # by the kernel, as where memory is short, or by somebody

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # that users, shells, schedulers and terminals end a program by
LOOKS_EVERY_S = 0.5


def leave_ending_to_parent() -> None:
    """Makes this process ignore the signals that end a program: they reach its whole group, and the parent ends it."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def end_with_parent() -> None:
    """Ends this process soon after its parent, in the middle of anything."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOKS_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def death(process: subprocess.Popen[bytes], within_s: float = 1.0) -> str:
    """Returns the way that a process ended, in words, or its silence where it still runs after some seconds."""
    try:
        status = process.wait(within_s)
    except subprocess.TimeoutExpired:
        return "fell silent"
    return f"died of {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


_groups: set[int] = set()  # of the processes that somebody here waits for, each of which leads a group of its own


@contextlib.contextmanager
def group_of(process: subprocess.Popen[str]) -> Iterator[None]:
    """Ends a process, with all that it has started in its group, at the end of the block.

    Raises:
        KeyboardInterrupt: `end_groups` has ended it.
    """
    _groups.add(process.pid)
    try:
        yield
    finally:
        _end_group(process.pid)
        process.wait()
        interrupted = process.pid not in _groups
        _groups.discard(process.pid)
        if interrupted:
            raise KeyboardInterrupt


def end_groups() -> None:
    """Ends all processes that other threads wait for in `group_of`."""
    for leader in tuple(_groups):
        _groups.discard(leader)
        _end_group(leader)


def _end_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
