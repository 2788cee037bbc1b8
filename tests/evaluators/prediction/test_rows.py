import math

import pytest

from evaluators.prediction.rows import Row, checked
from search_spaces import Architecture, InvalidInput

A = Architecture.parse("in_r12_c1+conv_k3_c8_s2_relu+head_c16_relu_n2")


def test_rows_and_pairs_are_rows():
    assert checked([(A, 1), Row(A, 2.0, 3.0)]) == (Row(A, 1.0), Row(A, 2.0, 3.0))


@pytest.mark.parametrize("time_ms", [-1.0, math.nan, math.inf, 1e-300, 1e300, 1e-7, 1e8])
def test_a_time_that_nothing_takes_is_refused_with_the_number_of_its_row(time_ms):
    rule = f"a network takes from a nanosecond to a day, but got {time_ms:g} ms in row 2, '{A}'"
    for row in ((A, time_ms), Row(A, 1.0, time_ms)):
        with pytest.raises(InvalidInput) as error:
            checked([(A, 1.0), row])
        assert str(error.value) == rule


def test_a_latency_of_nothing_is_refused_while_no_time_of_the_reference_is_known_as_0():
    assert checked([Row(A, 1.0, 0.0)])
    with pytest.raises(InvalidInput, match="got 0 ms in row 1"):
        checked([(A, 0.0)])
