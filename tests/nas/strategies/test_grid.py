import optuna
import pytest

from nas.strategies import Problem, sampler_of
from nas.strategies.grid import Grid
from nas.trials.record import LOST
from search_spaces.errors import InvalidInput
from search_spaces.ready.mobile import MOBILE
from search_spaces.space import Space

SPACE = Space.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3/5_e3/6_c8_s1_se0_relu_x1/2//sep_k3/5/7_c8_s1_relu_x1/2"
                    "+head_c16_relu_n2")  # 7 blocks, so 7 + 49 members


def study_of(space, seed=0):
    problem = Problem(space, ("accuracy",), seed=seed)
    return optuna.create_study(sampler=sampler_of(Grid(problem), problem))


def ask(study):
    trial = study.ask()
    return trial, SPACE.decode(SPACE.suggest(trial)).text


def test_each_member_is_proposed_once_before_any_is_again_though_choices_outnumber_them():
    study, found = study_of(SPACE), []
    for _ in range(60):
        trial, text = ask(study)
        found.append(text)
        study.tell(trial, 1.0)
    assert len(set(found[:56])) == SPACE.size == 56
    assert set(found[56:]) < set(found)


def test_what_failed_is_done_with_and_what_was_lost_is_not():
    study, failed, lost = study_of(SPACE), set(), set()
    for number in range(66):
        trial, text = ask(study)
        if number in range(0, 20, 2):
            trial.set_user_attr(LOST, True)
        (lost if number in range(0, 20, 2) else failed).add(text)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    assert len(failed) == 56
    assert lost < failed


def test_too_large_a_space_is_refused_with_its_size_and_the_limit():
    with pytest.raises(InvalidInput, match=r"^the strategy grid is for spaces of at most 10000 members, but got one of "
                                           r"\d\.\d+e\+26$"):
        Grid(Problem(MOBILE.bind(28, 1, 10)))
