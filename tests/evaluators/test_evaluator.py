import math

import pytest

from evaluators.evaluator import AUGMENTATIONS, Fidelity, Score
from evaluators.registry import EVALUATORS
from search_spaces import InvalidInput


@pytest.mark.parametrize("accuracy", [0, 0.0, 0.5, 1, 1.0])
def test_a_score_is_a_share(accuracy):
    assert Score(accuracy).accuracy == accuracy


@pytest.mark.parametrize("accuracy", [-0.01, 1.01, 92.5, math.nan, math.inf])
def test_what_is_no_share_is_no_score(accuracy):
    with pytest.raises(InvalidInput, match=r"an accuracy must lie in \[0, 1\], but got"):
        Score(accuracy)


def test_a_score_has_neither_count_nor_arrays_unless_it_is_given_some():
    assert (Score(0.5).total, dict(Score(0.5).arrays)) == (0, {})


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_every_augmentation_is_a_fidelity(augmentation):
    assert Fidelity(3, augmentation=augmentation).augmentation == augmentation


def test_a_training_is_scheduled_for_its_own_length_unless_it_is_the_beginning_of_a_longer_one():
    assert (Fidelity(3).schedule_epochs, Fidelity(3, schedule_epochs=9).schedule_epochs) == (3, 9)


@pytest.mark.parametrize(("fields", "rule"), [
    ({"epochs": 0}, "`epochs` must be at least 1, but got 0"),
    ({"epochs": 1, "batch": 0}, "`batch` must be at least 1, but got 0"),
    ({"epochs": 4, "schedule_epochs": 3}, "`epochs` must be at most those of the schedule, but got 4 of 3"),
    ({"epochs": 1, "compile": "net"}, "unknown way to compile 'net'"),
    ({"epochs": 1, "augmentation": "shiftflip"}, "unknown augmentation 'shiftflip'; did you mean 'shift-flip'"),
])
def test_a_wrong_fidelity_is_refused(fields, rule):
    with pytest.raises(InvalidInput, match=rule):
        Fidelity(**fields)


def test_the_default_evaluator_is_registered():
    assert "training" in EVALUATORS
