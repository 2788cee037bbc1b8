"""The accuracies that stopped trainings would come to, learned from trainings that went on."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

SLOPE, WEIGHT = 0.5, 0.08  # the slope that is expected, and the sum of squares that would say as much
VARIANCE, TRAININGS = 0.01, 3  # about the line, as it is expected, and how many trainings would say as much

Vector = NDArray[np.float64]


def final_errors(curves: Sequence[Mapping[int, float]], end: int) -> tuple[Vector, Vector]:
    """Returns the error of each training at its end `[N]`, and how uncertain it is.

    The logarithm of the error at the end is linear in that at a rung. The line is fitted to the trainings that went on;
    those were chosen by the error at the rung, which does not bias a line fitted on it. Until they are many, the slope
    is near `SLOPE`, and until one has, errors are taken to be the same on average at the end.

    Args:
        curves: the error of each training by epochs.
        end: the epochs of a whole training.

    Returns:
        The error, expected where the training was stopped, NaN without training; and the standard deviation of its
        logarithm, 0 where the training came to its end.

    >>> errors, deviations = final_errors([{1: 0.4, 9: 0.2}, {1: 0.4}, {1: 0.8}, {}], end=9)
    >>> errors.round(3), deviations.round(3)
    (array([0.2  , 0.2  , 0.283,   nan]), array([0. , 0.1, 0.1, nan]))
    """
    found = np.full((len(curves), 2), np.nan)
    for rung in {max(curve) for curve in curves if curve}:
        own = [index for index, curve in enumerate(curves) if curve and max(curve) == rung]
        errors = np.array([curves[index][rung] for index in own])
        found[own, 0], found[own, 1] = (errors, 0.0) if rung == end else _expected(errors, [
            (other[rung], other[end]) for other in curves if rung in other and end in other])
    return found[:, 0], found[:, 1]


def _expected(errors: Vector, pairs: Sequence[tuple[float, float]]) -> tuple[Vector, float]:
    """Returns errors at the end and their deviation, from those at a rung and from others at that rung and the end."""
    own = np.log(errors)
    if not pairs:
        return np.exp(own.mean() + SLOPE * (own - own.mean())), VARIANCE**0.5
    rung, end = np.log(pairs).T
    spread, rest = rung - rung.mean(), end - end.mean()
    slope = np.clip((SLOPE * WEIGHT + spread @ rest) / (WEIGHT + spread @ spread), 0, 1)
    rest = rest - slope * spread
    variance = (VARIANCE * TRAININGS + rest @ rest) / (TRAININGS + len(pairs) - 1)
    return np.exp(end.mean() + slope * (own - rung.mean())), float(variance**0.5)
