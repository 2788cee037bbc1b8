"""Damaged run directories: what is found, what a repair does, and that nothing intact is lost."""

import dataclasses
import fcntl
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies

from evaluators.evaluator import Score
from evaluators.latency import Latency
from evaluators.prediction.timings import Timings
from evaluators.registry import EVALUATORS
from nas.engine.search import run_search
from nas.engine.successive_halving import stopped
from nas.export.doctor import examined, repaired
from nas.problem.candidate import Candidate, front, winner
from nas.run.config import SearchConfig
from nas.run.directory import RunDirectory
from nas.run.server import StudyDatabase
from nas.trials.record import write
from search_spaces import Architecture, InvalidInput
from tests.nas.conftest import ComputedGauge

GOLDEN = Path(__file__).parents[2] / "golden" / "certificate.json"
ARCHITECTURES = [Architecture.parse(f"in_r12_c1+conv_k3_c8_s2_relu+head_c{channels}_relu_n2") for channels in (8, 16)]


def curve(architecture, data, fidelity):
    """Returns an accuracy that is a hash, with arrays and a checkpoint."""
    arrays = {"weights": np.full(3, int(architecture.id[:4], 16), np.float32)}
    return Score(int(architecture.id[4:8], 16) % 1000 / 1000, 1000, arrays,
                 {"epochs": np.array(fidelity.epochs), **arrays}, compiled="blocks")


@pytest.fixture(scope="module", autouse=True)
def training():
    """The evaluator that trains, which computes nothing here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EVALUATORS, "training", lambda context: curve)
        yield


@pytest.fixture(scope="module")
def config(inputs):
    return SearchConfig(space=str(inputs / "space.toml"), data=str(inputs / "data.npz"), strategy="random", trials=8,
                        epochs=9, early_stopping=True, rungs=(1, 3))


@pytest.fixture(scope="module")
def sound(config, training, tmp_path_factory):
    """A run that has ended, with an export and records in it."""
    run = run_search(config, tmp_path_factory.mktemp("sound") / "run", gauge=ComputedGauge())
    for architecture in ARCHITECTURES:
        Timings(run.path / "timings.csv").add("onnxruntime", (architecture, 0.1, 0.05))
    (run.path / "finals.json").write_text("[]")
    certificate = json.loads(GOLDEN.read_text())
    (run.path / "export").mkdir()
    for entry in certificate["files"]:
        for file in filter(None, (entry, entry.get("beside"))):
            (run.path / "export" / file["file"]).write_bytes(b"a model")
            file["sha256"] = hashlib.sha256(b"a model").hexdigest()
    (run.path / "export" / "certificate.json").write_text(json.dumps(certificate))
    assert stopped(run.candidates()) and front(run.candidates())
    return run.path


@pytest.fixture
def path(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "run")


def content(directory):
    """All files of a directory, without the marks of readers in SQLite's index."""
    return {str(file.relative_to(directory)): b"" if file.name.endswith("-shm") else file.read_bytes()
            for file in sorted(directory.rglob("*")) if file.is_file()}


def one_of(path, kind):
    return sorted((path / kind).iterdir())[0]


def flipped(file, place=-1):
    changed = bytearray(file.read_bytes())
    changed[place] ^= 1
    file.write_bytes(changed)


def old(file):
    file.write_bytes(b"half")
    os.utime(file, (0, 0))


KILLED = """
import os, sys
from nas.run.directory import RunDirectory
run = RunDirectory(sys.argv[1])
run.study().ask()
os._exit(0)
"""


@pytest.fixture(scope="module")
def killed(sound, tmp_path_factory):
    """The run with a running trial, a log and its index, as a killed search leaves them."""
    path = shutil.copytree(sound, tmp_path_factory.mktemp("killed") / "run")
    subprocess.run([sys.executable, "-c", KILLED, path], check=True)
    assert (path / "study.db-wal").stat().st_size
    return path


