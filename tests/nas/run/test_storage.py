"""The file of the trials, as a search and as readers find it: its own, another one, damaged, gone, not writable."""

import contextlib
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import optuna
import pytest
import sqlalchemy

from nas.problem.candidate import Candidate
from nas.run.config import SearchConfig
from nas.run.directory import Resolved, RunDirectory
from nas.trials.record import write
from search_spaces import InvalidInput

TEXT = "in_r28_c1+head_c8_relu_n10"
RESOLVED = Resolved(TEXT, 28, 1, 10, "0123456789abcdef", "validation: as given")


@pytest.fixture(scope="session")
def searched(tmp_path_factory):
    """A directory as a search of two trials leaves it."""
    run = RunDirectory(tmp_path_factory.mktemp("searched") / "run")
    run.path.mkdir()
    run.begin_trials(SearchConfig())
    run.write(SearchConfig(), RESOLVED)
    for accuracy in (0.5, 0.7):
        trial = run.study().ask()
        write(trial, Candidate(trial.number, TEXT, accuracy=accuracy, trained=True, epochs=3))
        run.study().tell(trial, (accuracy, 0.1))
    (run.path / "weights").mkdir()
    (run.path / "weights" / "0123.safetensors").write_bytes(b"")
    close(run)
    return run.path


def close(run):
    run.study()._storage.remove_session()
    run.study()._storage._backend.engine.dispose()


@pytest.fixture
def path(searched, tmp_path):
    return shutil.copytree(searched, tmp_path / "run")


def content(directory):
    """All that is in a directory, by its path."""
    return {str(file.relative_to(directory)): file.read_bytes() if file.is_file() else b""
            for file in sorted(directory.rglob("*"))}


