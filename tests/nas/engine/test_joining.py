"""Several processes that work on one search, in a run directory and on a PostgreSQL server."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from evaluators.registry import EVALUATORS
from nas.engine import joining
from nas.engine.joining import join_search
from nas.engine.loop import AHEAD
from nas.engine.search import run_search
from nas.problem.candidate import Outcome
from nas.run.directory import RunDirectory
from nas.run.monitor import Silent
from nas.run.server import GRACE, StudyDatabase
from nas.trials.tally import tally
from search_spaces.errors import InvalidInput

SCRIPT = '''
"""Begins a search, or works on it; each training is noted, and takes a moment."""

import os
import sys
import time

from evaluators.latency import Latency
from evaluators.registry import EVALUATORS
from nas.engine.joining import join_search
from nas.engine.search import run_search
from nas.run.config import SearchConfig
from nas.run.server import StudyDatabase
from nas.run.monitor import Silent
from pathlib import Path


def evaluate(architecture, data, fidelity):
    with open("events", "a") as file:
        file.write(f"{architecture.id}\\n")
    time.sleep(0.2 if not os.path.exists("hang") else 60)
    return int(architecture.id, 16) % 1001 / 1000


class Gauge:
    def size_bytes(self, architecture):
        return 4 * architecture.params

    def latency(self, architecture, precision=None):
        latency_ms = architecture.macs / 1e6
        return Latency(latency_ms, latency_ms, latency_ms, latency_ms, 10, 0.0, 0.1, 0.1, 0.0)


class Told(Silent):
    def say(self, text):
        print(text, flush=True)


EVALUATORS["hash"] = lambda context: evaluate
what, inputs, url, directory = sys.argv[1:]
if what == "search":
    config = SearchConfig(space=f"{inputs}/space.toml", data=f"{inputs}/data.npz", strategy="random", evaluator="hash",
                          trials=12)
    run_search(config, directory, Told(), Gauge(), elsewhere=StudyDatabase(url, "shared") if url else None)
else:
    join_search(url or directory, "", Path(directory), {}, Told(), gauge=Gauge())
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current directory, with the script of a process and what trainings note."""
    monkeypatch.chdir(tmp_path)
    Path("process.py").write_text(SCRIPT)
    Path("events").touch()
    return tmp_path


@pytest.fixture
def process(here, inputs):
    """Starts a process: `process(what, url, directory)`."""
    started = []

    def start(what, url, directory):
        with Path(f"{directory}.{len(started)}.log").open("w") as log:
            started.append(subprocess.Popen([sys.executable, "process.py", what, inputs, url, directory], stdout=log,
                                            stderr=subprocess.STDOUT))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()


def begun():
    return Path("events").read_text().split()


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, [path.read_text() for path in Path().glob("*.log")]
        time.sleep(0.02)


@pytest.fixture(params=["directory", "database"])
def place(request, inputs, monkeypatch):
    """The URL of the storage, empty for a run directory."""
    monkeypatch.setitem(EVALUATORS, "hash", lambda context: lambda *_: 0.5)
    return "" if request.param == "directory" else request.getfixturevalue("postgresql").new_database()


@pytest.mark.slow  # tests/experiments/test_kills.py is the shorter one
def test_what_killed_processes_were_at_is_taken_up_and_the_count_is_exact(here, process, place):
    first = process("search", place, "a")
    wait_for(lambda: len(begun()) >= 2)
    if place:
        StudyDatabase(place, "shared").opened().set_user_attr(GRACE, 2.0)
    others = [process("worker", place, "b" if place else "a") for _ in range(1 + (not place))]
    wait_for(lambda: len(begun()) >= 5)
    first.kill()
    first.wait()
    assert [other.wait(60) for other in others] == [0] * len(others), [log.read_text() for log in here.glob("*.log")]
    told = RunDirectory(here / ("b" if place else "a"), StudyDatabase(place, "shared") if place else None).told()
    assert tally(told).trained == 12
    assert {candidate.outcome for candidate in told} <= {Outcome.TRAINED, Outcome.DUPLICATE, Outcome.LOST}
    lost = [candidate for candidate in told if candidate.outcome is Outcome.LOST]
    assert len(lost) <= 1  # it was killed within a trial or between two
    assert all(candidate.architecture in {other.architecture for other in told if other not in lost}
               for candidate in lost if candidate.architecture)
    assert len(begun()) - len(set(begun())) in (0, len(lost))  # else nothing is trained twice
    assert all(candidate.worker.split(":")[1].isdigit() for candidate in told if candidate.architecture)


