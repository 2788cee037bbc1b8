"""Any device that a command line reaches: the command is given the model file and prints how long its runs took.

`command:ssh pi ./bench.sh {model}` runs that text in a shell, with the file's path for `{model}`; `{threads}` and
`{batch}` stand for the options of the same names. `command[format=litert,unit=us]:...` has options.
"""

import math
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from evaluators.latency import DRIFT, Latency, MeasurementFailed, Precision, imprecise
from evaluators.machine.processes import group_of
from evaluators.machine.trouble import MachineTrouble
from evaluators.runtimes.benchmark_output import Printed, read_printed
from evaluators.runtimes.remote import Elsewhere, require_writable_format
from evaluators.runtimes.runtime import Argument, Place
from evaluators.runtimes.target import Target
from search_spaces.errors import require

MODEL = "{model}"
UNBOUND = Target("command", argument=MODEL)
PLACES = ("threads", "batch")  # options that the command has to be told
NOT_RUN = (126, 127)  # statuses of a shell for a program that cannot be run, or that is not there
SHOWN = 80  # characters of a command in a message


@dataclass(frozen=True)
class Command(Elsewhere):
    """A command line that times model files."""

    place: ClassVar[Place] = Place.ELSEWHERE
    argument: ClassVar[Argument] = Argument.TEXT
    target: Target = UNBOUND
    options: tuple[str, ...] = ("threads", "batch", "precision", "format", "unit", "timeout_s")

    def bound(self, target: Target) -> Self:
        """Returns the runtime of a target's command.

        Raises:
            InvalidInput: no place for the model or an option in the command, or an unknown format.
        """
        options, text = target.options, target.argument
        require_writable_format(options, "a command's")
        require(MODEL in text, f"a command says with {MODEL} where its model file goes, but got '{text}'")
        for name in PLACES:
            require(name not in options.given or f"{{{name}}}" in text, f"a command says with {{{name}}} where the "
                    f"option goes, but got {name}={getattr(options, name)} for '{text}'")
        return type(self)(target)

    def measure(self, path: Path, precision: Precision) -> Latency:
        """Returns the latency of a model file, as the command prints it.

        The command runs again as long as the times are not exact enough and it would end within the precision's limit.

        Raises:
            MeasurementFailed: the command fails, takes too long, or prints no times.
            MachineTrouble: there is no such command.
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
        """Returns the output of the command for a model file."""
        options = self.target.options
        line = self.target.argument.replace(MODEL, shlex.quote(str(path.absolute())))
        for name in PLACES:
            line = line.replace(f"{{{name}}}", str(getattr(options, name)))
        process = subprocess.Popen(line, shell=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True)
        with group_of(process):
            try:
                output, errors = process.communicate(timeout=options.timeout_s)
            except subprocess.TimeoutExpired:
                raise MeasurementFailed(f"{self._shown} was given up after {options.timeout_s} s") from None
        if process.returncode:
            last = (errors.strip() or output.strip() or "it printed nothing").splitlines()[-1]
            failure = MachineTrouble if process.returncode in NOT_RUN else MeasurementFailed
            raise failure(f"{self._shown} ended with status {process.returncode}: {last}")
        if not output.strip():
            raise MeasurementFailed(f"{self._shown} printed nothing")
        return output

    @property
    def _shown(self) -> str:
        text = self.target.argument
        return f"the command '{text if len(text) <= SHOWN else text[:SHOWN] + '...'}'"
