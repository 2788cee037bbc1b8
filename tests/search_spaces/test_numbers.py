import json
from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.numbers import make_plain, plain

KINDS = st.sampled_from([np.int32, np.int64, np.uint32, np.float64, float, int, np.array])


@dataclass(frozen=True)
class Settings:
    count: int = 0
    perhaps: int | None = None
    share: float = 0.0
    each: tuple[int, ...] = ()

    def __post_init__(self):
        make_plain(self)


@given(st.integers(0, 2**31 - 1), KINDS)
def test_a_whole_number_is_one_whatever_its_type(number, kind):
    made = Settings(kind(number), kind(number), kind(number), (kind(number), kind(1)))
    assert made == Settings(number, number, number, (number, 1))
    assert {type(one) for one in (made.count, made.perhaps, *made.each)} == {int}
    json.dumps([made.share, made.count])


@given(st.floats(), st.sampled_from([np.float16, np.float32, np.float64, float]))
def test_no_other_number_becomes_whole(number, kind):
    with np.errstate(over="ignore"):
        given_number = kind(number)
    found = plain(given_number, whole=True)
    assert type(found) is (int if np.isfinite(given_number) and given_number == np.floor(given_number) else float)
    assert found == given_number or np.isnan(given_number)


@given(st.one_of(st.text(), st.booleans(), st.none(), st.dictionaries(st.text(), st.floats(allow_nan=False))))
def test_what_is_no_number_stays_as_it_is(value):
    assert plain(value, whole=True) is value


def test_truth_of_numpy_is_that_of_python():
    assert plain(np.True_) is True
