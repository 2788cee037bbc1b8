"""Candidates that fail cost themselves only, until so many fail in a row that something else must be wrong."""

import errno
import os
import time

import numpy as np
import optuna
import pytest

from evaluators.evaluator import Score
from evaluators.latency import MeasurementFailed
from evaluators.machine.trouble import MachineTrouble
from evaluators.registry import EVALUATORS
from nas.engine import trial as trials
from nas.engine.loop import SearchFailed
from nas.engine.search import run_search
from nas.problem.candidate import Outcome, distinct, front
from nas.run.artefacts import Files
from nas.run.config import SearchConfig
from nas.run.directory import RunDirectory
from nas.run.sharing import SharedDirectory
from nas.trials import together
from nas.trials.tally import tally
from search_spaces import Architecture
from search_spaces.architecture import identify


def failing(architecture, data, fidelity):
    raise OSError("no such\nthing")


def test_five_failures_in_a_row_end_the_search_with_one_line(make_config, gauge, tmp_path, monkeypatch):
    monkeypatch.setitem(EVALUATORS, "hash", lambda context: failing)
    for _ in range(2):  # a second attempt tries one more candidate
        with pytest.raises(SearchFailed, match="5 candidates failed one after the other, the last with: OSError: no"):
            run_search(make_config(), tmp_path / "run", gauge=gauge)
    run = run_search_after_repair(make_config(), tmp_path / "run", gauge, monkeypatch)
    failed = [candidate for candidate in run.candidates() if candidate.state == "failed"]
    assert [candidate.trial for candidate in failed][:6] == [0, 1, 2, 3, 4, 5]
    assert all(candidate.reason == "OSError: no such thing" and candidate.accuracy is None for candidate in failed)
    assert all(candidate.costs.macs == Architecture.parse(candidate.architecture).macs for candidate in failed)
    assert tally(run.told()).trained == 8


def run_search_after_repair(config, path, gauge, monkeypatch):
    monkeypatch.setitem(EVALUATORS, "hash", lambda context: lambda architecture, data, fidelity: 0.5)
    return run_search(config, path, gauge=gauge)


def test_a_failure_now_and_then_does_not_end_the_search(make_config, gauge, evaluator, tmp_path, monkeypatch):
    def moody(architecture, data, fidelity):
        score = evaluator(architecture, data, fidelity)
        if len(evaluator.trained) % 3 == 0:
            raise ValueError("in a bad mood")
        return score

    monkeypatch.setitem(EVALUATORS, "hash", lambda context: moody)
    run = run_search(make_config(trials=6), tmp_path / "run", gauge=gauge)
    counts = tally(run.told())
    assert counts.trained == 6
    assert counts.failed >= 2
    assert {candidate.reason for candidate in run.candidates() if candidate.state == "failed"} == {
        "ValueError: in a bad mood"}


def test_a_model_file_that_cannot_be_timed_fails_its_candidate_only(make_config, gauge, evaluator, tmp_path):
    good = gauge.latency
    broken = []

    def latency(architecture, precision=None):
        if int(architecture.id, 16) % 3 == 0:
            broken.append(architecture.id)
            raise MeasurementFailed("the measuring process died of SIGSEGV")
        return good(architecture)

    gauge.latency = latency
    run = run_search(make_config(trials=6), tmp_path / "run", gauge=gauge)
    failed = [candidate for candidate in run.candidates() if candidate.state == "failed"]
    assert {identify(candidate.architecture) for candidate in failed} == set(broken) != set()
    assert all("died of SIGSEGV" in candidate.reason for candidate in failed)
    assert not set(broken) & set(evaluator.trained)
    assert len(evaluator.trained) == 6


@pytest.mark.parametrize("result", [float("nan"), 1.5, None, "high", 95])
def test_a_score_that_is_no_share_fails_its_candidate(result, make_config, gauge, tmp_path, monkeypatch):
    monkeypatch.setitem(EVALUATORS, "hash", lambda context: lambda architecture, data, fidelity: result)
    with pytest.raises(SearchFailed):
        run_search(make_config(), tmp_path / "run", gauge=gauge)