def killed_search(path, killed):
    for name in ("study.db", "study.db-wal", "study.db-shm"):
        shutil.copy(killed / name, path / name)


def killed_search_in_a_copy(path, killed):
    killed_search(path, killed)
    (path / "study.db-shm").unlink()


def killed_in_an_export(path):
    (path / "export").rename(path / ".export.written-abcd.before")
    (path / ".export.written-abcd").mkdir()


RECORDS = {"correlation": "a record of scores must be as `nas correlate` or `nas compare-spaces` has",
           "finals": "the record of finals must be as an export has",
           "blocks": "the record of blocks must be as a report has"}
BESIDE = "export.unfinished.safetensors", "compressed.pruned.safetensors"
OF_KILLED = (killed_search, killed_search_in_a_copy)
REPAIRABLE = {
    "a running trial of a killed search": (killed_search, {
        "a running trial has a process, but nobody works on trial ": "marked as lost",
        "a study is one file when nobody searches, but beside 'study.db' a killed process has left study.db-wal and "
        "study.db-shm": "joined into one file"}),
    "a log without an index": (killed_search_in_a_copy, {
        "a running trial has a process": "marked as lost", "has left study.db-wal": "joined into one file"}),
    "an index without a log": (lambda path: (path / "study.db-shm").write_bytes(bytes(32768)), {
        "has left study.db-shm": "joined into one file"}),
    "no configuration": (lambda path: (path / "run.toml").unlink(), {
        "a run directory holds run.toml, but": "written as the study has it"}),
    "a damaged configuration": (lambda path: os.truncate(path / "run.toml", 400), {
        "run.toml must be as a search has written it, but": "written as the study has it"}),
    "damaged weights": (lambda path: flipped(one_of(path, "weights")), {
        "a kept network must be a safetensors file as it was written": "moved to 'aside/weights/",
        "has left its weights, but they are missing": None}),
    "a damaged checkpoint": (lambda path: os.truncate(one_of(path, "checkpoints"), 50), {
        "a kept network must be a safetensors file as it was written": "moved to 'aside/checkpoints/",
        "has left its checkpoints, but they are missing: it is trained anew if it goes on": None}),
    "weights of no trial": (lambda path: shutil.copy(one_of(path, "checkpoints"), path / "weights/0123.safetensors"), {
        "a kept network is of a trial, but this one is of none": "moved to 'aside/weights/0123.safetensors'"}),
    "weights of another network": (
        lambda path: shutil.copy(*sorted((path / "weights").iterdir())[:2]) if len(list((path / "weights").iterdir()))
        > 1 else one_of(path, "weights").rename(path / "weights" / one_of(path, "checkpoints").name), {
            "a network lies under the id of its architecture, but this is of in_r12": "moved to 'aside/weights/",
            "has left its weights, but they are missing": None}),
    "a temporary file": (lambda path: old(path / "weights" / ".0123.safetensors.ab12cd_3"), {
        "a temporary file lasts a moment, but a killed process has left this one": "moved to 'aside/weights/.0123"}),
    "a torn line of timings": (lambda path: os.truncate(path / "timings.csv", len(content(path)["timings.csv"]) - 5),
                               {"but line 3 has none, or no end": "to 'aside/timings.csv'; its 1 intact line stays"}),
    "damaged records": (lambda path: [(path / f"{name}.json").write_text("{") for name in RECORDS], {
        f"{rule} written it, but '": f"moved to 'aside/{name}.json'" for name, rule in RECORDS.items()}),
    "damaged files beside an export": (lambda path: [(path / name).write_bytes(b"half") for name in BESIDE], {
        "a kept network must be a safetensors file as it was written": "moved to 'aside/"}),
    "an export that was being replaced": (killed_in_an_export, {
        "a directory is filled by a living process, but a killed one has left this one": ""}),
    "files that cannot be read": (lambda path: ((path / "timings.csv").chmod(0o244), (path / "weights").chmod(0o600)), {
        "its owner can read and write a run, but the mode is 244": "its mode is 644 now",
        "but the mode is 600": "its mode is 700 now"}),
}


