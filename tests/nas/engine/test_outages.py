"""A PostgreSQL server that is away for a while, or refuses, while processes begin, work on and end a search."""

import sys
from types import SimpleNamespace

import pytest

from evaluators.machine.trouble import MachineTrouble
from nas.engine import joining
from nas.engine.joining import join_search
from nas.engine.search import run_search
from nas.problem.candidate import distinct, front
from nas.run.monitor import Silent
from nas.run.server import StudyDatabase
from nas.trials.tally import tally


@pytest.fixture
def away(postgresql, monkeypatch):
    """Stops the server, which is there again when it has been waited for twice."""
    def leave():
        pauses = iter((lambda: None, postgresql.start))
        monkeypatch.setattr("nas.run.server.time", SimpleNamespace(sleep=lambda _: next(pauses, lambda: None)()))
        postgresql.stop()

    return leave


class Lines(Silent):
    """A monitor that keeps what is said of a server, and does something once when something else is begun."""

    def __init__(self, what="", act=None):
        self.lines, self.what, self.act = [], what, act

    def say(self, text):
        if "'postgresql" in text:
            self.lines.append("waiting" if text.startswith("waiting for") else "in reach")

    def progress(self, what, done, total):
        if what == self.what and self.act:
            act, self.act = self.act, None
            act()


def test_a_front_is_timed_again_though_the_server_was_away(postgresql, make_config, gauge, tmp_path, away):
    monitor, database = Lines("timing the front again", away), StudyDatabase(postgresql.new_database(), "one")
    run = run_search(make_config(trials=3), tmp_path / "run", monitor, gauge, elsewhere=database)
    members = distinct(front(run.candidates()))
    assert members and all(member.retimed for member in members)
    assert monitor.lines == ["waiting", "in reach"]


@pytest.mark.parametrize("at", [joining, "nas.engine.prepare.setting_of", "nas.engine.search.calibrate"])
def test_a_worker_begins_though_the_server_was_away(at, shared, gauge, tmp_path, away, monkeypatch):
    monitor = Lines()
    if at is joining:
        away()
    else:
        module, _, name = at.rpartition(".")
        before = getattr(sys.modules[module], name)

        def first(*arguments):
            monkeypatch.setattr(at, before)
            away()
            return before(*arguments)

        monkeypatch.setattr(at, first)
    run = join_search(shared, "", tmp_path / "joined", {}, monitor, gauge=gauge)
    assert tally(run.told()).trained == 2
    assert monitor.lines.count("waiting") == 1


def test_a_front_is_printed_though_the_server_was_away(shared, gauge, tmp_path, nas, away, monkeypatch):
    run = join_search(shared, "", tmp_path / "joined", {}, Silent(), gauge=gauge)

    def ended(*arguments, **named):
        away()
        return run

    monkeypatch.setattr(joining, "run_search", ended)
    status, out, _ = nas("worker", shared, "--run", run.path)
    assert status == 0 and out.count("waiting for 'postgresql") == 1 and "winner" in out


def test_a_server_that_refuses_a_worker_is_not_waited_for(shared, tmp_path):
    monitor = Lines()
    for url in (shared.replace(":", ":wrong", 2).replace(":wrong", ":", 1), f"{shared}s"):
        with pytest.raises(MachineTrouble, match="must be in reach, but"):
            join_search(url, "", tmp_path / "joined", {}, monitor)
    assert not monitor.lines and not (tmp_path / "joined").exists()
