import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.report.html.axes import Area, Axis, drawing, horizontal_frame, path, vertical_frame

AREA = Area()
positive = st.floats(1e-4, 1e9)


@settings(deadline=None)
@given(st.lists(positive, min_size=1, max_size=20))
def test_an_axis_holds_all_values_and_few_round_ticks_in_their_order(values):
    axis = Axis.around("latency (ms)", values)
    assert all(0 <= axis.share(value) <= 1 for value in values)
    assert axis.share(max(values)) >= axis.share(min(values))
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 7
    assert ticks == sorted(set(ticks))
    assert all(axis.low * 0.999 <= tick <= axis.high * 1.001 for tick in ticks)
    if not axis.logarithmic and len(ticks) > 1:
        step = (ticks[-1] - ticks[0]) / (len(ticks) - 1)
        assert f"{step:.3e}"[:5] in ("1.000", "2.000", "5.000")
        assert [tick / step for tick in ticks] == pytest.approx([round(tick / step) for tick in ticks])


@pytest.mark.parametrize(("values", "logarithmic"), [((0.1, 0.2), False), ((0.1, 5.0), True)])
def test_an_axis_is_logarithmic_over_a_wide_range(values, logarithmic):
    axis = Axis.around("", values)
    assert axis.logarithmic == logarithmic
    middle = (values[0] * values[1])**0.5 if logarithmic else sum(values) / 2
    assert axis.share(middle) == pytest.approx(sum(map(axis.share, values)) / 2)


def test_what_lies_beyond_an_axis_stands_at_its_end():
    axis = Axis("", 1.0, 2.0)
    assert (axis.share(0.5), axis.share(9.0)) == (0, 1)
    assert (AREA.x(axis, 1.0), AREA.x(axis, 2.0)) == (AREA.left, AREA.end)
    assert (AREA.y(axis, 1.0), AREA.y(axis, 2.0)) == (AREA.floor, AREA.top)


def test_frames_have_a_tick_and_a_line_for_each_round_value():
    axis = Axis("accuracy (%)", 0.6, 0.95, format=lambda value: f"{100 * value:.0f}")
    for frame in (vertical_frame, horizontal_frame):
        text = frame(AREA, axis).text
        assert re.findall(r'class="tick [a-z]+">(\d+)<', text) == ["60", "70", "80", "90"]
        assert text.count('class="grid"') == 4
        assert ">accuracy (%)</text>" in text


def test_a_line_goes_straight_or_in_steps():
    assert path([(0, 1), (2, 3)], "line").text == '<path class="line" d="M0 1L2 3"/>'
    assert path([(0, 1), (2, 3)], "line", steps=True).text == '<path class="line" d="M0 1H2V3"/>'


def test_a_drawing_has_a_name_for_those_who_do_not_see_it():
    text = drawing(AREA, "front", "accuracy & latency", marks=True).text
    assert 'role="group" aria-labelledby="front-title"' in text
    assert '<title id="front-title">accuracy &amp; latency</title>' in text
