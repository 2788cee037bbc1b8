"""The training processes of a search with several workers: candidates side by side, each in a process of its own.

Small networks cannot keep several cores busy, and within one process trainings wait for each other; see
docs/decisions/0005-workers.md.
"""

import contextlib
import math
import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

from evaluators.datasets import Dataset
from evaluators.evaluator import Context, Diverged, Evaluator, Fidelity, Score
from evaluators.machine.devices import whole_cores
from evaluators.machine.locks import training_turn
from evaluators.machine.ownership import SILENT
from evaluators.machine.processes import KILLED, death, end_with_parent, leave_ending_to_parent
from evaluators.machine.trouble import MachineTrouble, is_trouble
from nas.engine.trial import CandidateFailed, in_words
from nas.problem.quantities import format_bytes, format_duration
from nas.run.config import evaluator_named
from search_spaces.architecture import Architecture
from search_spaces.errors import require

STATUS = "/proc/{}/status"  # of a process, where Linux tells its peak memory
LOOKS_EVERY_S = 0.1


@dataclass(frozen=True)
class Limits:
    """The limits of a training.

    Attributes:
        time_s: that the training of a candidate may take in one go, however many rungs it passes.
        memory_bytes: that its process may have taken at its peak.
    """

    time_s: float | None = None
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        require(self.memory_bytes is None or Path(STATUS.format("self")).exists(),
                f"the memory of a training is limited where Linux tells it, but '{STATUS.format('self')}' is missing")

    def excess(self, spent_s: float, process: int) -> str | None:
        """Returns the limit that a training exceeds in a process, and the value, in words; None while it keeps both."""
        if self.time_s is not None and spent_s > self.time_s:
            return (f"a training takes at most {format_duration(self.time_s)}, but this one was ended after "
                    f"{format_duration(spent_s)}")
        if self.memory_bytes is not None and (peak := _peak_bytes(process)) > self.memory_bytes:
            return (f"a training process takes at most {format_bytes(self.memory_bytes)} of memory, but this one took "
                    f"{format_bytes(peak)}")
        return None


Answer = tuple[Score | float | None, str, type[RuntimeError] | None]  # a score, or an error in words and its kind


class TrainingProcess:
    """An evaluator in a process of its own, which is started when it is needed. Use it in a `with` statement.

    It survives a candidate that fails. One that kills it, or exceeds a limit, costs an error and a new process.
    """

    def __init__(self, evaluator: str, context: Context, worker: int, workers: int, limits: Limits = Limits()) -> None:
        """Takes an evaluator's name and context, which of how many processes this is that share the machine, limits."""
        self._evaluator, self._context, self._limits = evaluator, context, limits
        self._spent: tuple[object, float] = None, 0.0  # on which training, and how long
        self._environment = _share(worker, workers)
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __call__(self, architecture: Architecture, data: Dataset, fidelity: Fidelity) -> Score | float:
        """Returns the score of a candidate.

        Raises:
            Diverged: the training did.
            CandidateFailed: the evaluator raised another error, ended its process, or exceeded a limit.
            MachineTrouble: the process does not start, was killed, or lacks what it needs of the machine.
            KeyboardInterrupt: the process was closed in the meantime.
        """
        answer, = self.scores([(architecture, fidelity)])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def scores(self, candidates: Sequence[tuple[Architecture, Fidelity]]) -> list[Score | float | Exception]:
        """Returns the scores of candidates, trained side by side if they are several, or the errors that they raised.

        Raises as for one candidate where the process is to blame, or has ended.
        """
        failure: type[RuntimeError] = MachineTrouble  # until it has seen the candidates
        try:
            if self._connection is None:
                self._start()
            failure = CandidateFailed
            assert self._connection is not None
            self._connection.send(candidates)
            if self._limits != Limits():
                self._watch([(architecture.text, fidelity.recipe) for architecture, fidelity in candidates])
            answers = self._connection.recv()
        except (OSError, EOFError) as cause:
            how = self._end(cause)
            if self._closed:
                raise KeyboardInterrupt from None
            raise (MachineTrouble if how == KILLED else failure)(f"the training process {how}") from None
        return [kind(error) if kind else result for result, error, kind in answers]

    def _watch(self, training: object) -> None:
        """Waits for an answer; ends the process and raises `CandidateFailed` where a training exceeds a limit."""
        assert self._connection is not None and self._process is not None
        began_s = time.monotonic() - (self._spent[1] if self._spent[0] == training else 0.0)
        answered = False
        while not answered:
            answered = self._connection.poll(LOOKS_EVERY_S)
            self._spent = training, time.monotonic() - began_s
            if excess := self._limits.excess(self._spent[1], self._process.pid):
                self._process.kill()
                self._end(EOFError())
                raise CandidateFailed(excess)

    def close(self) -> None:
        """Ends the process, whatever it does; an evaluation that waits for it is interrupted."""
        self._closed = True
        if (process := self._process) is not None:
            process.kill()
            process.wait()

    def _start(self) -> None:
        if self._closed:
            raise EOFError
        ours, theirs = socket.socketpair()
        start = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main({theirs.fileno()})"
        with training_turn():  # until it is ready, as its start would disturb a measurement
            if self._closed:  # while it waited for the turn
                raise EOFError
            with theirs:
                self._process = subprocess.Popen([sys.executable, "-P", "-c", start], pass_fds=[theirs.fileno()],
                                                 stdin=subprocess.DEVNULL, env=self._environment)
            self._connection = Connection(ours.detach())
            self._connection.send((self._evaluator, self._context))
            self._connection.recv()

    def _end(self, cause: Exception) -> str:
        """Ends the process after an error, and returns the way that it ended, in words."""
        how = f"did not start: {in_words(cause)}"
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            how = death(self._process, within_s=10.0)  # it has closed its end, and a busy machine takes its time
            self._process.kill()
            self._process.wait()
        self._process = self._connection = None
        return how


