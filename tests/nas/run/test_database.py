"""Trials as they are read and written, beside Optuna's own storage on the same file."""

import math
import statistics

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState, create_trial

from nas.engine.search import run_search
from nas.run import database
from nas.run.config import SearchConfig
from nas.run.database import Database
from nas.run.monitor import Silent

CHOICES = optuna.distributions.CategoricalDistribution((1, 0.25, "hswish", True, None))
NUMBERS = optuna.distributions.FloatDistribution(1e-3, 1, log=True)


def filled(url):
    study = optuna.create_study(storage=url, study_name="search", directions=("maximize", "minimize"))
    study.ask()
    for number, state in enumerate(TrialState):
        told = state is TrialState.COMPLETE
        study.add_trial(create_trial(
            state=state, values=(0.5, math.inf) if told else None, params={"b": CHOICES.choices[number], "a": 0.1},
            distributions={"b": CHOICES, "a": NUMBERS}, user_attrs={"candidate": {"architecture": "é", "macs": None}},
            system_attrs={"constraints:macs": -1.0, "fixed_params": {}},
            intermediate_values={3: math.nan, 1: -math.inf}))
    return study


def repr_of(trials):
    return [repr((trial, list(trial.params), trial._trial_id)) for trial in trials]  # NaN equals nothing but its text


@pytest.mark.parametrize("states", [None, (TrialState.COMPLETE,), (TrialState.WAITING, TrialState.FAIL)])
def test_trials_are_read_as_optuna_reads_them(states, tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = filled(url)
    plain, own = optuna.storages.RDBStorage(url), Database(url)
    expected = plain.get_all_trials(study._study_id, states=states)
    assert len(expected) in (6, 1, 2)
    assert repr_of(own.get_all_trials(study._study_id, states=states)) == repr_of(expected)
    assert repr_of(map(own.get_trial, range(1, 7))) == repr_of(map(plain.get_trial, range(1, 7)))


def test_trials_are_read_in_two_statements(tmp_path):
    url, seen = f"sqlite:///{tmp_path / 'study.db'}", []
    study, own = filled(url), Database(url)
    sqlalchemy.event.listen(own.engine, "before_cursor_execute", lambda *event: seen.append(event[2]))
    assert len(own.get_all_trials(study._study_id)) == 6 and len(seen) == 2
    own.get_trial(1)
    assert len(seen) == 4


def test_what_another_process_writes_is_seen_at_once(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    other = optuna.create_study(storage=url, study_name="search")
    own = optuna.load_study(storage=Database(url), study_name="search")
    for number in range(3):
        running, ended = other.ask(), other.ask()
        other.tell(ended, number)
        running.suggest_categorical("x", (1, 2))
        assert repr_of(own.get_trials()) == repr_of(other.get_trials())
        running.set_user_attr("later", number)
        assert repr_of(own.get_trials()) == repr_of(other.get_trials())


def test_trials_and_studies_that_are_not_there_are_key_errors():
    own = Database("sqlite://")
    with pytest.raises(KeyError):
        own.get_trial(1)
    with pytest.raises(KeyError):
        own.get_all_trials(1)


def test_trials_share_their_distributions(tmp_path):
    address = f"sqlite:///{tmp_path / 'study.db'}"
    study = filled(address)
    _, first, second, *_ = Database(address).get_all_trials(study._study_id, deepcopy=False)
    assert first.distributions["b"] is second.distributions["b"]


@pytest.mark.parametrize("strategy", ["surrogate", "nsga2"])
def test_a_trial_takes_as_many_statements_and_reads_as_many_trials_however_many_there_are(strategy, monkeypatch,
                                                                                          tmp_path):
    class Counting(Silent):
        def told(self, *_):
            after_each.append(dict(counts))
            counts.update(statements=0, trials=0)

    def executed(*_):
        counts["statements"] += 1

    def built(**fields):
        counts["trials"] += 1
        return optuna.trial.FrozenTrial(**fields)

    counts, after_each = {"statements": 0, "trials": 0}, []
    monkeypatch.setattr(database, "FrozenTrial", built)
    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", executed)
    try:
        run_search(SearchConfig(data="table:learning-curves", objectives=("accuracy", "macs"), trials=40,
                                strategy=strategy), tmp_path / "run", Counting(), gauge={})
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", executed)
    assert len(after_each) >= 40
    for what, most in (("statements", 70), ("trials", 4)):
        early, late = ([count[what] for count in part] for part in (after_each[5:20], after_each[25:]))
        assert statistics.median(late) <= statistics.median(early) <= most
