"""A Gaussian process on a few hundred points, its lengthscales fitted to them; numpy and scipy only.

Values may follow a trend in one feature, which a linear covariance beside the stationary one stands for.

Source: Rasmussen and Williams 2006 (Gaussian Processes for Machine Learning), chapters 2, 4.2 and 5.4.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
import scipy.optimize
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

NOISE_FLOOR = 1e-6  # of the variance
ITERATIONS = 40
RELEVANCE = -1.5  # logarithm of the inverse squared lengthscale that is expected of a group, times their number
PRIOR_DEVIATION = 0.5  # of the logarithm of a lengthscale
NOISE = 1e-2  # the noise that is expected, relative to the variance
NOISE_DEVIATION = 1.5  # of its logarithm
SLOPE = 1.0  # the standard deviation of a trend, in standard deviations of the values for each unit of its feature
TOGETHER = 256  # points that are predicted at a time, so that their covariances stay in cache
_SQRT5 = 5**0.5


@dataclass(frozen=True)
class Hyperparameters:
    """The knowledge of a process.

    Attributes:
        relevances: the inverse squared lengthscale of each group of features `[G]`.
        variance: of the process.
        noise: its variance.
    """

    relevances: Matrix
    variance: float
    noise: float


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """A process that has seen values at points.

    Attributes:
        points: features `[N, D]`.
        values: what was seen there `[N]`.
        groups: the group `[D]` of each feature; a group shares a lengthscale.
        hyperparameters: lengthscales, variance and noise of the standardised values.
        deviations: how uncertain each value is besides the noise, as a standard deviation `[N]`.
        trend: the feature in which values may follow a straight line, if there is one.
    """

    points: Matrix
    values: Matrix
    groups: NDArray[np.int64]
    hyperparameters: Hyperparameters
    deviations: Matrix | float = 0.0
    trend: int | None = None

    def predict(self, points: Matrix) -> tuple[Matrix, Matrix]:
        """Returns the mean and the standard deviation at `[M, D]` points, without the noise."""
        mean, deviation = _standard(self.values)
        weights = scipy.linalg.cho_solve(self._factor, (self.values - mean) / deviation)
        means, variances = np.empty(len(points)), np.empty(len(points))
        for first in range(0, len(points), TOGETHER):
            some = slice(first, first + TOGETHER)
            covariance = self._covariance(points[some])
            half = scipy.linalg.solve_triangular(self._factor[0], covariance.T, lower=True, check_finite=False)
            means[some] = covariance @ weights
            variances[some] = (self.hyperparameters.variance + _along(points[some], self.trend)**2
                               - np.einsum("nm,nm->m", half, half))
        return mean + deviation * means, deviation * np.sqrt(np.maximum(variances, 1e-12))

    def _covariance(self, points: Matrix) -> Matrix:
        scale = np.sqrt(self.hyperparameters.relevances[self.groups])
        covariance = _matern(_squared_distances(points * scale, self.points * scale))
        covariance *= self.hyperparameters.variance
        covariance += np.outer(_along(points, self.trend), _along(self.points, self.trend))
        return covariance

    @cached_property
    def _factor(self) -> tuple[Matrix, bool]:
        _, scale = _standard(self.values)
        return _cholesky(self._covariance(self.points), self.hyperparameters.noise + (self.deviations / scale) ** 2)


def fit(points: Matrix, values: Matrix, groups: NDArray[np.int64], trend: int | None = None,
        deviations: Matrix | float = 0.0) -> Hyperparameters:
    """Returns the most probable hyperparameters of values `[N]` at points `[N, D]`; all as `GaussianProcess` has it.

    The marginal likelihood is weighed by lognormal priors: lengthscales grow with the square root of the number of
    groups, so that a point tells something of others that differ in many features (Hvarfner et al. 2024).
    """
    count = int(groups.max()) + 1
    distances = np.stack([_squared_distances(points[:, groups == group], points[:, groups == group]).ravel()
                          for group in range(count)])
    mean, deviation = _standard(values)
    centre = np.concatenate([np.full(count, RELEVANCE - np.log(count)), [0.0, np.log(NOISE)]])
    spread = np.concatenate([np.full(count, 2 * PRIOR_DEVIATION), [0.5, NOISE_DEVIATION]])
    along = _along(points, trend)
    known = np.outer(along, along) + np.diag(np.broadcast_to(deviations / deviation, len(values))**2)
    arguments = distances, (values - mean) / deviation, centre, spread, known
    found = scipy.optimize.minimize(_loss, centre, arguments, jac=True, method="L-BFGS-B",
                                    bounds=[*[(-14.0, 8.0)] * count, (-4.0, 4.0), (np.log(NOISE_FLOOR), 1.0)],
                                    options={"maxiter": ITERATIONS})
    return Hyperparameters(np.exp(found.x[:count]), float(np.exp(found.x[count])), float(np.exp(found.x[count + 1])))


def _loss(logarithms: Matrix, distances: Matrix, values: Matrix, centre: Matrix, spread: Matrix,
          known: Matrix | float = 0.0) -> tuple[float, Matrix]:
    """Returns the negative logarithm of the posterior density, and its gradient; `known` is a covariance beside."""
    relevances, (variance, noise) = np.exp(logarithms[:-2]), np.exp(logarithms[-2:])
    size = len(values)
    squared = (relevances @ distances).reshape(size, size)
    root = _SQRT5 * np.sqrt(squared)
    decay = np.exp(-root)
    covariance = variance * (1 + root + root**2 / 3) * decay
    factor, _ = _cholesky(covariance + known, noise)
    inverse = scipy.linalg.cho_solve((factor, True), np.eye(size), check_finite=False)
    weights = inverse @ values
    offset = (logarithms - centre) / spread
    loss = 0.5 * values @ weights + np.log(np.diag(factor)).sum() + 0.5 * offset @ offset
    slope = inverse - np.outer(weights, weights)  # twice the gradient in the covariance
    by_distance = slope * (-5 / 6 * variance) * (1 + root) * decay
    gradient = 0.5 * np.concatenate([relevances * (distances @ by_distance.ravel()),
                                     [(slope * covariance).sum(), noise * np.trace(slope)]])
    return float(loss), gradient + offset / spread


def _along(points: Matrix, trend: int | None) -> Matrix:
    """Returns the roots `[N]` of the linear variances at points; their products are the covariances."""
    return np.zeros(len(points)) if trend is None else SLOPE * points[:, trend]


def _matern(squared: Matrix) -> Matrix:
    """Returns the Matern covariance of smoothness 5/2 at squared distances."""
    root = np.sqrt(squared)
    root *= _SQRT5
    found = root / 3  # in place from here, since fresh memory takes longer than the arithmetic
    found += 1
    found *= root
    found += 1
    found *= np.exp(np.negative(root, out=root), out=root)
    return found


def _squared_distances(first: Matrix, second: Matrix) -> Matrix:
    squares = first @ (-2 * second.T)
    squares += (first**2).sum(axis=1)[:, None]
    squares += (second**2).sum(axis=1)
    return np.maximum(squares, 0.0, out=squares)


def _cholesky(covariance: Matrix, noise: Matrix | float) -> tuple[Matrix, bool]:
    noisy = covariance + (noise + NOISE_FLOOR) * np.eye(len(covariance))
    return scipy.linalg.cholesky(noisy, lower=True, check_finite=False), True


def _standard(values: Matrix) -> tuple[float, float]:
    return float(values.mean()), float(values.std()) or 1.0
