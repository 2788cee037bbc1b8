"""Any device that a command line reaches: the command is given the model file and prints how long its runs took.

`command:ssh pi ./bench.sh {model}` runs that text in a shell, with the file's path for `{model}`; `{threads}` and
`{batch}` stand for the options of the same names. `command[format=litert,unit=us]:...` has options.
"""

import contextlib
import math
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from evaluators.runtimes.litert import LiteRt
from evaluators.runtimes.onnxruntime import OnnxRuntime
from evaluators.runtimes.printed import Printed, read_printed
from evaluators.runtimes.runtime import Arrays, Runtime, Session
from evaluators.runtimes.target import Options, Target
from evaluators.runtimes.timing import DRIFT, Latency, MeasurementFailed, Precision, imprecise
from search_spaces.architecture import Architecture
from search_spaces.errors import unknown
from search_spaces.layers import require

FILES: dict[str, Runtime] = {"onnx": OnnxRuntime(), "litert": LiteRt()}  # and what runs them here
MODEL = "{model}"
UNBOUND = Target("command", argument=MODEL)
PLACES = ("threads", "batch")  # options that the command has to be told
SHOWN = 80  # characters of a command in a message


@dataclass(frozen=True)
class Command:
    """A command line that times model files. Without a target it writes ONNX files."""

    target: Target = UNBOUND
    options: tuple[str, ...] = ("threads", "batch", "precision", "format", "unit", "timeout_s")

    @property
    def file(self) -> Runtime:
        """The runtime whose files the command is given, which also runs them here."""
        return FILES[self.target.options.format].bound(self.target)

    @property
    def format(self) -> str:
        """The name of the kind of file."""
        return self.file.format

    @property
    def suffix(self) -> str:
        """What the names of the files end in."""
        return self.file.suffix

    @property
    def module(self) -> str:
        """The import name of the library that writes the files."""
        return self.file.module

    @property
    def input_layout(self) -> str:
        """The type and axes of the file's input."""
        return self.file.input_layout

    def bound(self, target: Target) -> Self:
        """Returns the runtime of a target's command.

        Raises:
            InvalidInput: no place for the model or an option in the command, or an unknown format.
        """
        options, text = target.options, target.argument
        if options.format not in FILES:
            raise unknown("format of a command's files", options.format, FILES)
        require(MODEL in text, f"a command says with {MODEL} where its model file goes, but got '{text}'")
        for name in PLACES:
            require(name not in options.given or f"{{{name}}}" in text, f"a command says with {{{name}}} where the "
                    f"option goes, but got {name}={getattr(options, name)} for '{text}'")
        require("precision" in FILES[options.format].options or "precision" not in options.given,
                f"`precision` of {options.format} files is float32, but got precision={options.precision}")
        return type(self)(target)

    def versions(self) -> dict[str, str]:
        """Returns the versions of what writes the file and runs it here; the device's are not known."""
        return self.file.versions()

    def owns_device(self) -> bool:
        """Tells that any process may time."""
        return False

    def write(self, architecture: Architecture, arrays: Arrays, path: Path, metadata: Mapping[str, str],
              images: np.ndarray | None = None) -> None:
        """Writes the network as a model file of the format that the command is given."""
        self.file.write(architecture, arrays, path, metadata, images)

    def load(self, path: Path, options: Options) -> Session:
        """Returns the model file, ready to run here, on the runtime of its format: to see what it computes."""
        return self.file.load(path, Options(options.threads, options.batch))

    def measure(self, path: Path, precision: Precision) -> Latency:
        """Returns the latency of a model file, from what the command prints.

        The command runs again as long as the times are not exact enough and it would end within the precision's limit.

        Raises:
            MeasurementFailed: the command fails, takes too long, or prints no times.
        """
        start, found = time.monotonic(), Printed()
        while True:
            begin = time.monotonic()
            found = found.joined(read_printed(self._output(path), self.target.options.unit))
            median, half = found.median_ms, found.half_width_ms(DRIFT)
            elapsed_s, last_s = time.monotonic() - start, time.monotonic() - begin
            if half <= precision.half_width * median or elapsed_s + last_s > precision.at_most_s:
                break
        if not math.isfinite(half):
            raise MeasurementFailed("a command must print at least two times, or the summary of a benchmark tool, but "
                                    f"{self._shown} printed '{found.times_ms[0]:g} ms' only")
        return Latency(median, max(median - half, 0.0), median + half, found.p95_ms, found.runs, elapsed_s,
                       reference_ms=0.0, quiet_reference_ms=0.0, load=0.0,
                       flags=imprecise(half / median, precision, elapsed_s))

    def _output(self, path: Path) -> str:
        """Returns what the command prints for a model file."""
        options = self.target.options
        line = self.target.argument.replace(MODEL, shlex.quote(str(path.absolute())))
        for name in PLACES:
            line = line.replace(f"{{{name}}}", str(getattr(options, name)))
        process = subprocess.Popen(line, shell=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True)
        try:
            output, errors = process.communicate(timeout=options.timeout_s)
        except subprocess.TimeoutExpired:
            raise MeasurementFailed(f"{self._shown} was given up after {options.timeout_s} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it started, too
            process.wait()
        if process.returncode:
            last = (errors.strip() or output.strip() or "it printed nothing").splitlines()[-1]
            raise MeasurementFailed(f"{self._shown} ended with status {process.returncode}: {last}")
        if not output.strip():
            raise MeasurementFailed(f"{self._shown} printed nothing")
        return output

    @property
    def _shown(self) -> str:
        text = self.target.argument
        return f"the command '{text if len(text) <= SHOWN else text[:SHOWN] + '...'}'"