def test_a_sound_run_is_found_sound_and_left_as_it_is(path, nas):
    before = content(path)
    assert nas("doctor", path) == (0, "sound\n", "")
    assert nas("doctor", path, "--repair") == (0, "sound\n", "")
    assert content(path) == before | {".lock": b""}


def test_a_candidate_that_waits_for_a_worker_is_no_damage(path, nas):
    run = RunDirectory(path)
    trial = run.study().ask()
    write(trial, Candidate(trial.number, run.told()[0].architecture, waits=True))
    run.close()
    assert "running trial" not in nas("doctor", path)[1]


def test_a_candidate_that_a_later_timing_has_brought_onto_the_front_has_left_no_weights(path, nas):
    run = RunDirectory(path)
    members = front(run.candidates())
    for member in members:
        run.note_latencies(member.trial, {run.config.targets[0]: Latency.exact(1e3)})
    risen, best = {one.architecture_id for one in front(run.candidates())}, winner(run.candidates())
    run.close()
    assert risen - {one.architecture_id for one in members}
    assert nas("doctor", path)[:2] == (0, "sound\n")
    (path / "weights" / f"{best.architecture_id}.safetensors").unlink()
    assert f"trial {best.trial} has left its weights, but they are missing" in nas("doctor", path)[1]


@pytest.mark.parametrize("kind", REPAIRABLE)
def test_damage_is_found_and_repaired_and_the_search_goes_on(kind, path, config, killed):
    damage, expected = REPAIRABLE[kind]
    goes_on = kind in ("a running trial of a killed search", "a damaged checkpoint", "no configuration")
    before_damage = content(path)
    intact = {candidate.trial: candidate for candidate in RunDirectory(path).told()}
    if damage in OF_KILLED:
        damage(path, killed)
    else:
        damage(path)
    before = content(path)
    assert {finding.path for finding in examined(path)}
    assert content(path) == before  # as without --repair nothing is changed
    done = repaired(path)
    assert (path / "run.toml").read_bytes() == before_damage["run.toml"]
    for words, deed in expected.items():
        deeds = [did for finding, did in done if words in finding.words]
        assert deeds and all(did is deed or deed in did for did in deeds)
    assert not any((path / name).exists() for name in BESIDE)
    assert [finding.words for finding, did in done if did is None] == [
        finding.words for finding in examined(path)]  # what nothing can be done about
    run = RunDirectory(path)
    if goes_on:
        run = run_search(dataclasses.replace(config, trials=9), path, gauge=ComputedGauge())
    assert {number: run.told()[number] for number in intact} == intact


def test_an_export_that_was_killed_between_its_moves_is_put_back(path):
    export = content(path / "export")
    killed_in_an_export(path)
    assert sorted(did for _, did in repaired(path)) == ["put back as 'export'", "removed"]
    assert content(path / "export") == export
    assert examined(path) == []


@pytest.mark.parametrize(("damage", "words"), [
    (lambda path: (path / "study.db").unlink(), "study.db' is gone; put a copy of it back"),
    (lambda path: os.truncate(path / "study.db", 5000), "study.db' is damaged: "),
    (lambda path: flipped(path / "export" / "model.onnx"), "a certificate is about the files that were exported with"),
    (lambda path: one_of(path, "weights").unlink(), "has left its weights, but they are missing"),
    (lambda path: (path / "link").symlink_to(path), "files and directories of its own, but this is a link"),
])
def test_what_cannot_be_repaired_is_said_and_left_as_it_is(damage, words, path, nas):
    damage(path)
    before = content(path)
    status, out, err = nas("doctor", path, "--repair")
    assert (status, err) == (1, "")
    assert words in out
    assert content(path) == before | {".lock": b""}


