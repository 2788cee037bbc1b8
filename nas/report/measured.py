"""The written form of measured values with their intervals, the same in every report."""

import math

from nas.problem.candidate import Interval

UNKNOWN = "–"


def accuracy_text(accuracy: float | None, interval: Interval | None = None) -> str:
    """Returns an accuracy in per cent, without the sign.

    >>> accuracy_text(0.912, (0.906, 0.9175))
    '91.20 [90.60, 91.75]'
    """
    return _text(accuracy, interval, 100, 2)


def latency_text(latency_ms: float | None, interval_ms: Interval | None = None) -> str:
    """Returns a latency in milliseconds, without the unit: three significant digits, and its interval as precisely.

    >>> latency_text(0.09, (0.08931, 0.0912))
    '0.0900 [0.0893, 0.0912]'
    """
    if not latency_ms:
        return UNKNOWN
    return _text(latency_ms, interval_ms, 1, max(0, 2 - math.floor(math.log10(latency_ms))))


def _text(value: float | None, interval: Interval | None, scale: int, decimals: int) -> str:
    if value is None:
        return UNKNOWN
    text = f"{value * scale:.{decimals}f}"
    if interval is None:
        return text
    low, high = (f"{end * scale:.{decimals}f}" for end in interval)
    return f"{text} [{low}, {high}]"
