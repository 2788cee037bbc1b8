import weakref

import optuna

from nas.trials.memo import Ended, OfFinished, is_finished


def test_a_trial_that_has_ended_is_asked_once_and_one_that_is_running_every_time():
    study, asked = optuna.create_study(), []
    ended, running = study.ask(), study.ask()
    study.tell(ended, 1.0)
    number = OfFinished(lambda trial: asked.append(trial.number) or trial.number)
    for _ in range(3):
        for trial in study.get_trials(deepcopy=False):
            assert number(trial) == trial.number
    assert asked.count(ended.number) == 1
    assert asked.count(running.number) == 3


def test_trials_of_equal_numbers_are_told_apart():
    value = OfFinished(lambda trial: trial.value)
    for expected in (1.0, 2.0):
        study = optuna.create_study()
        study.tell(study.ask(), expected)
        assert value(study.trials[0]) == expected


def test_what_follows_from_a_trial_is_kept_no_longer_than_the_trial():
    class Found:
        pass

    find = OfFinished(lambda trial: Found())
    trial = optuna.trial.create_trial(value=1.0)
    kept = weakref.ref(find(trial))
    assert find(trial) is kept()
    del trial
    assert kept() is None


def test_trials_that_ended_before_the_first_that_runs_are_added_once_and_the_others_are_left():
    def numbers(study):
        values, others = number(study.get_trials(deepcopy=False))
        return list(values), [trial.number for trial in others]

    study = optuna.create_study()
    number = Ended(is_finished, list, lambda numbers, trials: numbers.extend(trial.number for trial in trials))
    trials = [study.ask() for _ in range(5)]
    assert numbers(study) == ([], [0, 1, 2, 3, 4])
    for trial in (trials[0], trials[1], trials[3]):
        study.tell(trial, 1.0)
    for _ in range(2):
        assert numbers(study) == ([0, 1], [2, 3, 4])
    study.tell(trials[2], state=optuna.trial.TrialState.FAIL)
    assert numbers(study) == ([0, 1, 2, 3], [4])


def test_trials_of_another_study_are_added_anew():
    value = Ended(is_finished, list, lambda values, trials: values.extend(trial.value for trial in trials))
    for expected in ([1.0, 2.0], [3.0], [4.0, 5.0]):
        study = optuna.create_study()
        for each in expected:
            study.tell(study.ask(), each)
        assert value(study.get_trials(deepcopy=False)) == (expected, [])