def test_findings_are_given_as_json(path, nas):
    (path / "finals.json").write_text("{")
    status, out, _ = nas("doctor", path, "--json")
    (found,) = json.loads(out)
    assert (status, found["path"], found["done"], found["repairable"]) == (1, "finals.json", None, True)
    assert found["found"].count("must be") == 1


def test_a_run_is_examined_while_it_searches_and_repaired_when_nobody_does(path, nas):
    old(path / ".study.db.ab12cd_3")
    with RunDirectory(path).locked():
        (path / "timings.csv").open("ab").write(b"being writ")
        status, out, err = nas("doctor", path)
        assert status == 1 and ".study.db.ab12cd_3" in out and "timings.csv" not in out
        status, _, err = nas("doctor", path, "--repair")
        assert status == 2 and err.count("\n") == 1
    assert (path / ".study.db.ab12cd_3").exists()


def test_an_export_that_is_being_written_is_none_that_was_left(path):
    (path / ".export.written-abcd").mkdir()
    handle = os.open(path / ".export.written-abcd", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert examined(path) == []
    os.close(handle)
    assert [finding.path for finding in examined(path)] == [".export.written-abcd"]


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_what_is_no_run_cannot_be_read(place, tmp_path, nas):
    for options in ((), ("--repair",)):
        status, _, err = nas("doctor", *options, tmp_path / place)
        assert (status, err.count("\n")) == (2, 1) and not list(tmp_path.iterdir())
    with pytest.raises(InvalidInput, match=r"holds run.toml or study.db, but"):
        examined(tmp_path)


def test_networks_in_a_database_are_examined_and_put_aside_as_those_in_files(
        postgresql, config, tmp_path, monkeypatch):
    database = StudyDatabase(postgresql.new_database(), "one")
    monkeypatch.setenv("PGPASSWORD", postgresql.password)
    run = run_search(dataclasses.replace(config, trials=1), tmp_path / "run", gauge=ComputedGauge(), elsewhere=database)
    store, stray = run.artefacts.store, "checkpoints/none.safetensors"
    intact = run.artefacts.read(name := store.names("weights")[0])
    damaged = intact[:-1] + bytes([intact[-1] ^ 1])
    store.write(name, io.BytesIO(damaged))
    store.write(stray, io.BytesIO(intact))
    found = {finding.path: finding.words for finding in examined(run.path)}
    assert found.keys() == {name, stray} and "its sha256 is" in found[name] and "this is of" in found[stray]
    assert [done for _, done in repaired(run.path)] == [f"moved to 'aside/{one}'" for one in (name, stray)]
    assert (run.path / "aside" / name).read_bytes() == damaged
    assert run.artefacts.read(name) is None and run.artefacts.read(stray) is None


@settings(max_examples=12, deadline=None)
@given(strategies.data())
def test_no_damage_of_a_file_is_too_much_and_what_is_intact_stays(sound, tmp_path_factory, data):
    path = shutil.copytree(sound, tmp_path_factory.mktemp("damaged") / "run")
    name = data.draw(strategies.sampled_from(sorted(name for name, held in content(path).items() if held)))
    file, size = path / name, (path / name).stat().st_size
    place = data.draw(strategies.integers(0, size - 1))
    if data.draw(strategies.booleans()):
        os.truncate(file, place)
    else:
        flipped(file, place)
    before = content(path)
    examined(path)
    assert content(path) == before
    left = [finding for finding, did in repaired(path) if did is None]
    assert [finding.words for finding in examined(path)] == [finding.words for finding in left]
    after = content(path)
    assert {held: after.get(held) for held in before if held != name} == {
        held: before[held] for held in before if held != name}
    if name != "timings.csv":
        assert before[name] in (after.get(name), after.get(f"aside/{name}"))
    shutil.rmtree(path.parent)
