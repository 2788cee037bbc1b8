import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.problem.pareto import hypervolume
from nas.strategies.surrogate.acquisition import expected_gain, expected_shortfall


def test_a_known_quantity_falls_short_by_its_distance():
    found = expected_shortfall(np.log([1.0, 3.0]), np.zeros(2), np.array([2.0, 4.0]))
    np.testing.assert_allclose(found, [[1, 3], [0, 1]], atol=1e-7)


def test_a_shortfall_is_the_mean_over_many_draws():
    draws = np.exp(0.3 + 0.8 * np.random.default_rng(0).standard_normal(400_000))
    found = expected_shortfall(np.array([0.3]), np.array([0.8]), np.array([0.5, 1.0, 3.0]))[0]
    np.testing.assert_allclose(found, [np.maximum(limit - draws, 0).mean() for limit in (0.5, 1.0, 3.0)], rtol=0.02)


positive = st.floats(0.1, 10)


@given(st.lists(st.tuples(positive, positive), max_size=6), st.tuples(positive, positive))
def test_what_is_known_gains_exactly_the_hypervolume_that_it_adds(front, point):
    reference = np.array([5.0, 7.0])
    found = expected_gain(np.log([point]), np.zeros((1, 2)), np.array(front).reshape(-1, 2), reference)[0]
    assert found == pytest.approx(hypervolume([*front, point], reference) - hypervolume(front, reference), abs=1e-5)


@given(st.lists(positive, max_size=6), positive)
def test_with_one_objective_the_gain_is_the_improvement(front, point):
    found = expected_gain(np.log([[point]]), np.zeros((1, 1)), np.array(front).reshape(-1, 1), np.array([5.0]))[0]
    assert found == pytest.approx(max(0, min([5.0, *front]) - point), abs=1e-5)


@settings(max_examples=5, deadline=None)
@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=4), st.tuples(positive, positive))
def test_an_uncertain_candidate_gains_the_mean_over_many_draws(front, point):
    reference, deviations = np.array([6.0, 8.0]), np.array([0.5, 0.2])
    draws = np.exp(np.log(point) + deviations * np.random.default_rng(1).standard_normal((4000, 2)))
    before = hypervolume(front, reference)
    gains = [hypervolume([*front, draw], reference) - before for draw in draws]
    found = expected_gain(np.log([point]), deviations[None], np.array(front), reference)[0]
    missed = 1e-3  # what no draw of 4,000 reached
    assert found == pytest.approx(np.mean(gains), abs=5 * np.std(gains) / len(gains) ** 0.5 + missed)
