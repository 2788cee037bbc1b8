"""Rows that are read here, against what Optuna reads of the same file."""

import math
import sqlite3
from contextlib import closing

import optuna
import pytest

from nas.trials.rows import read_study


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file with two studies, one of them with trials of every kind."""
    path = tmp_path_factory.mktemp("rows") / "study.db"
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    other = optuna.create_study(storage=storage, study_name="other")
    other.tell(other.ask(), 3.0)
    study = optuna.create_study(storage=storage, study_name="search", directions=["maximize", "minimize"])
    study.enqueue_trial({"kernel": 5, "activation": "relu"})
    for number in range(7):
        trial = study.ask()
        trial.suggest_categorical("kernel", (3, 5, 7))
        trial.suggest_categorical("activation", ("relu", "hswish", None))
        trial.suggest_float("rate", 1e-4, 1.0, log=True)
        trial.suggest_int("depth", 1, 9)
        trial.set_user_attr("candidate", {"architecture": "größe", "accuracies": [[1, 0.5]], "number": number})
        trial.set_constraint("latency", number - 3.25)
        if number < 5:
            study.tell(trial, (number / 10, (0.5, math.inf, -math.inf)[number % 3]))
        elif number == 5:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    study.enqueue_trial({"kernel": 3})
    study.set_user_attr("after:0:latency:1", {"onnxruntime": {"median_ms": 0.1}})
    storage.engine.dispose()
    return path


def read(path):
    with closing(sqlite3.connect(path)) as database:
        return read_study(database, "search")


def test_a_study_is_read_as_optuna_reads_it(path):
    ours, theirs = read(path), optuna.load_study(study_name="search", storage=f"sqlite:///{path}")
    assert {trial.state.name for trial in ours.trials} == {"COMPLETE", "FAIL", "RUNNING", "WAITING"}
    assert ours.trials == theirs.trials
    assert [list(trial.params) for trial in ours.trials] == [list(trial.params) for trial in theirs.trials]
    assert [trial.constraints for trial in ours.trials] == [trial.constraints for trial in theirs.trials]
    assert ours.user_attrs == theirs.user_attrs
    assert ours.get_trials() is ours.trials


def test_an_attribute_is_set_in_memory_alone(path):
    before, study = path.read_bytes(), read(path)
    study.set_user_attr("later", 1)
    assert study.user_attrs["later"] == 1
    assert "later" not in read(path).user_attrs
    assert path.read_bytes() == before


def test_tables_of_another_version_are_left_to_optuna(path, tmp_path):
    copy = tmp_path / "study.db"
    copy.write_bytes(path.read_bytes())
    with closing(sqlite3.connect(copy)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'v9.0.0.a'")
    assert read(copy) is None


@pytest.mark.parametrize("statement", [
    "UPDATE trials SET state = 'GONE' WHERE number = 0", "UPDATE trials SET datetime_start = 'noon' WHERE number = 1",
    "UPDATE trial_user_attributes SET value_json = '{' WHERE key = 'candidate'",
    "UPDATE trial_values SET value = NULL WHERE value_type = 'FINITE'",
    "UPDATE trial_params SET param_value = 99 WHERE param_name = 'kernel'",
    "UPDATE trial_params SET distribution_json = '{}' WHERE param_name = 'kernel'", "DELETE FROM studies",
    "DROP TABLE trial_values"])
def test_damage_is_an_error(path, tmp_path, statement):
    copy = tmp_path / "study.db"
    copy.write_bytes(path.read_bytes())
    with closing(sqlite3.connect(copy)) as database, database:
        database.execute(statement)
    with pytest.raises((sqlite3.Error, LookupError, ValueError, TypeError)):
        read(copy)
