import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from nas.strategies.surrogate.gaussian_process import SLOPE, GaussianProcess, Hyperparameters, _loss, fit

GROUPS = np.array([0, 0, 1, 2])


def matern(first, second, relevances):
    """The covariance as Rasmussen and Williams write it, equation 4.17, one pair after the other."""
    found = np.empty((len(first), len(second)))
    for row, one in enumerate(first):
        for column, other in enumerate(second):
            scaled = np.sqrt(5 * (relevances[GROUPS] * (one - other) ** 2).sum())
            found[row, column] = (1 + scaled + scaled**2 / 3) * np.exp(-scaled)
    return found


def points(count, seed=0):
    return np.random.default_rng(seed).random((count, 4))


@pytest.mark.parametrize("trend", [None, 2])
def test_predictions_are_those_of_the_conditional_normal_distribution(trend):
    seen, values, asked = points(9), np.sin(3 * points(9).sum(axis=1)), points(5, 1)
    relevances, variance, noise = np.array([2.0, 0.5, 1.0]), 1.7, 0.03
    process = GaussianProcess(seen, values, GROUPS, Hyperparameters(relevances, variance, noise), trend=trend)
    mean, deviation = process.predict(asked)

    def covariance(first, second):
        linear = 0 if trend is None else SLOPE**2 * np.outer(first[:, trend], second[:, trend])  # equation 2.40
        return variance * matern(first, second, relevances) + linear

    own, across = covariance(seen, seen) + noise * np.eye(9), covariance(asked, seen)
    scaled = (values - values.mean()) / values.std()
    expected = values.mean() + values.std() * across @ np.linalg.solve(own, scaled)
    left = np.diag(covariance(asked, asked) - across @ np.linalg.solve(own, across.T))
    np.testing.assert_allclose(mean, expected, rtol=1e-4)
    np.testing.assert_allclose(deviation, values.std() * np.sqrt(left), rtol=1e-4)


def test_a_trend_goes_on_where_nothing_was_seen():
    seen = np.linspace(0, 1, 12)[:, None] * np.ones(4)
    noisy = 3 * seen[:, 0] + np.random.default_rng(0).normal(0, 0.3, 12)
    beyond = np.full((1, 4), 2.0)
    plain, along = (GaussianProcess(seen, noisy, GROUPS, fit(seen, noisy, GROUPS, trend), trend=trend)
                    .predict(beyond)[0] for trend in (None, 0))
    line = np.polyval(np.polyfit(seen[:, 0], noisy, 1), 2.0)  # by least squares
    assert abs(along - line) < 0.5 * abs(plain - line)


def test_an_uncertain_value_is_one_with_more_noise():
    seen, values, asked = points(9), np.sin(3 * points(9).sum(axis=1)), points(5, 1)
    relevances, variance, noise = np.array([2.0, 0.5, 1.0]), 1.7, 0.03
    deviations = np.linspace(0, 0.4, 9)
    process = GaussianProcess(seen, values, GROUPS, Hyperparameters(relevances, variance, noise), deviations)
    covariance = variance * matern(seen, seen, relevances) + np.diag(noise + (deviations / values.std()) ** 2)
    across = variance * matern(asked, seen, relevances)
    scaled = (values - values.mean()) / values.std()
    expected = values.mean() + values.std() * across @ np.linalg.solve(covariance, scaled)
    left = variance - np.diag(across @ np.linalg.solve(covariance, across.T))
    np.testing.assert_allclose(process.predict(asked), [expected, values.std() * np.sqrt(left)], rtol=1e-4)


def test_the_fitted_density_is_that_of_scipy_and_its_gradient_is_right():
    seen, values = points(8), np.cos(points(8)[:, 0])
    distances = np.stack([((seen[:, None, group == GROUPS] - seen[None, :, group == GROUPS]) ** 2).sum(axis=2).ravel()
                          for group in range(3)])
    centre, spread, at = np.zeros(5), np.full(5, 1e9), np.array([0.3, -1.0, 0.5, 0.2, -2.0])
    relevances, variance, noise = np.exp(at[:3]), np.exp(at[3]), np.exp(at[4])
    linear = np.outer(seen[:, 2], seen[:, 2])
    expected = scipy.stats.multivariate_normal(
        np.zeros(8), variance * matern(seen, seen, relevances) + linear + noise * np.eye(8)).logpdf(values)
    loss, gradient = _loss(at, distances, values, centre, spread, linear)
    assert loss + 4 * np.log(2 * np.pi) == pytest.approx(-expected, rel=1e-4)
    numerical = scipy.optimize.approx_fprime(at, lambda x: _loss(x, distances, values, centre, spread, linear)[0], 1e-6)
    np.testing.assert_allclose(gradient, numerical, rtol=1e-3, atol=1e-4)


def test_noise_that_is_known_is_not_taken_for_more_noise():
    seen, chance = points(80), 0.5
    noisy = np.sin(6 * seen[:, 2]) + np.random.default_rng(1).normal(0, chance, 80)
    unknown, known = (fit(seen, noisy, GROUPS, deviations=deviations).noise for deviations in (0.0, chance))
    assert known < 0.2 * unknown


def test_features_that_do_not_matter_are_found_irrelevant():
    seen = points(60)
    found = fit(seen, np.sin(6 * seen[:, 2]), GROUPS)
    assert found.relevances[1] > 30 * max(found.relevances[0], found.relevances[2])
    assert found.noise < 0.01


def test_equal_values_and_equal_points_do_no_harm():
    seen = np.repeat(points(2), 6, axis=0)
    for values in (np.zeros(12), np.arange(12.0)):
        process = GaussianProcess(seen, values, GROUPS, fit(seen, values, GROUPS))
        mean, deviation = process.predict(points(4, 1))
        assert np.isfinite(mean).all()
        assert (deviation >= 0).all()
