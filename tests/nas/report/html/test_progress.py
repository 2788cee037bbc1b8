import dataclasses
import re

import numpy as np
import pytest
from optuna._hypervolume import compute_hypervolume

from nas.report.html.progress import curves_section, growth, growth_section


def test_the_hypervolume_grows_as_another_library_has_it(found):
    grown = growth(found)
    assert [one.trial for one in grown] == [0, 1, 4, 7]
    for one in grown:
        known = [other for other in found.candidates if other.eligible and other.trial <= one.trial]
        points = np.array([[-other.accuracy, other.latency_ms] for other in known])
        assert one.volume == pytest.approx(compute_hypervolume(points, np.array([-0.1, 0.09])))
        assert one.accuracy == max(other.accuracy for other in known)
    assert [one.spent_s for one in grown] == [8, 16, 40, 64]  # of work, the pauses between trials left out


def test_the_picture_ends_at_the_whole_volume_and_says_when_it_grew_last(found):
    text = growth_section(found).text
    assert text.count("<circle") == 4
    assert "it grew last with trial 7 after 1.07 min" in text
    assert "up to the budget of latency" in text


def test_without_anything_within_the_budgets_there_is_none(found):
    text = growth_section(dataclasses.replace(found, candidates=found.candidates[2:3])).text
    assert "There is none yet" in text


def test_learning_curves_are_drawn_where_they_are_recorded(found):
    text = curves_section(found).text
    assert re.findall(r'class="curve (front|plain) (dashed)?"', text) == [("plain", "dashed"), ("front", "")]
    assert "2 networks that were compared on the way, 1 of them stopped early" in text
    whole = dataclasses.replace(found, candidates=[dataclasses.replace(one, accuracies=()) for one in found.candidates])
    assert "None are recorded" in curves_section(whole).text
