import math

import pytest

from evaluators.evaluator import Fidelity, Score, close
from evaluators.recipe import Recipe
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


def test_an_evaluation_is_of_the_whole_training_unless_it_is_the_beginning_of_one():
    assert (Fidelity(Recipe(9)).epochs, Fidelity(Recipe(9), 3).epochs) == (9, 3)


@pytest.mark.parametrize(("epochs", "whole"), [(4, 3), (-1, 3), (0, 0), (1, 0)])
def test_an_evaluation_does_not_leave_its_training(epochs, whole):
    with pytest.raises(InvalidInput, match=rf"those of the recipe, but got {epochs} of {whole}"):
        Fidelity(Recipe(whole), epochs)


def test_the_default_evaluator_is_registered():
    assert "training" in EVALUATORS


def test_an_evaluator_with_something_open_is_closed_and_one_without_is_left_alone():
    ended = []

    class Open:
        def __call__(self, architecture, data, fidelity):
            return 0.5

        def close(self):
            ended.append(self)

    evaluator = Open()
    close(evaluator)
    close(lambda architecture, data, fidelity: 0.5)
    assert ended == [evaluator]
