import sys
from collections import Counter

import optuna
import pytest

from nas.strategies import STRATEGIES, Problem, sampler_of
from search_spaces.errors import InvalidInput
from search_spaces.space import Space

SPACE = Space.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3/5_e3/4/5/6_c8/16_s1_se0/0.25_relu_x1/2+head_c16_relu_n2")


def study_of(strategy, seed):
    problem = Problem(SPACE, ("accuracy",), seed=seed)
    return optuna.create_study(sampler=sampler_of(STRATEGIES[strategy](problem), problem))


@pytest.mark.parametrize("seed", range(5))
def test_each_power_of_two_of_points_is_balanced_in_every_choice(seed):
    """As a sequence in base 2 is: of 2^m points, one lies in each interval of that length (Sobol' 1967)."""
    study = study_of("qmc", seed)
    found = [SPACE.suggest(study.ask()) for _ in range(32)]
    for count in (4, 8, 16, 32):
        for name, values in SPACE.parameters.items():
            chosen = Counter(assignment[name] for assignment in found[:count])
            assert chosen == dict.fromkeys(values, count // len(values))


def test_random_search_draws_every_value_about_equally_often():
    study = study_of("random", 0)
    found = [SPACE.suggest(study.ask()) for _ in range(200)]
    for name, values in SPACE.parameters.items():
        for value in values:
            assert abs(sum(one[name] == value for one in found) / 200 - 1 / len(values)) < 0.12


def test_gaussian_processes_name_the_extra_that_they_need(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # as where it is not installed
    with pytest.raises(InvalidInput, match=r"^the strategy gp needs PyTorch \(pip install 'paretonas\[gp\]'\), but "):
        STRATEGIES["gp"](Problem(SPACE))