@pytest.mark.parametrize("result", [0.75, np.float32(0.75), Score(np.float32(0.75), np.int64(4)), True and 1])
def test_numbers_of_numpy_are_as_good_as_pythons(result, make_config, gauge, tmp_path, monkeypatch):
    monkeypatch.setitem(EVALUATORS, "hash", lambda context: lambda architecture, data, fidelity: result)
    run = run_search(make_config(trials=1), tmp_path / "run", gauge=gauge)
    assert run.candidates()[0].accuracy == float(getattr(result, "accuracy", result))


def test_a_writer_that_cannot_take_a_network_fails_its_candidate_only(make_config, gauge, evaluator, tmp_path):
    measured = gauge.latency
    failed = []

    def latency(architecture, precision=None):
        if not failed:
            failed.append(architecture.text)
            raise NotImplementedError("no form\nof a layer")
        return measured(architecture, precision)

    gauge.latency = latency
    found = run_search(make_config(trials=3), tmp_path / "run", gauge=gauge).candidates()
    assert [c.reason for c in found if c.state == "failed"] == ["NotImplementedError: no form of a layer"]
    assert sum(c.trained and c.duplicate_of is None for c in found) == 3


def full(*arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/file")


def unlocked(*arguments):
    raise MachineTrouble("no lock")


def missing(*arguments):
    import no_such_runtime  # noqa: F401


def too_large(*arguments):
    np.empty(2**60, np.uint8)


@pytest.mark.parametrize(("where", "fails", "words"), [
    ("size", full, "OSError: .Errno 28. No space left on device: '/somewhere/file'"), ("latency", unlocked, "no lock"),
    ("training", missing, "ModuleNotFoundError: No module named 'no_such_runtime'"),
    ("training", too_large, "Unable to allocate 1.00 EiB"), ("weights", full, "No space left on device: '/somewhere")])
def test_trouble_of_the_machine_ends_the_search_and_fails_no_candidate(
        where, fails, words, make_config, gauge, evaluator, tmp_path, monkeypatch):
    undisturbed = run_search(make_config(trials=3), tmp_path / "undisturbed", gauge=gauge).candidates()
    with monkeypatch.context() as patch:
        if where == "training":
            patch.setitem(EVALUATORS, "hash", lambda context: fails)
        elif where == "weights":
            patch.setattr(Files, "write", fails)
        else:
            patch.setattr(gauge, {"size": "size_bytes", "latency": "latency"}[where], fails)
        for _ in range(2):
            with pytest.raises((MachineTrouble, OSError), match=words):
                run_search(make_config(trials=3), tmp_path / "run", gauge=gauge)
        assert {candidate.outcome for candidate in RunDirectory(tmp_path / "run").told()} == {Outcome.LOST}
    found = run_search(make_config(trials=3), tmp_path / "run", gauge=gauge).candidates()
    assert [one.architecture for one in found] == [one.architecture for one in undisturbed]
    assert all(one.outcome is before.outcome for one, before in zip(found, undisturbed, strict=True))


@pytest.mark.parametrize("reason", [
    "NotADirectoryError: [Errno 20] Not a directory: '/run/locks/paretonas-possible.lock'",
    "MeasurementFailed: the measuring process failed while it timed 'a.onnx': OSError: [Errno 28] No space left",
    "the training process died of SIGKILL"])
def test_what_an_earlier_version_let_fail_for_the_machine_is_tried_again(
        reason, make_config, gauge, tmp_path, monkeypatch):
    def fails(*arguments):
        raise trials.CandidateFailed(reason)

    with monkeypatch.context() as patch:
        patch.setattr(trials, "tells_of_trouble", lambda reason: False)
        patch.setattr("nas.trials.record.tells_of_trouble", lambda reason: False)
        patch.setitem(EVALUATORS, "hash", lambda context: fails)
        with pytest.raises(SearchFailed):
            run_search(make_config(), tmp_path / "run", gauge=gauge)
        failed = [candidate.architecture for candidate in RunDirectory(tmp_path / "run").told()]
    run = run_search(make_config(), tmp_path / "run", gauge=gauge)
    assert {trial.state for trial in run.study().trials[:5]} == {optuna.trial.TrialState.FAIL}
    found = run.candidates()
    assert [one.architecture for one in found][:5] == failed
    assert tally(run.told()).trained == 8 and tally(run.told()).failed == 0


def test_an_error_that_only_sounds_like_the_machine_does_not_ask_for_the_same_candidate_for_ever(
        make_config, gauge, tmp_path, monkeypatch):
    def sounds(*arguments):
        raise OSError("[Errno 28] as I say")

    monkeypatch.setitem(EVALUATORS, "hash", lambda context: sounds)
    with pytest.raises(MachineTrouble, match="as I say"):
        run_search(make_config(), tmp_path / "run", gauge=gauge)


COMMAND = """\
count=$(cat calls 2> /dev/null | wc -l); echo called >> calls
case $count in
    2) echo hello ;;
    3) sleep 60 ;;
    4) ;;
    6) echo no such device >&2; exit 3 ;;
    *) echo 1 ms; echo 1 ms ;;
esac
"""


def test_a_command_that_fails_now_and_then_costs_candidates_and_nothing_else(
        make_config, evaluator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.sh").write_text(COMMAND)
    config = make_config(target="command[timeout_s=5]:sh bench.sh {model}", latency_ms=2.0, trials=6)
    found = distinct(run_search(config, tmp_path / "run").candidates())
    reasons = [candidate.reason for candidate in found if candidate.state == "failed"]
    complaints = "printed 'hello'", "given up after 5 s", "printed nothing", "status 3: no such device"
    assert all(complaint in reason for complaint, reason in zip(complaints, reasons, strict=True))
    assert len(evaluator.trained) == sum(candidate.eligible for candidate in found) == 6
    assert all(member.retimed for member in front(found))


def test_a_device_that_is_lost_ends_a_search_that_goes_on_once_it_is_back(
        make_config, evaluator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bench = tmp_path / "bench.sh"
    config = make_config(target="command:sh bench.sh {model}", trials=6)
    bench.write_text("echo called >> calls; test $(wc -l < calls) -le 3 && echo 1 ms && echo 1 ms")
    with pytest.raises(SearchFailed, match=r"5 candidates failed one after the other, the last with: .* status 1"):
        run_search(config, tmp_path / "run")
    assert len(evaluator.trained) == 3
    bench.write_text("echo 1 ms; echo 1 ms")
    run_search(config, tmp_path / "run")
    assert len(evaluator.trained) == len(set(evaluator.trained)) == 6


def test_no_worker_takes_the_turn_while_another_waits_for_the_storage(tmp_path, monkeypatch):
    events = []

    def ask(study):
        if "away" not in events:
            events.append("away")
            raise ConnectionError
        return together.ask(study)

    def outlasts(sharing, error):
        time.sleep(0.2)  # in which others would take it
        events.append("there again")
        return isinstance(error, ConnectionError)

    acquire = SharedDirectory.acquire
    monkeypatch.setattr("nas.engine.loop.ask", ask)
    monkeypatch.setattr(SharedDirectory, "outlasts", outlasts)
    monkeypatch.setattr(SharedDirectory, "acquire", lambda sharing: acquire(sharing) or events.append("turn"))
    run = run_search(SearchConfig(space="learning-curves", data="table:learning-curves", strategy="random", trials=4,
                                  objectives=("accuracy", "macs"), workers=2), tmp_path / "run")
    assert tally(run.told()).trained == 4
    assert events[events.index("away") + 1] == "there again"
