"""Measured latency of model files: in a process of their own, in turns with training, with an interval.

How time is told from noise is in `evaluators.timing.protocol`; here is the isolation. The measuring process is spawned,
pinned to its cores, lives as long as the meter and serves any number of files. A file that hangs or kills it costs an
error and a restart.
"""

import contextlib
import dataclasses
import io
import json
import math
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

from evaluators.latency import DEFAULT_PRECISION, Latency, MeasurementFailed, NoTurn, Precision
from evaluators.machine.devices import processor
from evaluators.machine.files import write_whole
from evaluators.machine.locks import measuring_turn
from evaluators.machine.ownership import temporary_directory
from evaluators.machine.processes import KILLED, death
from evaluators.machine.trouble import MachineTrouble
from evaluators.networks.weights import initial_arrays
from evaluators.runtimes import Place, Target, is_remote, require_installed, runtime_of
from evaluators.runtimes.target import spans
from evaluators.timing.process import REFERENCE, Station, noise
from search_spaces.errors import InvalidInput, require

__all__ = ["Latency", "LatencyMeter", "MeasurementFailed", "Precision", "measure_once"]

MODULE = "evaluators.timing.process"
ERRORS = "errors.txt"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class LatencyMeter:
    """Times the model files of one target. Use it in a `with` statement.

    Where the process that trains owns the device, files are timed in this process, else in one of their own.
    """

    def __init__(self, target: Target, timeout_s: float = 60.0, quiet_ms: float | None = None,
                 wait_s: float = math.inf) -> None:
        """Prepares a meter.

        Args:
            target: the runtime and its options. The measuring process is pinned to the target's cores; by default to
                the last ones that this process may use, one for each thread. Platforms without affinity pin nothing.
            timeout_s: how long a file may take beyond the precision's own limit, for loading and compiling.
            quiet_ms: the reference model's time on the quiet machine (`Latency.quiet_reference_ms`), if it is known.
            wait_s: how long a measurement waits for its turn.

        Raises:
            InvalidInput: more threads than cores, cores that this process has not, a runtime that is not installed.
        """
        require_installed(target.runtime)
        self.target, self.timeout_s, self._quiet_ms, self._wait_s = target, timeout_s, quiet_ms, wait_s
        self._runtime = runtime_of(target)
        self._cores = () if self._runtime.place is Place.ELSEWHERE else _cores(target)
        self._process: subprocess.Popen[bytes] | None = None
        self._station: Station | None = None
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._directory = self._open.enter_context(temporary_directory())
        self._open.callback(self._stop)
        self._reference = self._directory / f"reference{self._runtime.suffix}"
        self._runtime.write(REFERENCE, initial_arrays(REFERENCE.program, seed=0), self._reference, {})
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    @property
    def pid(self) -> int | None:
        """The measuring process, while it runs."""
        return self._process.pid if self._process is not None else None

    def measure(self, model: Path, shape: tuple[int, int, int], precision: Precision = DEFAULT_PRECISION,
                images: np.ndarray | None = None) -> Latency:
        """Returns the latency of one run of a model file, and waits for a turn first.

        Args:
            model: a file that the target's runtime has written.
            shape: its input `(H, W, C)`.
            precision: how exact the result is to be.
            images: normalised float32 images `[B, H, W, C]` to run, repeated or cut to the target's batch; noise by
                default.

        Raises:
            MeasurementFailed: the file cannot be run, crashes its process or takes too long, or its turn does not come.
            MachineTrouble: the process does not start or is killed, or the system refuses a file or a lock.
        """
        batch = self.target.options.batch
        inputs = noise(batch, shape) if images is None else np.resize(images, (batch, *images.shape[1:]))
        if inputs.shape[1:] != shape:
            raise InvalidInput(f"images must have the model's shape {shape}, but got {inputs.shape[1:]}")
        with self._turn():
            load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
            if is_remote(self._runtime):
                latency = self._runtime.measure(model, precision)
            elif self._runtime.place is Place.HERE:
                latency = self._measure_here(model, inputs, precision)
            else:
                latency = self._measure_apart(model, inputs, precision)
        self._quiet_ms = latency.quiet_reference_ms
        latency = dataclasses.replace(latency, cores=spans(self._cores), load_average=load_average)
        if self._runtime.place is Place.ELSEWHERE:
            return latency
        return dataclasses.replace(latency, host=socket.gethostname(), processor=processor())

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(measuring_turn(self._wait_s))
            except TimeoutError:
                raise NoTurn("other processes train or measure on this machine, and no turn has come in "
                             f"{self._wait_s:g} s") from None
            yield

    def _measure_here(self, model: Path, images: np.ndarray, precision: Precision) -> Latency:
        if self._station is None:
            self._station = Station.open(self.target, self._reference, self._quiet_ms)
        return self._station.measure(model, images, precision)

    def _measure_apart(self, model: Path, images: np.ndarray, precision: Precision) -> Latency:
        if self._process is None or self._process.poll() is not None:
            self._start()
        path = self._directory / "images.npy"
        np.save(content := io.BytesIO(), images, allow_pickle=False)  # into a file, numpy hides why it cannot
        write_whole(path, content.getvalue())
        request = {"model": str(model.absolute()), "images": str(path), "precision": dataclasses.asdict(precision)}
        answer = self._ask(request, f"timed '{model}'", self.timeout_s + precision.at_most_s)
        return Latency.stored(answer["latency"])

    def _start(self) -> None:
        self._stop()
        path = [str(Path(__file__).parents[2]), *sys.path]  # a folder of the user's may have modules of our names
        start = f"import sys; sys.path[:] = {path!r}; from {MODULE} import main; main()"
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(self.target.options.threads))
        with (self._directory / ERRORS).open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                env=environment | {"JAX_PLATFORMS": "cpu"})
        try:
            self._ask({"target": self.target.text, "reference": str(self._reference), "cores": self._cores,
                       "quiet_ms": self._quiet_ms}, "started", self.timeout_s)
        except MeasurementFailed as error:  # before it has seen any file
            raise MachineTrouble(str(error)) from None

    def _ask(self, request: dict[str, Any], doing: str, timeout_s: float) -> dict[str, Any]:
        """Returns the answer to a request; a process that gives none is ended."""
        assert self._process is not None
        try:
            answer = json.loads(_exchange(self._process, json.dumps(request).encode() + b"\n", timeout_s))
        except BaseException as error:  # even an interrupt, or the next request would get this one's answer
            reason = f"was ended after {timeout_s:g} s" if isinstance(error, TimeoutError) else death(self._process)
            failure = MachineTrouble if reason == KILLED else MeasurementFailed
            self._stop()
            if isinstance(error, TimeoutError | BrokenPipeError | EOFError):
                words = self._last_words()
                raise failure(f"the measuring process {reason} while it {doing}{words}") from None
            raise
        if "error" in answer:
            failure = MachineTrouble if answer["trouble"] else MeasurementFailed
            raise failure(f"the measuring process failed while it {doing}: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        lines = (self._directory / ERRORS).read_text(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                stream.close()  # type: ignore[union-attr]  # both are pipes
        self._process = None


def measure_once(target: Target, model: Path, shape: tuple[int, int, int], precision: Precision = DEFAULT_PRECISION,
                 images: np.ndarray | None = None, quiet_ms: float | None = None, wait_s: float = math.inf) -> Latency:
    """Returns the latency of a model file from a fresh measuring process, as a certificate states it.

    The arguments are those of `LatencyMeter` and `LatencyMeter.measure`.
    """
    with LatencyMeter(target, quiet_ms=quiet_ms, wait_s=wait_s) as meter:
        return meter.measure(model, shape, precision, images)


def _cores(target: Target) -> tuple[int, ...]:
    """Returns the cores that files are timed on."""
    options = target.options
    if not hasattr(os, "sched_getaffinity"):
        require(not options.cores, f"`cores` are for platforms that let a process choose, but got '{target}'")
        return ()
    here = sorted(os.sched_getaffinity(0))
    require(set(options.cores) <= set(here), f"`cores` must be those of this process, {spans(here)}, but got "
            f"{spans(options.cores)}")
    require(len(here) >= options.threads, f"`threads` must be at most the cores of this process, {len(here)}, but got "
            f"{options.threads}")
    return options.cores or tuple(here[-options.threads:])


def _exchange(process: subprocess.Popen[bytes], request: bytes, timeout_s: float) -> bytes:
    """Returns the line that answers a request; raises `TimeoutError`, or `EOFError` where the process ends instead."""
    assert process.stdin is not None and process.stdout is not None
    deadline = time.monotonic() + timeout_s
    process.stdin.write(request)
    process.stdin.flush()
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([process.stdout], [], [], max(deadline - time.monotonic(), 0))[0]:
            raise TimeoutError
        part = os.read(process.stdout.fileno(), 65536)
        if not part:
            raise EOFError
        line += part
    return line
