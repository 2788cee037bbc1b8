import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.strategies.surrogate.learning_curves import final_errors

errors = st.floats(0.01, 0.99)


@given(st.lists(st.tuples(errors, errors), min_size=1, max_size=9), errors)
def test_who_was_trained_to_the_end_has_its_error_and_who_was_not_is_between_what_others_suggest(pairs, error):
    found, deviations = final_errors([*({1: early, 9: late} for early, late in pairs), {1: error}, {}], end=9)
    assert list(found[:len(pairs)]) == [late for _, late in pairs]
    assert not deviations[:len(pairs)].any() and deviations[-2] > 0
    assert np.isnan([found[-1], deviations[-1]]).all()
    early, late = np.exp(np.log(pairs).mean(axis=0))
    limits = sorted([late, late * error / early])  # nothing of the difference at the rung remains, or all
    assert limits[0] * 0.999999 <= found[-2] <= limits[1] * 1.000001


@given(st.lists(errors, min_size=2, max_size=9, unique=True), st.floats(0, 1), st.booleans())
def test_the_order_at_a_rung_is_kept(early, slope, went_on):
    trained = [{1: error, 9: 0.3 * error**slope} for error in early[:-1] if went_on]
    found, _ = final_errors([*trained, *({1: error} for error in sorted(early))], end=9)
    assert np.all(np.diff(found[len(trained):]) >= 0)


def test_many_trainings_on_a_line_are_continued_along_it():
    trained = [{1: error, 9: 0.3 * error**0.8} for error in np.linspace(0.2, 0.9, 60)]
    (*_, error), (*_, deviation) = final_errors([*trained, {1: 0.5}], end=9)
    assert error == pytest.approx(0.3 * 0.5**0.8, rel=1e-3)
    assert deviation < 0.03


def test_the_deviation_is_that_of_many_trainings_about_their_line():
    generator = np.random.default_rng(0)
    early = generator.uniform(0.2, 0.9, 400)
    late = 0.3 * early**0.6 * np.exp(generator.normal(0, 0.2, 400))
    _, deviations = final_errors([*({1: one, 9: other} for one, other in zip(early, late, strict=True)), {1: 0.5}], 9)
    assert deviations[-1] == pytest.approx(0.2, rel=0.15)  # 4 standard errors of a deviation of 400


def test_each_rung_has_a_line_of_its_own_and_without_one_errors_are_taken_to_stay_on_average():
    found, _ = final_errors([{1: 0.8, 3: 0.4, 9: 0.2}, {1: 0.8}, {1: 0.8, 3: 0.4}], end=9)
    np.testing.assert_allclose(found, 0.2)
    found, deviations = final_errors([{1: 0.4}, {1: 0.9}, {3: 0.5}], end=9)
    assert found == pytest.approx([0.6 * (0.4 / 0.6)**0.5, 0.6 * (0.9 / 0.6)**0.5, 0.5])
    assert (deviations > 0).all()
    assert not final_errors([], end=9)[0].size
