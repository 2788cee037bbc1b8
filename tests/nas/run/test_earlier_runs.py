"""Runs that an earlier version has written are listed, shown, continued, started from and exported."""

import dataclasses
import gzip
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from evaluators.evaluator import Score
from evaluators.latency import Latency
from evaluators.registry import EVALUATORS
from nas.api import Run
from nas.engine.search import run_search
from nas.problem.candidate import Outcome
from nas.run.directory import RunDirectory
from nas.trials.tally import Tally, tally
from search_spaces import InvalidInput

DATA = Path(__file__).parents[2] / "data" / "earlier_runs"
BEFORE = {"first": Tally(trained=3, rejected=7), "stopped": Tally(trained=1, stopped=2, rejected=1)}


@pytest.fixture
def opened(tmp_path):
    """Makes a directory of a run as the earlier version has left it."""
    def make(name):
        path = tmp_path / name
        shutil.copytree(DATA / name, path, ignore=shutil.ignore_patterns("study.*"))
        with sqlite3.connect(path / "study.db") as connection:
            connection.executescript(gzip.decompress((DATA / name / "study.sql.gz").read_bytes()).decode())
        connection.close()
        return path
    return make


@pytest.fixture
def trained(monkeypatch):
    """The texts of the architectures that are trained, in the place of a real training."""
    texts = []

    def train(architecture, data, fidelity):
        texts.append(architecture.text)
        return Score(int(architecture.id, 16) % 1001 / 1000, 1000)

    monkeypatch.setitem(EVALUATORS, "training", lambda context: train)
    return texts


class Gauge:
    """A tenth of a microsecond for each thousand MACs."""

    def size_bytes(self, architecture):
        return 4 * architecture.params

    def latency(self, architecture, precision=None):
        latency_ms = architecture.macs / 1e7
        return Latency(latency_ms, latency_ms, latency_ms, latency_ms, 10, 0.0, 0.1, 0.1, 0.0)


def holds(found, expected):
    """Tells whether found values hold all that is expected; later versions may tell more."""
    if isinstance(expected, dict):
        return all(name in found and holds(found[name], value) for name, value in expected.items())
    return found == expected


@pytest.mark.parametrize("name", BEFORE)
def test_its_candidates_are_listed_as_that_version_listed_them(name, opened, nas):
    path = opened(name)
    status, out, _ = nas("pareto", path, "--json")
    expected = json.loads((DATA / name / "candidates.json").read_text())
    rows = json.loads(out)
    assert status == 0
    assert len(rows) == len(expected)
    assert all(map(holds, rows, expected))
    told = RunDirectory(path).told()
    assert tally(told) == BEFORE[name]
    assert sum(candidate.outcome is Outcome.LOST for candidate in told) == (2 if name == "stopped" else 0)
    assert all(candidate.assignment or candidate.outside or candidate.outcome is Outcome.LOST for candidate in told)


@pytest.mark.parametrize("name", BEFORE)
def test_its_winner_is_shown(name, opened, nas):
    path = opened(name)
    expected = json.loads((DATA / name / "candidates.json").read_text())
    best = max((row for row in expected if row["trained"] and row["feasible"]), key=lambda row: row["accuracy"])
    status, out, _ = nas("show", path)
    assert status == 0
    assert out.splitlines()[0] == best["architecture"]


def untimed(candidate):
    """A candidate without what changes where it is timed again, as the front is at the end of a search."""
    return dataclasses.replace(candidate, costs=dataclasses.replace(candidate.costs, latencies={}), violations={})


@pytest.mark.parametrize("name", BEFORE)
def test_it_is_continued_with_all_that_was_found(name, opened, trained):
    path = opened(name)
    before = Run.open(path)
    known = before.candidates()
    config = dataclasses.replace(before.config, trials=before.config.trials + 2, workers=1)
    run = run_search(config, path, gauge=Gauge())
    found = [candidate for candidate in run.candidates() if candidate.trial <= known[-1].trial]
    assert list(map(untimed, found)) == list(map(untimed, known))
    assert not {candidate.architecture for candidate in known if candidate.trained} & set(trained)
    assert tally(run.told()).tried == config.trials


def test_a_run_from_before_early_stopping_goes_on_without_it(opened):
    path = opened("first")
    text = (path / "run.toml").read_text()
    (path / "run.toml").write_text(text.replace("early_stopping = false\n", "").replace("epochs = 1\n", "epochs = 9\n"))
    config = dataclasses.replace(Run.open(path).config, trials=None, time_s=1e-3, workers=1)
    assert config.early_stopping is None and config.stops_early
    assert run_search(config, path, gauge=Gauge()).config.early_stopping is False
    with pytest.raises(InvalidInput, match="early_stopping is False there, True here"):
        run_search(dataclasses.replace(config, early_stopping=True), path, gauge=Gauge())


def test_its_trainings_are_taken_over_by_another_search(opened, trained, tmp_path):
    path = opened("first")
    known = {candidate.architecture: candidate.accuracy for candidate in Run.open(path).candidates()
             if candidate.trained}
    config = dataclasses.replace(Run.open(path).config, latency_percentile=None, start=(str(path),), trials=1)
    found = run_search(config, tmp_path / "later", gauge=Gauge()).candidates()
    taken = [candidate for candidate in found if candidate.outcome is Outcome.TAKEN_OVER]
    assert {candidate.architecture: candidate.accuracy for candidate in taken} == known
    assert len(trained) == 1


@pytest.mark.slow
def test_its_winner_is_exported(opened):
    exported = Run.open(opened("first")).export(epochs=1)
    assert exported.certificate["accuracy"]["test"] > 0.5
    assert (exported.directory / "certificate.json").is_file()
