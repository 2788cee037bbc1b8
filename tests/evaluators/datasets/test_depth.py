import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.datasets.depth import scaling_line, to_bytes


@given(st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1))
def test_the_ends_of_the_range_become_those_of_bytes(first: int, second: int) -> None:
    low, high = sorted((first, second))
    values = np.array([low, high, max(low - 1, 0), high + 1])
    expected = [0, 255, 0, 255] if low < high else [0, 0, 0, 255]
    assert to_bytes(values, low, high).tolist() == expected


@given(st.lists(st.floats(-1e30, 1e30), min_size=2))
def test_order_is_kept(values: list[float]) -> None:
    scaled = to_bytes(np.sort(np.array(values)), min(values), max(values))
    assert (np.diff(scaled.astype(int)) >= 0).all()


@pytest.mark.parametrize(("low", "high", "numbers"), [(0, 4095, "0 to 4,095"), (-0.5, 1.25, "-0.5 to 1.25")])
def test_the_line_names_the_range(low: float, high: float, numbers: str) -> None:
    assert scaling_line(low, high) == f"values {numbers}, the range of the training images, scaled to 0 to 255"