def changed(path, *statements):
    with contextlib.closing(sqlite3.connect(path / "study.db")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def accuracies(path):
    return [candidate.accuracy for candidate in RunDirectory(path).told()]


def test_reading_changes_nothing_and_makes_nothing(path):
    before = content(path)
    assert accuracies(path) == [0.5, 0.7]
    assert content(path) == before


def test_what_a_search_has_told_is_read_at_once_and_beside_it(path):
    search, reader = RunDirectory(path), RunDirectory(path)
    assert len(reader.told()) == 2
    trial = search.study().ask()
    write(trial, Candidate(trial.number, TEXT, accuracy=0.9, trained=True))
    search.study().tell(trial, (0.9, 0.1))
    names = set(content(path))
    assert "study.db-wal" in names
    assert [candidate.accuracy for candidate in reader.told()] == [0.5, 0.7, 0.9]
    assert set(content(path)) == names
    close(search)


KILLED = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("PRAGMA journal_mode=WAL")
database.execute("UPDATE trial_user_attributes SET value_json = replace(value_json, '0.7', '0.8')")
database.commit()
os._exit(0)
"""


@pytest.mark.parametrize("index", ["there", "left out of a copy"])
def test_what_a_killed_search_has_left_in_its_log_is_read_and_left_as_it_is(index, path):
    subprocess.run([sys.executable, "-c", KILLED, path / "study.db"], check=True)
    if index != "there":
        (path / "study.db-shm").unlink()
    names, log = set(content(path)), (path / "study.db-wal").read_bytes()
    assert log
    assert accuracies(path) == [0.5, 0.8]
    assert set(content(path)) == names
    assert (path / "study.db-wal").read_bytes() == log


READ = """
import os, sys
from evaluators.latency import Latency
from nas.run.directory import RunDirectory

def read(path):
    run = RunDirectory(path)
    print([candidate.accuracy for candidate in run.told()], run.writable)
    run.note_latencies(0, {"onnxruntime": Latency.exact(2.0)})
    print([candidate.latency_ms for candidate in run.candidates()])

read(sys.argv[1])  # imports all that it needs, from where another user may not look
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for path in sys.argv[2:]:
    read(path)
"""


def test_a_run_that_cannot_be_written_is_read_and_what_is_learned_of_it_is_known_meanwhile(path):
    killed = shutil.copytree(path, path.with_name("killed"))
    subprocess.run([sys.executable, "-c", KILLED, killed / "study.db"], check=True)
    with tempfile.TemporaryDirectory() as directory:  # into which another user may look, as not into pytest's
        Path(directory).chmod(0o755)
        places = [shutil.copytree(one, Path(directory) / one.name) for one in (path, killed)]
        each = [file for place in places for file in (place, *place.rglob("*"))]
        for file in each:
            file.chmod(0o555 if file.is_dir() else 0o444)
        before = content(Path(directory))
        done = subprocess.run([sys.executable, "-c", READ, path, *places], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == ["[0.5, 0.7] True", "[2.0, 2.0]", "[0.5, 0.7] False", "[2.0, 2.0]",
                                            "[0.5, 0.8] False", "[2.0, 2.0]"]
        assert content(Path(directory)) == before
        for file in each:
            file.chmod(0o755)


@pytest.mark.parametrize(("damage", "state"), [
    (lambda path: (path / "study.db").unlink(), "is gone"),
    (lambda path: (path / "study.db").write_bytes(b""), "is empty"),
    (lambda path: (path / "study.db").write_bytes(b"no database " * 99), "is damaged: file is not a database"),
    (lambda path: os.truncate(path / "study.db", 40_000), "is damaged: "),
    (lambda path: changed(path, "DROP TABLE trials"), "is a database without the trials of a search"),
    (lambda path: changed(path, "UPDATE studies SET study_name = 'another'"), "without the trials of a search"),
    (lambda path: changed(path, "DROP TABLE trial_values"), "is damaged: no such table: trial_values"),
    (lambda path: changed(path, "UPDATE trials SET study_id = 9"), "rows of the table 'trials' belong to nothing"),
    (lambda path: changed(path, "UPDATE trials SET number = NULL"), "trials are missing"),
    (lambda path: changed(path, "DELETE FROM trials WHERE number = 0", "DELETE FROM trial_values WHERE trial_id = 1",
                          "DELETE FROM trial_user_attributes WHERE trial_id = 1"), "trials are missing"),
    (lambda path: changed(path, "UPDATE trials SET state = 'DONE'"), "is damaged: KeyError: 'DONE'"),
    (lambda path: changed(path, "UPDATE trials SET datetime_start = 'x'"), "is damaged: ValueError"),
    (lambda path: changed(path, "DELETE FROM trial_values"), "trial 0 has no values"),
    (lambda path: changed(path, "DELETE FROM trial_user_attributes"), "trial 0 has no architecture and no trained"),
    (lambda path: changed(path, "UPDATE trial_user_attributes SET value_json = 'null'"), "is damaged: AttributeError"),
    (lambda path: changed(path, "UPDATE trial_user_attributes SET value_json = '{'"), "is damaged: JSONDecodeError"),
    (lambda path: changed(path, "UPDATE trial_user_attributes SET value_json = replace(value_json, 'trained', 'x')"),
     "trial 0 has no trained"),
    (lambda path: changed(path, "UPDATE trial_user_attributes SET value_json = replace(value_json, '0.5', '\"a\"')"),
     "`accuracy` of trial 0 is 'a'"),
    (lambda path: changed(path, "UPDATE trial_user_attributes SET value_json = replace(value_json, '0.5', "
                                "replace(hex(zeroblob(50000)), '00', '['))"), "is damaged: "),
    (lambda path: changed(path, "INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (1, "
                                "'after:0:latency:1', '{\"onnxruntime\": null}')"), "is damaged: "),
])
def test_a_storage_that_is_not_as_a_search_wrote_it_is_refused_and_stays_as_it_is(damage, state, path):
    damage(path)
    before = content(path)
    for use in (lambda run: run.candidates(), lambda run: run.require_sound() or run.candidates()):
        with pytest.raises(InvalidInput, match=r"trials of a run .*study\.db' is ") as refused:
            use(RunDirectory(path))
        assert state in str(refused.value)
        assert "put a copy of it back, or search anew in another directory" in str(refused.value)
        assert content(path) == before


@pytest.mark.parametrize("version", ["this one", "an earlier one"])
def test_a_storage_that_is_gone_is_not_begun_anew(version, path, nas):
    (path / "study.db").unlink()
    if version != "this one":  # its run.toml does not name the storage, but there are weights
        text = (path / "run.toml").read_text()
        (path / "run.toml").write_text(text.replace('trials = "study.db"\n', ""))
    for command in (("pareto", path), ("search", "--run", path)):
        status, out, err = nas(*command)
        assert (status, err.count("\n")) == (2, 1), out
        assert "study.db' is gone; put a copy of it back" in err
    assert not (path / "study.db").exists()


@pytest.mark.parametrize("name", ["study.db", "timings.csv"])
def test_a_search_begins_beside_nothing_of_another(name, path, nas, inputs):
    (path / "timings.csv").write_text("mine")
    (path / "run.toml").unlink()
    (path / ("timings.csv" if name == "study.db" else "study.db")).unlink()
    before = content(path)
    status, _, err = nas("search", "--run", path, "--space", inputs / "space.toml", "--data", inputs / "data.npz")
    assert (status, err.count("\n")) == (2, 1)
    assert f"{name}' is there without its run.toml" in err
    assert content(path) == before


@pytest.mark.parametrize("name", ["run.toml", "study.db", "study.db-wal", "study.db-journal", "study.db-shm", ".lock",
                                  "timings.csv", "correlation.json", "finals.json"])
def test_a_link_in_the_place_of_a_file_is_refused_and_what_it_leads_to_stays(name, path, tmp_path, nas):
    other = tmp_path / "of somebody else"
    other.write_bytes((path / name).read_bytes() if (path / name).exists() else b"mine")
    before = other.read_bytes()
    (path / name).unlink(missing_ok=True)
    (path / name).symlink_to(other)
    status, _, err = nas("search", "--run", path, "--trials", "9")
    assert (status, err) == (2, f"nas: '{path}' must hold files and directories of its own, but '{path / name}' is a "
                                "link\n")
    assert other.read_bytes() == before


@pytest.mark.parametrize("name", ["weights", "checkpoints", "evaluator"])
def test_a_link_in_the_place_of_a_directory_is_refused_and_what_it_leads_to_stays(name, path, tmp_path, nas):
    shutil.rmtree(path / name, ignore_errors=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.safetensors").write_bytes(b"mine")
    (path / name).symlink_to(tmp_path / "other")
    status, _, err = nas("search", "--run", path, "--trials", "9")
    assert (status, err.count("\n")) == (2, 1)
    assert f"'{path / name}' is a link" in err
    assert content(tmp_path / "other") == {"mine.safetensors": b"mine"}


def test_reading_through_a_link_makes_no_tables_in_another_database(path, tmp_path, nas):
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("CREATE TABLE mine (a)")
    before = (tmp_path / "other.db").read_bytes()
    for put in (lambda: (path / "study.db").symlink_to(tmp_path / "other.db"),
                lambda: shutil.copyfile(tmp_path / "other.db", path / "study.db")):
        (path / "study.db").unlink(missing_ok=True)
        put()
        status, out, err = nas("pareto", path, "--json")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert (path / "study.db").read_bytes() == before


def test_a_full_disk_is_told_as_such_with_its_place(path):
    run = RunDirectory(path)
    engine = run.study()._storage._backend.engine
    sqlalchemy.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count=1"))
    engine.dispose()
    with pytest.raises(OSError, match="No space left on device") as raised, run.storing():
        run.study().set_user_attr("much", "x" * 10**6)
    assert raised.value.filename == str(path / "study.db")
    close(run)
    assert accuracies(path) == [0.5, 0.7]


def test_a_storage_that_is_busy_is_not_said_to_be_damaged(path):
    run = RunDirectory(path)
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    with pytest.raises(OSError, match="database is locked") as raised, run.storing():
        raise optuna.exceptions.StorageInternalError("during the commit") from error
    assert (raised.value.errno, raised.value.filename) == (errno.EIO, str(path / "study.db"))


def test_other_errors_are_not_told_as_those_of_the_storage(path):
    with pytest.raises(KeyError), RunDirectory(path).storing():
        raise KeyError("mine")


def test_a_study_is_begun_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(*arguments, **named):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        RunDirectory(tmp_path).begin_trials(SearchConfig())
    assert raised.value.filename == str(tmp_path / "study.db")
    assert list(tmp_path.iterdir()) == []