def test_a_worker_with_other_data_is_refused_by_name_and_leaves_nothing(shared, inputs, gauge, tmp_path):
    other = dict(np.load(inputs / "data.npz"))
    other["x_train"] = other["x_train"][::-1]
    np.savez(tmp_path / "other.npz", **other)
    with pytest.raises(InvalidInput, match=r"data is .*other\.npz. here"):
        join_search(shared, "", tmp_path / "joined", {"data": str(tmp_path / "other.npz")}, Silent(), gauge=gauge)
    assert not (tmp_path / "joined").exists()


def test_a_worker_needs_the_url_alone_and_writes_no_password(shared, gauge, tmp_path):
    run = join_search(shared, "", tmp_path / "joined", {}, Silent(), gauge=gauge)
    assert tally(run.told()).trained == 2
    password = shared.partition("@")[0].rpartition(":")[2]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and password in path.read_text(errors="replace")]
    os.environ["PGPASSWORD"], before = password, os.environ.get("PGPASSWORD")
    try:
        assert tally(RunDirectory.existing(tmp_path / "joined").told()).trained == 2
    finally:
        os.environ.pop("PGPASSWORD") if before is None else os.environ.update(PGPASSWORD=before)


def test_a_study_is_of_one_search_though_it_has_no_trials_yet(postgresql, make_config, gauge, tmp_path, monkeypatch):
    url = postgresql.new_database()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("nas.engine.loop.ask", interrupted)
        run_search(make_config(), tmp_path / "begun", gauge=gauge, elsewhere=StudyDatabase(url, "one"))
    for path, study, rule in (("other", "one", "begins a study of its own, but .* one' is there"),
                              ("begun", "two", "goes on with its own study, but .* has one, not .* two'")):
        with pytest.raises(InvalidInput, match=rule):
            run_search(make_config(), tmp_path / path, gauge=gauge, elsewhere=StudyDatabase(url, study))
    assert not (tmp_path / "other").exists()
    run = run_search(make_config(trials=1), tmp_path / "begun", gauge=gauge, elsewhere=StudyDatabase(url, "one"))
    assert tally(run.told()).trained == 1


def test_a_study_of_the_same_name_in_another_database_is_another_ones(
        shared, postgresql, make_config, gauge, tmp_path, monkeypatch):
    other = StudyDatabase(postgresql.new_database(), "one")
    monkeypatch.setattr("nas.run.directory.environment", lambda: {"written": "2000-01-01T00:00:00+00:00"})
    run_search(make_config(trials=1), tmp_path / "other", gauge=gauge, elsewhere=other)
    before = (tmp_path / "begun/run.toml").read_text()
    with pytest.raises(InvalidInput, match="is that of another one, which was begun at 2000-01-01"):
        run_search(make_config(trials=2), tmp_path / "begun", gauge=gauge, elsewhere=other)
    assert (tmp_path / "begun/run.toml").read_text() == before


def interrupted(*arguments, **named):
    raise KeyboardInterrupt


def test_an_interrupted_worker_prints_the_front_so_far(shared, gauge, tmp_path, nas, monkeypatch):
    run = join_search(shared, "", tmp_path / "joined", {}, Silent(), gauge=gauge)
    monkeypatch.setattr(joining, "run_search", interrupted)
    for options in ([run.path], [shared, "--run", run.path]):
        monkeypatch.setenv("PGPASSWORD", shared.partition("@")[0].rpartition(":")[2] if len(options) == 1 else "wrong")
        status, out, _ = nas("worker", *options)
        assert status == 130 and "winner" in out


@pytest.mark.parametrize(("name", "refused"), [("paretonas", True), ("onnxruntime", True), ("jax", False)])
def test_other_versions_are_refused_where_records_or_latencies_depend_on_them(
        name, refused, make_config, gauge, tmp_path, monkeypatch):
    run_search(make_config(trials=1), tmp_path / "run", gauge=gauge)
    lines, there = [], joining.environment()
    monkeypatch.setattr(joining, "environment", lambda: {**there, name: "99.0"})
    monitor = Silent()
    monitor.say = lines.append
    if refused:
        with pytest.raises(InvalidInput, match=f"{name} is .* there, 99"):
            join_search(str(tmp_path / "run"), "", tmp_path, {}, monitor, gauge=gauge)
    else:
        join_search(str(tmp_path / "run"), "", tmp_path, {}, monitor, gauge=gauge)
        assert [line for line in lines if f"{name} is" in line]


