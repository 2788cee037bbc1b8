import optuna
import pytest

from nas.strategies import STRATEGIES, Problem
from nas.strategies.fresh import LOST, FreshSampler
from search_spaces.space import Space

SPACE = Space.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3/5/7_e3/6_c8/16_s1_se0/0.25_relu/hswish_x1/2+head_c16_relu_n2")


def study_of(strategy, seed=0):
    return optuna.create_study(directions=["maximize", "minimize"],
                               sampler=FreshSampler(STRATEGIES[strategy], seed, Problem(SPACE)))


def ask(study, count, tell=True):
    """Returns what a study asks for, each trial told by a formula that likes a small kernel."""
    asked = []
    for _ in range(count):
        trial = study.ask()
        asked.append(SPACE.suggest(trial))
        if tell:
            trial.set_constraint("latency", 0.0)
            study.tell(trial, [1 / asked[-1]["stage1.layer0.kernel"], asked[-1]["stage1.layer0.expansion"]])
    return asked


def test_another_seed_asks_for_other_candidates(strategy):
    assert ask(study_of(strategy, 0), 12) != ask(study_of(strategy, 1), 12)


def test_a_lost_trial_changes_nothing(strategy):
    """The trials of dead workers do not count, whenever they died."""
    undisturbed = ask(study_of(strategy), 25)
    study, asked = study_of(strategy), []
    for number in range(25):
        if number in (0, 3, 11, 12, 23):
            lost = ask(study, 1, tell=False)[0]
            study._storage.set_trial_user_attr(study.get_trials()[-1]._trial_id, LOST, True)
            study.tell(study.get_trials()[-1].number, state=optuna.trial.TrialState.FAIL)
            assert lost == undisturbed[number]
        asked += ask(study, 1)
    assert asked == undisturbed


def test_every_parameter_is_asked_for_in_every_trial(strategy):
    for assignment in ask(study_of(strategy), 15):
        assert list(assignment) == list(SPACE.parameters)


@pytest.mark.parametrize("strategy", ["tpe", "nsga2", "nsga3", "evolution", "local-search"])
def test_a_strategy_that_learns_prefers_what_was_good(strategy):
    """After 80 trials the best kernel and expansion come together more often than by chance, which is 1 in 6."""
    asked = ask(study_of(strategy), 80)[40:]
    good = [one for one in asked if (one["stage1.layer0.kernel"], one["stage1.layer0.expansion"]) == (3, 3)]
    assert len(good) > 16


@pytest.mark.parametrize("strategy", ["tpe", "nsga2", "nsga3", "evolution", "local-search"])
def test_a_strategy_that_learns_avoids_what_breaks_a_constraint(strategy):
    study = study_of(strategy)
    broken = []
    for _ in range(80):
        trial = study.ask()
        kernel = SPACE.suggest(trial)["stage1.layer0.kernel"]
        trial.set_constraint("latency", 1.0 if kernel > 3 else -0.1)
        study.tell(trial, [0.0 if kernel > 3 else 0.5, 0.0 if kernel > 3 else 1.0])
        broken.append(kernel > 3)
    assert sum(broken[40:]) < 20  # at random 27 of 40


def test_random_search_draws_every_value_about_equally_often():
    asked = ask(study_of("random"), 200)
    for name, values in SPACE.parameters.items():
        for value in values:
            share = sum(one[name] == value for one in asked) / 200
            assert abs(share - 1 / len(values)) < 0.12
