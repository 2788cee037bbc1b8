"""The expected gain of a candidate, in closed form; all quantities are positive and to be minimised.

A quantity is lognormal: the logarithm has a mean and a standard deviation, which is 0 where it is known.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from nas.problem.pareto import non_dominated

Matrix = NDArray[np.float64]


def expected_shortfall(mean: Matrix, deviation: Matrix, limit: Matrix) -> Matrix:
    """Returns the expected shortfall `[M, K]` of lognormal quantities `[M]` below limits `[K]`.

    Args:
        mean: of the logarithm, `[M]`.
        deviation: of the logarithm, `[M]`.
        limit: positive values.
    """
    if not deviation.any():
        return np.maximum(limit - np.exp(mean)[:, None], 0.0)
    spread = np.maximum(deviation, 1e-9)[:, None]
    score = (np.log(limit) - mean[:, None]) / spread
    return limit * ndtr(score) - np.exp(mean[:, None] + spread**2 / 2) * ndtr(score - spread)


def expected_gain(means: Matrix, deviations: Matrix, front: Matrix, reference: Matrix) -> Matrix:
    """Returns the hypervolume `[M]` that candidates add to a front, in expectation.

    The region that the front leaves is cut into strips, in each of which two independent quantities are below a corner
    (as in Emmerich et al. 2011, "Hypervolume-based expected improvement"). Of one quantity it is the improvement.

    Args:
        means: of the logarithms, `[M, 1]` or `[M, 2]`.
        deviations: of the logarithms, alike.
        front: the quantities of what was found, `[N, 1]` or `[N, 2]`.
        reference: the corner of the hypervolume.
    """
    inside = front[np.all(front < reference, axis=1)]
    if len(reference) == 1:
        return expected_shortfall(means[:, 0], deviations[:, 0], np.array([min([*inside[:, 0], reference[0]])]))[:, 0]
    corners = np.unique(inside[non_dominated(inside)], axis=0)  # by the first quantity, the second falls
    starts = np.concatenate([corners[:, 0], reference[:1]])
    heights = np.concatenate([reference[1:], corners[:, 1]])
    widths = np.diff(expected_shortfall(means[:, 0], deviations[:, 0], starts), axis=1, prepend=0.0)
    return (widths * expected_shortfall(means[:, 1], deviations[:, 1], heights)).sum(axis=1)