def test_code_of_the_study_is_run_only_where_it_is_trusted(postgresql, make_config, gauge, tmp_path, monkeypatch):
    (tmp_path / "judged_by_joining.py").write_text("def evaluate(architecture, data, fidelity):\n    return 0.5\n")
    monkeypatch.syspath_prepend(tmp_path)
    url = postgresql.new_database()
    run_search(make_config(trials=1, evaluator="judged_by_joining:evaluate"), tmp_path / "begun", gauge=gauge,
               elsewhere=StudyDatabase(url, "one"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another user"))
    with pytest.raises(InvalidInput, match="names evaluator 'judged_by_joining:evaluate'"):
        join_search(url, "", tmp_path / "joined", {}, Silent(), gauge=gauge)
    given = {"evaluator": "judged_by_joining:evaluate"}
    assert join_search(url, "", tmp_path / "joined", given, Silent(), ("evaluator",), gauge).told()


class Leaving(Silent):
    """A monitor of a worker that is interrupted as soon as it is told of something."""

    def __init__(self, *texts):
        self.texts = texts

    def say(self, text):
        if text in self.texts:
            raise KeyboardInterrupt

    def phase(self, trial, what):
        self.say(what)


class Unasked:
    """A gauge of who does not measure."""


def untrained(architecture, data, fidelity):
    raise AssertionError("this worker does not train")


@pytest.fixture
def begun_search(place, make_config, gauge, tmp_path):
    """What a worker joins, and its directory: a search for 5 candidates that was interrupted at its first one."""
    elsewhere = StudyDatabase(place, "one") if place else None
    with pytest.raises(KeyboardInterrupt):
        run_search(make_config(trials=5), tmp_path / "run", Leaving("training"), gauge, elsewhere=elsewhere)
    return place or str(tmp_path / "run"), tmp_path / ("worker" if place else "run")


def test_what_one_worker_has_timed_waits_for_one_that_trains(begun_search, gauge, evaluator, monkeypatch):
    where, path = begun_search

    def told():
        return RunDirectory(path, StudyDatabase(where, "one") if "://" in where else None).told()

    monkeypatch.setitem(EVALUATORS, "hash", lambda context: untrained)
    with pytest.raises(KeyboardInterrupt):
        join_search(where, "", path, {}, Leaving("waiting for a worker that trains"), gauge=gauge, times=["all"])
    waiting = [candidate for candidate in told() if candidate.outcome is Outcome.RUNNING]
    assert len(waiting) == AHEAD
    assert all(candidate.waits and candidate.worker is None for candidate in waiting)
    measured = [candidate for candidate in waiting if candidate.costs.latencies]
    assert {candidate.architecture_id for candidate in measured} <= set(gauge.timed)
    monkeypatch.setitem(EVALUATORS, "hash", lambda context: evaluator)
    with pytest.raises(KeyboardInterrupt):
        join_search(where, "", path, {}, Leaving("waiting for a worker that times"), gauge=Unasked(), trains=True)
    ended = [told()[candidate.trial] for candidate in waiting]
    assert {candidate.outcome for candidate in ended} <= {Outcome.TRAINED, Outcome.DUPLICATE}
    assert [candidate.costs for candidate in ended if candidate.trained and candidate.duplicate_of is None] == [
        candidate.costs for candidate in measured]
    assert evaluator.trained == [candidate.architecture_id for candidate in measured]
    assert tally(join_search(where, "", path, {}, Silent(), gauge=gauge).told()).trained == 5
    assert len(set(evaluator.trained)) == len(evaluator.trained)
    assert [candidate.outcome for candidate in told()].count(Outcome.LOST) == 1  # the one of the interrupted search


@pytest.mark.parametrize("place", ["directory"], indirect=True)
def test_who_only_times_keeps_nobody_from_recording(begun_search, gauge, monkeypatch):
    where, path = begun_search
    found, good, trainers = [], gauge.latency, set()

    def latency(architecture, precision=None):
        if len(gauge.timed) == 3:
            wait_for(lambda: tally(RunDirectory(path).told()).trained)
        return good(architecture)

    def train(architecture, data, fidelity):
        found.append(sum(candidate.waits for candidate in RunDirectory(path).told()))
        trainers.add(threading.current_thread().name)
        return 0.5

    gauge.latency = latency
    monkeypatch.setitem(EVALUATORS, "hash", lambda context: train)
    works = [{"gauge": Unasked(), "trains": True}, {"gauge": gauge, "times": ["onnxruntime"]}]
    threads = [threading.Thread(target=join_search, args=(where, "", path, {}, Silent()), kwargs=work, name=str(work))
               for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trainers == {str(works[0])}
    assert len(found) == tally(RunDirectory(path).told()).trained == 5
    assert max(found) <= AHEAD
    assert not [one for one in RunDirectory(path).told() if one.outcome is Outcome.RUNNING]


@pytest.mark.parametrize(("role", "refused"), [
    ({"times": ["litert"]}, "all targets of its search, onnxruntime, as no other one times the rest, but got litert"),
    ({"times": ["all"], "trains": True}, "but got both")])
def test_a_worker_times_all_targets_or_trains(role, refused, make_config, gauge, tmp_path):
    run_search(make_config(trials=1), tmp_path / "run", gauge=gauge)
    with pytest.raises(InvalidInput, match=refused):
        join_search(str(tmp_path / "run"), "", tmp_path, {}, Silent(), gauge=gauge, **role)
