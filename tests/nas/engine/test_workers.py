"""Searches with several workers, whose candidates are trained side by side in processes of their own."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import time

import pytest

from evaluators.benchmarks.tables import load_table
from evaluators.evaluator import Context, Diverged, Fidelity
from evaluators.machine.trouble import MachineTrouble
from evaluators.recipe import Recipe
from nas.engine.search import run_search
from nas.engine.trial import CandidateFailed
from nas.engine.workers import Limits, TrainingProcess, _share
from nas.problem.candidate import distinct
from nas.run.config import SearchConfig
from nas.run.monitor import Silent
from nas.trials.record import LOST
from nas.trials.tally import tally
from search_spaces.architecture import Architecture, identify
from search_spaces.errors import InvalidInput

EVALUATOR = '''
"""Notes who is trained where, and fails in the ways that the files beside it ask for."""

import json
import os
import signal
import time
from pathlib import Path

from evaluators.evaluator import Diverged

HERE = Path(__file__).parent


def note(**event):
    with (HERE / "events.jsonl").open("a") as file:
        file.write(json.dumps(event | {"pid": os.getpid()}) + "\\n")


def wait_for(count):
    """Waits until so many are being trained, each in another process."""
    (HERE / f"{os.getpid()}.here").touch()
    deadline = time.monotonic() + 60
    while len(list(HERE.glob("*.here"))) < count:
        assert time.monotonic() < deadline, "nobody came"
        time.sleep(0.01)


def once(name):
    """Tells whether a file is there, which is gone from now on."""
    try:
        (HERE / name).unlink()
    except FileNotFoundError:
        return False
    note(asked=name)
    return True


def evaluate(architecture, data, fidelity):
    note(begun=architecture.id, threads=os.environ["PJRT_NPROC"],
         device=os.environ.get("CUDA_VISIBLE_DEVICES"), compile=fidelity.recipe.compile)
    if once("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if once("abort"):
        os.kill(os.getpid(), signal.SIGABRT)
    if once("full"):
        raise MemoryError
    if once("fail"):
        raise ValueError("the loss is\\n  not finite")
    if once("diverge"):
        raise Diverged("the loss became infinite")
    if once("exit"):
        raise SystemExit(3)
    if once("hang"):
        time.sleep(600)
    if once("grow"):
        assert len(b"x" * 2**29) == 2**29
    if once("signals"):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
    if once("interrupt"):
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(60)
    if (HERE / "together").exists():
        wait_for(int((HERE / "together").read_text()))
    note(ended=architecture.id)
    return int(architecture.id, 16) % 1001 / 1000
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The directory of the evaluator, which is the current one."""
    (tmp_path / "watched.py").write_text(EVALUATOR)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "watched", raising=False)
    return tmp_path


@pytest.fixture
def search(here, make_config, gauge):
    """Runs a search with an evaluator that notes what it does."""
    def run(monitor=None, **changes):
        config = make_config(**({"evaluator": "watched:evaluate", "workers": 2} | changes))
        return run_search(config, here / "run", monitor, gauge)
    return run


def events(here):
    return [json.loads(line) for line in (here / "events.jsonl").read_text().splitlines()]


def begun(here):
    return [event["begun"] for event in events(here) if "begun" in event]


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("workers", [2, 3])
def test_as_many_candidates_are_trained_at_a_time_as_there_are_workers(search, here, workers):
    (here / "together").write_text(str(workers))  # none of them ends before all have begun
    run = search(workers=workers, trials=9)
    assert len({event["pid"] for event in events(here)}) == workers
    assert len(begun(here)) == len(set(begun(here))) == 9  # not one more than was asked for, and none twice
    assert len([candidate for candidate in distinct(run.candidates()) if candidate.trained]) == 9


