import dataclasses
import math

import pytest

from evaluators.latency import Latency, Precision
from evaluators.networks.weights import initial_arrays
from evaluators.runtimes import RUNTIMES, parse_target
from evaluators.timing.meter import LatencyMeter
from nas.measuring.meters import RememberingGauge, costs_within, counted, file_gauge
from nas.problem.budgets import Budgets
from nas.problem.costs import Costs
from search_spaces import Architecture

ARCHITECTURE = Architecture.parse("in_r12_c1+conv_k3_c8_s2_relu+head_c16_relu_n2")
TARGET = "onnxruntime"
OTHER = Architecture.parse("in_r12_c1+conv_k5_c8_s2_relu+head_c16_relu_n2")


def test_counts_follow_from_the_text():
    """12x12 halved is 6x6: 9 taps to 8 channels, then 8 to 16 channels, then 16 to 2 classes."""
    costs = counted(ARCHITECTURE)
    assert costs.macs == 36 * 9 * 8 + 36 * 8 * 16 + 16 * 2
    assert costs.params == 9 * 8 + 2 * 8 + 8 * 16 + 2 * 16 + 16 * 2 + 2
    assert costs.memory_bytes == 4 * 36 * (8 + 16)
    assert (costs.size_bytes, costs.latency_ms) == (None, None)


def test_all_costs_are_found_within_the_budgets(gauge):
    costs = costs_within(ARCHITECTURE, Budgets(), {TARGET: gauge}, timed=[TARGET])
    assert costs == Costs(ARCHITECTURE.macs, ARCHITECTURE.params, ARCHITECTURE.memory_bytes,
                          gauge.size_bytes(ARCHITECTURE), {TARGET: gauge.latency(ARCHITECTURE)})


@pytest.mark.parametrize(("budgets", "size", "latency"), [
    (Budgets(macs=1), False, False), (Budgets(params=1), False, False), (Budgets(memory_bytes=1), False, False),
    (Budgets(size_bytes=1), True, False), (Budgets(latency_ms=1e-9), True, True), (Budgets(), True, True),
])
def test_what_is_dearer_than_a_broken_budget_is_not_measured(budgets, size, latency, gauge):
    costs = costs_within(ARCHITECTURE, budgets, {TARGET: gauge}, timed=[TARGET])
    assert (costs.size_bytes is not None, costs.latency_ms is not None) == (size, latency)
    assert len(gauge.timed) == latency


def test_a_latency_that_is_not_wanted_is_not_measured(gauge):
    costs = costs_within(ARCHITECTURE, Budgets(), {TARGET: gauge}, timed=[])
    assert (costs.latency_ms, gauge.timed) == (None, [])


@pytest.mark.parametrize("target", ["onnxruntime", "onnxruntime:batch=2"])
def test_files_are_measured_on_the_target_and_removed_at_the_end(target, tmp_path):
    runtime = RUNTIMES["onnxruntime"]
    with file_gauge(parse_target(target)) as gauge:
        runtime.write(OTHER, initial_arrays(OTHER.program, seed=0), tmp_path / "model.onnx", {})
        assert gauge.size_bytes(ARCHITECTURE) != gauge.size_bytes(OTHER) == (tmp_path / "model.onnx").stat().st_size
        costs = costs_within(OTHER, Budgets(), {target: gauge}, timed=[target])
        assert 0 < costs.latency_ci_ms[0] <= costs.latency_ms <= costs.latency_ci_ms[1]
        process = gauge.meter.pid
        assert costs_within(ARCHITECTURE, Budgets(), {target: gauge}, timed=[target]).latencies[target].runs > 0
        assert gauge.meter.pid == process  # one process serves all files
        assert len(list(gauge.directory.iterdir())) == 1
    assert gauge.meter.pid is None
    assert not gauge.directory.exists()


def test_a_gauge_that_ends_by_an_error_leaves_nothing():
    found = None
    with pytest.raises(RuntimeError), file_gauge(parse_target("onnxruntime")) as gauge:
        found = gauge
        gauge.size_bytes(ARCHITECTURE)
        raise RuntimeError
    assert not found.directory.exists()


def test_the_meter_of_a_gauge_is_that_of_the_target():
    with file_gauge(parse_target("onnxruntime:batch=2")) as gauge:
        assert isinstance(gauge.meter, LatencyMeter)
        assert gauge.meter.target.options.batch == 2


class NumberedGauge:
    """A gauge whose timings tell how many there were before, all between 1.0 and 1.2 ms on the clock."""

    def __init__(self):
        self.count = 0

    def size_bytes(self, architecture):
        return 1

    def latency(self, architecture, precision):
        self.count += 1
        return dataclasses.replace(Latency.exact(0.55), low_ms=0.5, high_ms=0.6, clock=2.0, runs=self.count)


@pytest.mark.parametrize(("limit_ms", "remembers"), [
    (0.99, True), (1.21, True), (1.0, False), (1.1, False), (1.2, False), (math.inf, False)])
def test_what_a_timing_has_told_of_a_limit_is_not_timed_again(limit_ms, remembers):
    """A limit is compared with the time on the clock; one within the interval, or none, is not decided."""
    gauge = RememberingGauge(NumberedGauge())
    asked = Precision(limit_ms=limit_ms)
    assert gauge.latency(ARCHITECTURE, Precision()).runs == 1
    assert gauge.latency(OTHER, asked).runs == 2
    assert gauge.latency(ARCHITECTURE, asked).runs == (1 if remembers else 3)
    assert gauge.latency(ARCHITECTURE, asked).runs == (3 if remembers else 4), "a memory answers once"


def test_a_limit_beside_that_of_the_median_still_gets_its_closer_timing():
    gauge = RememberingGauge(NumberedGauge())
    costs = costs_within(OTHER, Budgets(latency_ms=2.0, latency_p95_ms=0.57), {TARGET: gauge}, timed=[TARGET])
    assert costs.latencies[TARGET].runs == 2
