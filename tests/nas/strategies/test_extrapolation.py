import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.strategies.extrapolation import final_errors

errors = st.floats(0.01, 0.99)


@given(st.lists(st.tuples(errors, errors), min_size=1, max_size=9), errors)
def test_who_was_trained_to_the_end_has_its_error_and_who_was_not_is_between_what_others_suggest(pairs, error):
    found = final_errors([*({1: early, 9: late} for early, late in pairs), {1: error}, {}])
    assert list(found[:len(pairs)]) == [late for _, late in pairs]
    assert np.isnan(found[-1])
    early, late = np.exp(np.log(pairs).mean(axis=0))
    limits = sorted([late, late * error / early])  # nothing of the difference at the rung remains, or all
    assert limits[0] * 0.999999 <= found[-2] <= limits[1] * 1.000001


@given(st.lists(errors, min_size=2, max_size=9, unique=True), st.floats(0, 1))
def test_the_order_at_a_rung_is_kept(early, slope):
    trained = [{1: error, 9: 0.3 * error**slope} for error in early[:-1]]
    found = final_errors([*trained, *({1: error} for error in sorted(early))])[len(trained):]
    assert np.all(np.diff(found) >= 0)


def test_many_trainings_on_a_line_are_continued_along_it():
    trained = [{1: error, 9: 0.3 * error**0.8} for error in np.linspace(0.2, 0.9, 60)]
    assert final_errors([*trained, {1: 0.5}])[-1] == pytest.approx(0.3 * 0.5**0.8, rel=1e-3)


def test_without_a_training_that_went_on_from_a_rung_nothing_is_expected():
    assert np.isnan(final_errors([{1: 0.5}, {3: 0.4}])[0])
    assert not len(final_errors([]))
