"""What stopped trainings would have come to, told by those that went on."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

SLOPE, WEIGHT = 0.5, 0.08  # the slope that is expected, and the sum of squares that would say as much


def final_errors(curves: Sequence[Mapping[int, float]]) -> NDArray[np.float64]:
    """Returns the error of each training at its end `[N]`, what is expected where it was stopped, NaN without training.

    The logarithm of the error at the end is linear in that at a rung. The line is fitted to the trainings that went on;
    those were chosen by the error at the rung, which does not bias a line fitted on it. Until one has, nothing is
    known, and until there are many the slope is near `SLOPE`.

    Args:
        curves: the error of each training by epochs; the longest of them were trained to the end.

    >>> final_errors([{1: 0.4, 9: 0.2}, {1: 0.4}, {1: 0.8}, {}]).round(3)
    array([0.2  , 0.2  , 0.283,   nan])
    """
    end = max((epochs for curve in curves for epochs in curve), default=0)
    found = np.full(len(curves), np.nan)
    for index, curve in enumerate(curves):
        if curve:
            last = max(curve)
            found[index] = curve[end] if last == end else _expected(curve[last], [
                (other[last], other[end]) for other in curves if last in other and end in other])
    return found


def _expected(error: float, pairs: Sequence[tuple[float, float]]) -> float:
    """Returns the error at the end where it is `error` at a rung, from others at that rung and at the end."""
    if not pairs:
        return float("nan")
    rung, end = np.log(pairs).T
    spread = rung - rung.mean()
    slope = np.clip((SLOPE * WEIGHT + spread @ (end - end.mean())) / (WEIGHT + spread @ spread), 0, 1)
    return float(np.exp(end.mean() + slope * (np.log(error) - rung.mean())))