def _peak_bytes(process: int) -> int:
    """Returns the memory that a process has had at its peak; 0 if it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(STATUS.format(process)).read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 0


def _share(worker: int, workers: int) -> dict[str, str]:
    """Returns the environment of a process with its share of the cores, of the devices and of their memory.

    Of several devices each worker has one; a device of several workers is shared.
    """
    devices = _devices()
    per_device = math.ceil(workers / max(1, len(devices)))
    environment = {"PJRT_NPROC": str(max(1, whole_cores() // workers)),
                   "XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / per_device:.2f}", **os.environ}  # unless they are set
    if worker:
        environment[SILENT] = "1"  # the first one says what concerns all
    if len(devices) > 1:
        environment["CUDA_VISIBLE_DEVICES"] = devices[worker % len(devices)]
    return environment


def _devices() -> list[str]:
    """Returns the names of the accelerators of NVIDIA that this process may use."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    return [str(index) for index, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]


def main(handle: int) -> None:
    """Answers each candidate with its score, until the other end is closed."""
    leave_ending_to_parent()
    end_with_parent()
    connection = Connection(handle)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        name, context = connection.recv()
        evaluate = evaluator_named(name)(context)
        connection.send("ready")
        while True:
            connection.send(_answers(evaluate, connection.recv(), context.dataset))


def _answers(evaluate: Evaluator, candidates: Sequence[tuple[Architecture, Fidelity]], data: Dataset) -> list[Answer]:
    """Returns the answer to each candidate; where several cannot be trained at a time, they are in turn."""
    if len(candidates) > 1:
        from evaluators.training.train import evaluate_side_by_side  # imports jax

        with contextlib.suppress(Exception):  # such as too little memory for all of them
            return [(None, str(score), Diverged) if isinstance(score, Diverged) else (score, "", None)
                    for score in evaluate_side_by_side(candidates, data)]
    return [_answer(evaluate, architecture, data, fidelity) for architecture, fidelity in candidates]


def _answer(evaluate: Evaluator, architecture: Architecture, data: Dataset, fidelity: Fidelity) -> Answer:
    """Returns the score of a candidate, or the error that it ended with in words and its kind."""
    try:
        score = evaluate(architecture, data, fidelity)
        pickle.dumps(score)
        return score, "", None
    except Diverged as error:
        return None, str(error), Diverged
    except Exception as error:  # whatever a candidate raises is the answer
        return None, in_words(error), MachineTrouble if is_trouble(error) else CandidateFailed
