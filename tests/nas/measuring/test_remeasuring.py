import contextlib
import dataclasses

import pytest

from evaluators.latency import Latency, MeasurementFailed
from nas.engine.search import Silent, run_search
from nas.measuring.meters import DECIDING
from nas.measuring.remeasuring import MORE, in_fresh_processes, wanted_trials
from nas.problem.candidate import distinct, front, winner
from search_spaces import Architecture
from search_spaces.architecture import identify


class MoodyGauge:
    """A gauge whose later, careful timings are slower by a factor for some architectures."""

    def __init__(self, gauge, factors):
        self.gauge, self.factors, self.decisions = gauge, factors, []

    def size_bytes(self, architecture):
        return self.gauge.size_bytes(architecture)

    def latency(self, architecture, precision):
        found = self.gauge.latency(architecture)
        if precision != DECIDING:
            return found
        self.decisions.append(architecture.id)
        factor = self.factors.get(architecture.id, 1)
        return dataclasses.replace(found, median_ms=factor * found.median_ms, low_ms=factor * found.low_ms,
                                   high_ms=factor * found.high_ms)


class Lines(Silent):
    def __init__(self, lines):
        self.say = lines.append


def test_the_whole_front_is_timed_anew_once_when_a_search_ends(make_config, gauge, tmp_path):
    moody = MoodyGauge(gauge, {})
    run = run_search(make_config(trials=8), tmp_path / "run", gauge=moody)
    members = distinct(front(run.candidates()))
    assert len(moody.decisions) == len(set(moody.decisions)) == len(members) > 1
    assert all(member.retimed for member in members)
    run_search(make_config(trials=8), tmp_path / "run", gauge=moody)
    assert len(moody.decisions) == len(members)


def test_a_winner_that_falls_out_is_replaced_by_another_candidate(make_config, gauge, evaluator, tmp_path):
    config = make_config(trials=8, latency_ms=1.0)
    first = winner(run_search(config, tmp_path / "first", gauge=gauge).candidates())
    evaluator.trained.clear()
    slow = {identify(first.architecture): 100.0}
    run = run_search(config, tmp_path / "second", gauge=MoodyGauge(gauge, slow))
    found = {candidate.architecture: candidate for candidate in run.candidates()}
    fallen = found[first.architecture]
    assert fallen.trained
    assert not fallen.feasible
    assert fallen.latency_ms == pytest.approx(100 * first.latency_ms)
    assert winner(run.candidates()).architecture != first.architecture
    assert len(evaluator.trained) == 9
    assert all(member.retimed for member in front(run.candidates()))


def test_how_many_are_made_up_for_is_bounded(make_config, gauge, evaluator, all_members, tmp_path):
    slow = dict.fromkeys(all_members, 100.0)
    run = run_search(make_config(trials=8, latency_ms=1.0), tmp_path / "run", gauge=MoodyGauge(gauge, slow))
    assert winner(run.candidates()) is None
    assert len(evaluator.trained) == 8 + 8 / MORE == wanted_trials(8, run.candidates())


def test_a_front_of_exact_latencies_is_left_as_it_is(make_config, tmp_path):
    class Table:
        def size_bytes(self, architecture):
            return 1

        def latency(self, architecture, precision):
            assert precision != DECIDING
            return Latency.exact(architecture.macs / 1e6)

    run = run_search(make_config(trials=3), tmp_path / "run", gauge=Table())
    assert not any(candidate.retimed for candidate in run.candidates())


def test_a_member_that_cannot_be_timed_again_stays_as_it_was(make_config, gauge, tmp_path):
    class Broken(MoodyGauge):
        def latency(self, architecture, precision):
            if precision == DECIDING and architecture.id in self.factors:
                raise MeasurementFailed("the device is gone")
            return super().latency(architecture, precision)

    lines = []
    run = run_search(make_config(trials=8), tmp_path / "run", gauge=MoodyGauge(gauge, {}))
    first, *others = distinct(front(run.candidates()))
    broken = Broken(gauge, {identify(first.architecture): 1})
    untimed = run_search(make_config(trials=8), tmp_path / "again", Lines(lines), gauge=broken)
    after = distinct(front(untimed.candidates()))
    assert [member.retimed for member in after] == [False] + [True] * len(others)
    assert lines[-1] == f"trial {after[0].trial} could not be timed again: the device is gone"


def test_real_candidates_are_timed_in_processes_of_their_own(make_config, gauge, tmp_path, monkeypatch):
    run = run_search(make_config(trials=1), tmp_path / "run", gauge=gauge)
    monkeypatch.setattr("nas.measuring.remeasuring.DECIDING",
                        dataclasses.replace(DECIDING, at_least_s=0.1, at_most_s=0.3))
    latencies = in_fresh_processes(run)(Architecture.parse(run.candidates()[0].architecture))
    assert list(latencies) == ["onnxruntime"]
    assert latencies["onnxruntime"].runs > 10


def test_the_slowest_of_several_processes_counts_on_each_target(make_config, gauge, tmp_path, monkeypatch):
    run = run_search(make_config(trials=1), tmp_path / "run", gauge=gauge)
    architecture = Architecture.parse(run.candidates()[0].architecture)
    factors = iter([1.0, 1.3, 1.1])

    @contextlib.contextmanager
    def gauges(targets, quiet_ms, wait_s):
        yield {target: MoodyGauge(gauge, {architecture.id: next(factors)}) for target in targets}

    monkeypatch.setattr("nas.measuring.remeasuring.file_gauges", gauges)
    latencies = in_fresh_processes(run, processes=3)(architecture)
    assert latencies["onnxruntime"].median_ms == pytest.approx(1.3 * gauge.latency(architecture).median_ms)
    assert next(factors, None) is None
