import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.recipe import AUGMENTATIONS, COMPILE, Recipe
from search_spaces import InvalidInput


@pytest.mark.parametrize("field", ["augmentation", "compile"])
def test_every_choice_that_is_listed_makes_a_recipe(field):
    for name in {"augmentation": AUGMENTATIONS, "compile": COMPILE}[field]:
        assert getattr(Recipe(**{field: name}), field) == name


@pytest.mark.parametrize(("fields", "rule"), [
    ({"epochs": -1}, "`epochs` must not be negative, but got -1"),
    ({"batch": 0}, "`batch` must be at least 1, but got 0"),
    ({"seed": -1}, "`seed` must not be negative, but got -1"),
    ({"compile": "net"}, "unknown way to compile 'net'"),
    ({"augmentation": "shiftflip"}, "unknown augmentation 'shiftflip'; did you mean 'shift-flip'"),
])
def test_a_wrong_recipe_is_refused(fields, rule):
    with pytest.raises(InvalidInput, match=rule):
        Recipe(**fields)


def test_a_recipe_of_no_epochs_is_no_training():
    Recipe(1).require_training()
    with pytest.raises(InvalidInput, match="`epochs` must be at least 1, but got 0"):
        Recipe(0).require_training()


def test_numbers_of_numpy_make_a_recipe_of_plain_ones():
    recipe = Recipe(epochs=np.int64(2), batch=32.0, seed=np.uint8(1), peak_rate=np.float64(0.5))
    assert recipe == Recipe(2, 32, seed=1, peak_rate=0.5)
    json.dumps(dataclasses.asdict(recipe))


@given(st.floats(0, 1))
def test_the_rate_rises_to_its_peak_and_falls_to_nothing(progress):
    recipe = Recipe()
    assert (recipe.rate(0), recipe.rate(recipe.warm_up)) == (0, recipe.peak_rate)
    assert recipe.rate(1) == pytest.approx(0, abs=1e-12)
    assert 0 <= recipe.rate(progress) <= recipe.peak_rate


def test_a_recipe_is_made_without_jax():
    script = "import evaluators.recipe, sys\nprint('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