def test_each_process_has_its_share_of_the_cores_and_ends_with_the_search(search, here):
    search(trials=4)
    cores = len(os.sched_getaffinity(0))
    assert {event["threads"] for event in events(here) if "begun" in event} == {str(max(1, cores // 2))}
    assert all(gone(event["pid"]) for event in events(here))


def test_each_process_is_told_what_to_compile_at_a_time(search, here):
    search(trials=2, compile="network")
    assert {event["compile"] for event in events(here) if "begun" in event} == {"network"}


def test_one_of_the_processes_says_what_concerns_all():
    assert ["PARETONAS_SILENT" in _share(worker, 3) for worker in range(3)] == [False, True, True]


def test_of_several_devices_each_process_has_one(search, here, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    (here / "together").write_text("2")
    search(trials=4)
    devices = {event["pid"]: event["device"] for event in events(here) if "begun" in event}
    assert sorted(devices.values()) == ["4", "7"]


@pytest.mark.parametrize(("what", "reason"), [
    ("abort", "the training process died of SIGABRT"), ("exit", "the training process ended with status 3"),
    ("fail", "ValueError: the loss is not finite"), ("diverge", "Diverged: the loss became infinite")])
def test_a_candidate_that_fails_or_ends_its_process_costs_nothing_else(search, here, what, reason):
    (here / what).touch()
    candidates = search(trials=6).candidates()
    assert {candidate.reason for candidate in candidates if candidate.state == "failed"} == {reason}
    assert len([candidate for candidate in distinct(candidates) if candidate.trained]) == 6
    pids = [event["pid"] for event in events(here)]
    at = next(index for index, event in enumerate(events(here)) if "asked" in event)
    assert what in ("fail", "diverge") or pids[at] not in pids[at + 1:]


@pytest.mark.parametrize(("what", "workers", "limit", "reason"), [
    ("hang", 1, {"trial_time_s": 1.5}, r"a training takes at most 1.5 s, but this one was ended after \d"),
    ("grow", 2, {"trial_memory_bytes": 2**29}, r"a training process takes at most 537 MB of memory, but this one to")])
def test_a_training_that_exceeds_its_limit_is_ended_and_fails_with_that_reason(
        search, here, what, limit, reason, workers):
    (here / what).touch()
    candidates = search(trials=4, workers=workers, **limit).candidates()
    asked = next(event for event in events(here) if "asked" in event)
    assert gone(asked["pid"]) and asked["pid"] != os.getpid()
    failed = [candidate.reason for candidate in candidates if candidate.state == "failed"]
    assert any(re.match(reason, words) for words in failed)
    assert len([candidate for candidate in distinct(candidates) if candidate.trained]) == 4


def test_a_training_that_diverges_in_a_process_is_told_apart_from_others_that_fail(here):
    (here / "fails.py").write_text("from evaluators.evaluator import Diverged\n\n"
                                   "def evaluate(architecture, *others):\n"
                                   "    raise (Diverged if architecture.classes == 2 else ValueError)('so')\n")
    two, three = (Architecture.parse(f"in_r12_c1+head_c8_relu_n{classes}") for classes in (2, 3))
    with TrainingProcess("fails:evaluate", Context(None, None, here, Recipe()), 0, 1) as process:
        with pytest.raises(Diverged, match=r"^so$"):
            process(two, None, Fidelity(Recipe(), 1))
        with pytest.raises(CandidateFailed, match=r"^ValueError: so$"):
            process(three, None, Fidelity(Recipe(), 1))


def test_the_time_of_a_training_is_that_of_all_its_rungs(here):
    (here / "rungs.py").write_text("import time\n\ndef evaluate(*arguments):\n    time.sleep(0.6)\n    return 0.5\n")
    architecture, fidelity = Architecture.parse("in_r12_c1+head_c8_relu_n2"), Fidelity(Recipe(), 1)
    context = Context(None, None, here, Recipe())
    with (TrainingProcess("rungs:evaluate", context, 0, 1, Limits(time_s=1.0)) as process,
          pytest.raises(CandidateFailed, match=r"a training takes at most 1 s, but")):
        for epochs in (1, 2):
            process(architecture, None, dataclasses.replace(fidelity, epochs=epochs))


def test_what_ends_a_whole_group_of_processes_fails_no_candidate(search, here):
    (here / "signals").touch()
    assert {candidate.state for candidate in search(trials=3).candidates()} == {"complete"}


def test_a_training_does_not_outlive_the_search_that_was_killed(here, inputs):
    (here / "hang").touch()
    search = subprocess.Popen([sys.executable, "-m", "nas.cli", "search", "--space", inputs / "space.toml", "--data",
                               inputs / "data.npz", "--evaluator", "watched:evaluate", "--objectives", "accuracy,macs",
                               "--workers", "2", "--run", "run"], stdout=subprocess.DEVNULL)
    wait_until(lambda: (here / "events.jsonl").exists() and any("asked" in event for event in events(here)))
    search.kill()
    search.wait()
    wait_until(lambda: all(gone(event["pid"]) for event in events(here)))


def wait_until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


@pytest.mark.parametrize("changes", [{"trial_time_s": 0}, {"trial_memory_bytes": 0}, {"trial_time_s": float("inf")},
                                     {"trial_time_s": 9, "data": "table:learning-curves"}])
def test_limits_that_cannot_be_kept_are_refused(changes, make_config):
    with pytest.raises(InvalidInput, match=r"`trial_|a limit of a trial is for trainings, but the data are 'table:"):
        make_config(**changes)


@pytest.mark.parametrize(("what", "reason"), [
    ("die", "the training process died of SIGKILL"), ("full", "MemoryError:")])
def test_what_the_machine_does_ends_the_search_and_all_candidates_are_tried_again(search, here, what, reason):
    (here / what).touch()
    with pytest.raises(MachineTrouble, match=f"{reason} .no candidate is to blame"):
        search(trials=6)
    assert all(gone(event["pid"]) for event in events(here))
    asked = begun(here)
    run = search(trials=6)
    assert not [candidate for candidate in run.candidates() if candidate.state == "failed"]
    assert len([candidate for candidate in distinct(run.candidates()) if candidate.trained]) == 6
    assert set(asked) <= {identify(candidate.architecture) for candidate in run.candidates()}


def test_an_evaluator_that_cannot_be_made_there_ends_the_search(search, here):
    (here / "watched.py").write_text(f"import os\nassert os.getpid() == {os.getpid()}\n{EVALUATOR}")
    with pytest.raises(MachineTrouble, match="the training process ended with status 1"):
        search(trials=6)


def test_an_interrupt_ends_the_trainings_and_the_search_goes_on_later(search, here):
    search(trials=3)
    (here / "interrupt").touch()
    with pytest.raises(KeyboardInterrupt):
        search(trials=9)
    assert all(gone(event["pid"]) for event in events(here))
    run = search(trials=9, workers=3)  # other workers may go on
    trials = run.study().get_trials()
    lost = [trial for trial in trials if LOST in trial.user_attrs]
    assert 1 <= len(lost) <= 2
    assert all(trial.state.is_finished() for trial in trials)
    assert len({event["ended"] for event in events(here) if "ended" in event}) >= 9
    assert tally(run.told()).trained == 9


def test_an_error_of_the_search_itself_ends_all_workers(search, here):
    class Broken(Silent):
        def told(self, tally, last, best):
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        search(Broken(), trials=6)
    assert all(gone(event["pid"]) for event in events(here))
    assert len([c for c in distinct(search(trials=6).candidates()) if c.trained]) == 6


def test_an_architecture_that_another_worker_trains_is_waited_for_and_reused(search, here):
    (here / "few.toml").write_text('stages = ["conv_k3_c4/8/12_s2_relu", "head_c16_relu"]')
    run = search(space="few.toml", workers=4, trials=3)
    assert len(begun(here)) == len(set(begun(here))) == 3
    duplicates = [candidate for candidate in run.candidates() if candidate.duplicate_of is not None]
    accuracies = {candidate.trial: candidate.accuracy for candidate in run.candidates()}
    assert duplicates
    assert all(candidate.accuracy == accuracies[candidate.duplicate_of] for candidate in duplicates)


def test_early_stopping_with_several_workers_trains_no_epoch_twice_and_ends_as_asked(strategy, tmp_path):
    config = SearchConfig(data="table:learning-curves", objectives=("accuracy", "macs"), strategy=strategy, trials=20,
                          early_stopping=True, workers=3)
    run = run_search(config, tmp_path / "run")
    found = [candidate for candidate in run.candidates() if candidate.duplicate_of is None and candidate.epochs]
    table = load_table(config.data)
    assert all(candidate.accuracies[-1][0] == candidate.epochs <= table.epochs for candidate in found)
    first = [candidate for candidate in found if candidate.continues is None]
    assert len({candidate.architecture for candidate in first}) == len(first) == 20
    continued = [candidate.continues for candidate in found if candidate.continues is not None]
    assert len(continued) == len(set(continued))
    assert tally(run.told()).tried == 20


def test_networks_are_trained_by_two_workers_as_by_one(make_config, gauge, tmp_path):
    (tmp_path / "two.toml").write_text('stages = ["conv_k3/5_c4_s2_relu", "head_c8_relu"]')
    found = {}
    for workers in (1, 2):
        config = make_config(space=str(tmp_path / "two.toml"), evaluator="training", trials=2, epochs=1,
                             workers=workers)
        run = run_search(config, tmp_path / str(workers), gauge=gauge)
        found[workers] = {candidate.architecture: candidate.accuracy for candidate in run.candidates()}
        assert (run.path / "weights").is_dir()
    shared = found[1].keys() & found[2].keys()
    assert len(shared) >= 2
    assert all(abs(found[1][text] - found[2][text]) <= 0.025 for text in shared)  # one of 40 images


@pytest.mark.parametrize("workers", [0, -1])
def test_workers_are_at_least_one(make_config, workers):
    with pytest.raises(InvalidInput, match=f"`workers` must be at least 1, but got {workers}"):
        make_config(workers=workers)


def test_a_process_that_is_closed_before_it_is_asked_anything_is_never_started(here):
    with TrainingProcess("watched:evaluate", None, 0, 2) as process:
        process.close()
        with pytest.raises(KeyboardInterrupt):
            process(None, None, None)
    assert not (here / "events.jsonl").exists()
