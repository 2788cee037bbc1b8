import math

import optuna
import pytest
from optuna.trial import TrialState

from nas.run.database import Database
from nas.trials.together import ask, take_up, tell, together


def begun(storage=None):
    return optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))


@pytest.fixture
def study():
    return begun(Database("sqlite://"))


def proposed(trial):
    values = [trial.suggest_categorical(f"choice{index}", (3, 5, "none")) for index in range(4)]
    trial.set_user_attr("values", values)
    trial.set_constraint("macs", -0.5)


def told(study):
    return [(trial.params, trial.distributions, trial.user_attrs, trial.constraints, trial.values, trial.state)
            for trial in study.get_trials()]


@pytest.mark.parametrize("storage", [lambda: Database("sqlite://"), optuna.storages.InMemoryStorage])
def test_what_is_written_together_is_what_optuna_writes_one_by_one(storage):
    study, plain = begun(storage()), begun()
    trial = ask(study)
    with together(trial):
        proposed(trial)
        assert trial.constraints == {"macs": -0.5}
    tell(study, trial, (1.0,))
    trial = plain.ask()
    proposed(trial)
    plain.tell(trial, 1.0)
    assert told(study) == told(plain)


def test_a_trial_that_another_worker_has_begun_is_gone_on_with(study):
    with together(trial := ask(study)):
        proposed(trial)
    tell(study, taken := take_up(study, trial.number), (1.0,))
    assert (taken.params, taken.user_attrs, taken.constraints) == (trial.params, trial.user_attrs, trial.constraints)
    assert [one[-2:] for one in told(study)] == [([1.0], TrialState.COMPLETE)]


def test_attributes_are_written_over(study):
    trial = ask(study)
    for value in (1, 2):
        with together(trial):
            trial.set_user_attr("value", value)
    assert study.get_trials()[0].user_attrs == {"value": 2}


def test_a_block_that_raises_writes_nothing(study):
    trial = ask(study)
    with pytest.raises(RuntimeError), together(trial):
        proposed(trial)
        raise RuntimeError
    assert not study.get_trials()[0].params
    trial.set_user_attr("later", 1)
    assert study.get_trials()[0].user_attrs == {"later": 1}


def test_a_trial_that_another_one_has_ended_is_not_written(study):
    trial = ask(study)
    study.tell(trial.number, state=TrialState.FAIL)
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError), together(trial):
        proposed(trial)
    assert not study.get_trials()[0].params


@pytest.mark.parametrize(("values", "state"), [
    ((1.0,), TrialState.COMPLETE), (None, TrialState.FAIL), ((math.nan,), TrialState.FAIL),
    ((math.inf,), TrialState.COMPLETE)])
def test_a_trial_is_told_as_optuna_tells_it(values, state, study):
    tell(study, ask(study), values)
    assert study.get_trials()[0].state is state


def test_what_waits_is_asked_for_first(study):
    tell(study, ask(study), (0.0,))
    study.enqueue_trial({"choice0": 5}, user_attrs={"start": "a"})
    trial = ask(study)
    assert trial.suggest_categorical("choice0", (3, 5)) == 5
    assert trial.user_attrs == {"start": "a"}
    assert ask(study).number == 2


def test_a_sampler_sees_the_trials_before_its_own_and_its_own(study):
    class Watching(optuna.samplers.RandomSampler):
        def sample_relative(self, study, trial, search_space):
            seen.append([other.number for other in study._get_trials(deepcopy=False, use_cache=True)])
            return {}

    seen, study.sampler = [], Watching(seed=0)
    for _ in range(3):
        ask(study).suggest_float("x", 0, 1)
    assert seen == [[0], [0, 1], [0, 1, 2]]
