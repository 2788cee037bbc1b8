import warnings

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.report.importance import FEWEST, importances

VALUES = {"kernel": (3, 5, 7), "kind": ("mb", "sep"), "se": (0, 0.25), "depth": (1,)}


def networks(seed, count):
    """Choices of which `se` matters in `mb` only, and losses that follow from `kind` and a bit from `kernel`."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        choices = {name: values[generator.integers(len(values))] for name, values in VALUES.items()}
        if choices["kind"] == "sep":
            del choices["se"]
        found.append(choices)
    noise = generator.normal(size=count)
    return found, [4 * (one["kind"] == "sep") + 0.1 * one["kernel"] + float(more) for one, more in
                   zip(found, noise, strict=True)]


def of_optuna(choices, losses):
    kinds = {name: optuna.distributions.CategoricalDistribution(values) for name, values in VALUES.items()
             if len(values) > 1}
    study = optuna.create_study()
    study.add_trials([optuna.trial.create_trial(
        params={name: value for name, value in one.items() if name in kinds},
        distributions={name: kinds[name] for name in one if name in kinds}, value=loss)
        for one, loss in zip(choices, losses, strict=True)])
    for trial_id, trial in enumerate(study.get_trials(deepcopy=False)):
        trial._trial_id = trial_id
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optuna.importance.get_param_importances(study)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**16), st.integers(FEWEST, 150))
def test_importances_are_those_of_optuna(seed, count):
    choices, losses = networks(seed, count)
    found = {one.choice: one.share for one in importances(choices, losses)}
    assert found == pytest.approx(of_optuna(choices, losses), abs=1e-9)


def test_the_choice_that_losses_follow_from_is_beyond_chance_and_one_that_they_do_not_is_not():
    found = {one.choice: one for one in importances(*networks(0, 300))}
    assert next(iter(found)) == "kind"
    assert found["kind"].share > 3 * found["kind"].chance
    assert found["se"].share < 3 * found["se"].chance


def test_of_losses_that_follow_from_nothing_about_one_choice_in_twenty_is_beyond_chance():
    beyond = []
    for seed in range(12):
        choices, _ = networks(seed, 60)
        losses = np.random.default_rng(seed + 100).normal(size=60).tolist()
        beyond += [one.share > one.chance for one in importances(choices, losses)]
    assert sum(beyond) <= 6  # of 36, of which 1.8 are to be expected


def test_few_networks_and_equal_ones_tell_nothing():
    assert importances(*networks(0, FEWEST - 1)) == []
    assert importances(networks(0, 50)[0], [0.5] * 50) == []
