import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.recipe import AUGMENTATIONS, CLASS_WEIGHTS, COMPILE, PARTS, Recipe, load_recipe
from search_spaces import InvalidInput


@pytest.mark.parametrize("field", ["augmentation", "compile", "class_weights"])
def test_every_choice_that_is_listed_makes_a_recipe(field):
    for name in {"augmentation": AUGMENTATIONS, "compile": COMPILE, "class_weights": CLASS_WEIGHTS}[field]:
        assert getattr(Recipe(**{field: name}), field) == name


@pytest.mark.parametrize(("fields", "rule"), [
    ({"epochs": -1}, "`epochs` must not be negative, but got -1"),
    ({"batch": 0}, "`batch` must be at least 1, but got 0"),
    ({"seed": -1}, "`seed` must not be negative, but got -1"),
    ({"epochs": 2.5}, "`epochs` must be a whole number, but got 2.5"),
    ({"mixup": "0.2"}, "`mixup` must be a number, but got '0.2'"),
    ({"mixup": True}, "`mixup` must be a number, but got True"),
    ({"cutmix": -0.1}, r"`cutmix` must lie in \[0, 10\], but got -0.1"),
    ({"average": 1}, r"`average` must lie in \[0, 1\), but got 1"),
    ({"peak_rate": 0}, r"`peak_rate` must lie in \(0, 1\], but got 0"),
    ({"stochastic_depth": float("nan")}, r"`stochastic_depth` must lie in \[0, 1\), but got nan"),
    ({"class_weights": "balance"}, "unknown way to weight classes 'balance'; did you mean 'balanced'"),
    ({"magnitude": 0.9}, "`magnitude` is of the augmentations randaugment and randaugment-flip, but got 0.9"),
    ({"distillation_weight": 0}, r"`distillation_weight` must lie in \(0, 1\], but got 0"),
    ({"distillation_temperature": 0.5}, r"`distillation_temperature` must lie in \[1, 100\], but got 0.5"),
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


def test_what_nobody_asks_for_is_as_it_always_was():
    assert {name: getattr(Recipe(), name) for name in PARTS} == {
        "peak_rate": 6e-3, "warm_up": 0.25, "weight_decay": 0.05, "label_smoothing": 0.1, "mixup": 0, "cutmix": 0,
        "magnitude": 0.5, "operations": 2, "average": 0, "stochastic_depth": 0, "class_weights": "none",
        "distillation_weight": 0.5, "distillation_temperature": 4}
    assert Recipe(9, 32, "none", "blocks", 7).changed == {}
    assert Recipe(mixup=0.2, warm_up=0.1).changed == {"warm_up": 0.1, "mixup": 0.2}


@pytest.mark.parametrize(("warming", "peak"), [(0, 0.1), (10, 6e-3), (39, 1.0)])
def test_the_rate_is_that_of_optax_warm_up_and_cosine(warming, peak):
    recipe, steps = Recipe(peak_rate=peak, warm_up=warming / 40), np.arange(40)
    expected = optax.warmup_cosine_decay_schedule(0, peak, warming, 40)(steps)
    np.testing.assert_allclose([recipe.rate(step / 40) for step in steps], expected, rtol=1e-4, atol=1e-6 * peak)


def test_an_average_keeps_less_at_first():
    assert [Recipe(average=0.9).kept(step) for step in (1, 8, 10**6)] == [2 / 11, 9 / 18, 0.9]


def test_a_file_gives_the_settings_that_it_names(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('mixup = 0.2\naugmentation = "randaugment"\nepochs = 5\n')
    assert load_recipe(path) == {"mixup": 0.2, "augmentation": "randaugment", "epochs": 5}
    assert Recipe(**load_recipe(path)).mixup == 0.2


@pytest.mark.parametrize(("content", "rule"), [
    (b"mixupp = 0.2", "unknown setting in 'FILE' 'mixupp'; did you mean 'mixup'"),
    (b"mixup = 11", "`mixup` must lie in [0, 10], but got 11 in 'FILE'"),
    (b'mixup = "a"', "`mixup` must be a number, but got 'a' in 'FILE'"),
    (b"[mixup]\nalpha = 1", "`mixup` must be a number, but got {'alpha': 1} in 'FILE'"),
    (b'augmentation = "x"', "unknown augmentation 'x'"),
    (b"mixup", "a recipe must be a readable TOML file, but got 'FILE'"),
    (b"\xff", "a recipe must be a readable TOML file, but got 'FILE'"),
    (None, "a recipe must be a readable TOML file, but got 'FILE'"),
])
def test_a_file_that_is_no_recipe_is_refused_in_a_line(content, rule, tmp_path):
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput) as error:
        load_recipe(path)
    assert rule.replace("FILE", str(path)) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_document_lists_every_part_with_its_default_and_bounds():
    text = (Path(__file__).parents[2] / "docs/recipes.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(Recipe):
        if field.name in ("augmentation", *PARTS):
            within, default = field.metadata["within"], field.default
            words = ", ".join(within) if isinstance(within, tuple) else within
            row = f"| `{field.name}` | {default} | {words} | {field.metadata['what']} | {field.metadata['source']} |"
            assert row in text
