"""Times as programs print them: one on each line, or the summary of a benchmark tool."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from evaluators.latency import NORMAL_97_5, STUDENT_97_5, MeasurementFailed, half_width
from evaluators.runtimes.target import UNITS

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
TIME = re.compile(rf"({NUMBER})\s*({'|'.join(UNITS)})?")
LITERT = re.compile(rf"count=(?P<runs>\d+) .*avg=(?P<average>{NUMBER}) std=(?P<std>{NUMBER})"
                    rf"(?:.*median=(?P<median>{NUMBER}))?(?:.*p95=(?P<p95>{NUMBER}))?")  # microseconds
ONNX_RUNTIME = re.compile(rf"(Total inference requests|Average inference time cost|P(?:50|90|95) Latency):? "
                          rf"(?:is )?({NUMBER})(?: ?(ms|s)(?:ec)?)?")
PERCENTILE_90 = 1.2816  # of the normal distribution, in standard deviations
PERCENTILE_95 = 1.6449
MEDIAN_ERROR = 1.2533  # the standard error of a median, relative to that of a mean
SHOWN = 60  # characters of a line in a message


@dataclass(frozen=True)
class Summary:
    """The summary of many runs by a benchmark tool."""

    median_ms: float
    error_ms: float  # standard error
    p95_ms: float
    runs: int


@dataclass(frozen=True)
class Printed:
    """Times of single runs in their order, or summaries."""

    times_ms: tuple[float, ...] = ()
    summaries: tuple[Summary, ...] = field(default=())

    def joined(self, later: "Printed") -> "Printed":
        """Returns the times and summaries of both, the later ones last."""
        return Printed(self.times_ms + later.times_ms, self.summaries + later.summaries)

    @property
    def median_ms(self) -> float:
        """The median run; of summaries, their median."""
        return float(np.median([each.median_ms for each in self.summaries] or self.times_ms))

    @property
    def p95_ms(self) -> float:
        """The 95th percentile of runs; of summaries, the median of theirs."""
        if self.summaries:
            return float(np.median([each.p95_ms for each in self.summaries]))
        return float(np.quantile(self.times_ms, 0.95))

    @property
    def runs(self) -> int:
        """The number of runs."""
        return len(self.times_ms) + sum(each.runs for each in self.summaries)

    def half_width_ms(self, drift: float) -> float:
        """Returns half of the 95 % interval of the median, with `drift`, the deviation between measurements.

        That of single runs is the block bootstrap of `latency.half_width`; that of summaries comes from their standard
        errors and, if there are several, their differences. A single run has none: infinity.
        """
        if not self.summaries:
            return half_width(np.array(self.times_ms), drift, lambda values: np.median(values, axis=-1))
        count = len(self.summaries)
        within = NORMAL_97_5 * math.sqrt(sum(each.error_ms**2 for each in self.summaries)) / count
        between = 0.0
        if count > 1:
            student = STUDENT_97_5[min(count - 2, len(STUDENT_97_5) - 1)]
            between = student * float(np.std([each.median_ms for each in self.summaries], ddof=1)) / math.sqrt(count)
        return math.hypot(within, between, NORMAL_97_5 * drift * self.median_ms)


def read_printed(text: str, unit: str) -> Printed:
    """Returns the times that a program has printed; `unit` is that of numbers without one.

    A line is a time: `0.31 ms`, `310us`, `310`. Or the text has what LiteRT's benchmark tool prints (its last `count=`
    line) or ONNX Runtime's (`P50 Latency` and the like); then all else in it is passed over.

    Raises:
        MeasurementFailed: a line that is no time, a number without a unit where none is declared, or a time that is
            not positive.
    """
    litert = list(LITERT.finditer(text))
    if litert:
        return Printed(summaries=(_litert_summary(litert[-1]),))
    found = {name: float(number) * UNITS[letters or "ms"] for name, number, letters in ONNX_RUNTIME.findall(text)}
    if found.get("Total inference requests", 0) and ("P50 Latency" in found):
        return Printed(summaries=(_onnx_runtime_summary(found),))
    return Printed(tuple(_times(text, unit)))


def _times(text: str, unit: str) -> Iterator[float]:
    for line in filter(None, map(str.strip, text.splitlines())):
        written = TIME.fullmatch(line)
        if written is None:
            raise MeasurementFailed(f"a command must print one time on each line, but printed '{line[:SHOWN]}'")
        number, letters = written.groups()
        if not (letters or unit):
            raise MeasurementFailed("a command must print times with their unit, or declare one with unit=us, but "
                                    f"printed '{line[:SHOWN]}'")
        time_ms = float(number) * UNITS[letters or unit]
        if not 0 < time_ms < math.inf:
            raise MeasurementFailed(f"a command must print times above 0, but printed '{line[:SHOWN]}'")
        yield time_ms


def _litert_summary(line: re.Match[str]) -> Summary:
    runs, to_ms = int(line["runs"]), UNITS["us"]
    average, std = float(line["average"]) * to_ms, float(line["std"]) * to_ms
    median = float(line["median"]) * to_ms if line["median"] else average
    p95 = float(line["p95"]) * to_ms if line["p95"] else average + PERCENTILE_95 * std
    if not (runs and median > 0):
        raise MeasurementFailed(f"a command must print times above 0, but printed '{line[0][:SHOWN]}'")
    return Summary(median, std / math.sqrt(runs), p95, runs)


def _onnx_runtime_summary(found: dict[str, float]) -> Summary:
    """Returns the summary; the deviation is told from the 90th percentile, since the tool prints none."""
    runs, median = int(found["Total inference requests"]), found["P50 Latency"]
    std = max(found.get("P90 Latency", median) - median, 0.0) / PERCENTILE_90
    p95 = found.get("P95 Latency", median + PERCENTILE_95 * std)
    return Summary(median, MEDIAN_ERROR * std / math.sqrt(runs), p95, runs)
