"""Commands of `nas` in processes that are forked, as imports would take most of the time of those that are killed."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

from evaluators.machine.memory import TUNABLES

IMPORTED = ("nas.api", "nas.cli.terminal", "nas.report.table", "nas.report.terminal", "optuna", "onnx",
            "sqlalchemy.dialects.sqlite", "alembic.command", "experiments.commands")
ENDS_WITHIN_S = 10.0  # children of a process that was killed notice that their pipe is closed


@dataclass
class Command:
    """A command in a session of its own, which is started as often as it is asked to, and ends with this process.

    Attributes:
        arguments: those of `nas`.
        log: the file that takes what it prints.
        environment: variables that it has besides those of this process.
        directory: where it runs.
        sessions: the sessions that it has had.
    """

    arguments: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path = field(default_factory=Path.cwd)
    sessions: list[int] = field(default_factory=list)
    _process: ForkServerProcess | None = None

    def start(self) -> None:
        """Starts the command."""
        self._process = forking().Process(target=_run, daemon=True, args=(
            list(self.arguments), str(self.log), {TUNABLES: "", **self.environment}, str(self.directory)))
        self._process.start()
        assert self._process.pid is not None
        self.sessions.append(self._process.pid)

    @property
    def status(self) -> int | None:
        """The exit status; that of a signal is negative. None while it runs."""
        return None if self._process is None else self._process.exitcode

    def kill(self) -> bool:
        """Sends the process the signal that it cannot catch; tells whether it has died of that."""
        assert self._process is not None
        self._process.kill()
        self._process.join()
        return bool(self.status and self.status < 0)

    def join(self, within_s: float) -> int | None:
        """Returns the exit status of the command, None where it has not ended in `within_s`."""
        assert self._process is not None
        self._process.join(within_s)
        return self.status


def forking() -> ForkServerContext:
    """Returns a context whose processes are forked from one that has imported the engine."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    return context


def _run(arguments: list[str], log: str, environment: dict[str, str], directory: str) -> None:
    from nas import cli

    os.setsid()  # by which its children are found
    threading.Thread(target=_end_with_experiment, daemon=True).start()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.environ.update(environment)
    os.chdir(directory)
    sys.argv = ["nas", *arguments]
    cli.main()


def _end_with_experiment() -> None:
    """Ends this process and its children with the experiment, whose child it is not: it was forked for that."""
    experiment = multiprocessing.parent_process()
    assert experiment is not None
    experiment.join()
    os.killpg(0, signal.SIGKILL)


def orphans(sessions: Sequence[int], within_s: float = ENDS_WITHIN_S) -> list[str]:
    """Returns the command lines of processes of sessions that are still there after some time."""
    deadline_s = time.monotonic() + within_s
    while (found := _of_sessions(set(sessions))) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return found


def _of_sessions(sessions: set[int]) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            state, _, _, session = (process / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) in sessions and state != "Z":
                found.append((process / "cmdline").read_text().replace("\0", " ").strip())
    return found
