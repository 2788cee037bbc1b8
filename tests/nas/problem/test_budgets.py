import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.latency import Latency
from nas.problem.budgets import Budgets, is_feasible
from nas.problem.costs import Costs
from search_spaces.errors import InvalidInput


def timed(median_ms, low_ms=None, high_ms=None, p95_ms=None, target="onnxruntime"):
    return {target: Latency(median_ms, low_ms or median_ms, high_ms or median_ms, p95_ms or median_ms, 10, 0.1, 0.1,
                            0.1, 0.0)}


def test_a_bare_number_of_a_file_is_judged_as_text():
    assert Budgets.parse(macs=20_000_000).macs == 20_000_000
    with pytest.raises(InvalidInput, match=r"latency needs a unit: .* but got '0.1'"):
        Budgets.parse(latency=0.1)


def test_limits_may_be_numbers_of_numpy_or_written_as_floats():
    targets = ("onnxruntime", "litert")
    budgets = Budgets((np.float32(0.5), None), macs=20e6, params=np.int64(7), targets=targets)
    assert budgets == Budgets((0.5, None), macs=20_000_000, params=7, targets=targets)


def test_budgets_say_exactly_what_they_limit_in_a_fixed_order():
    budgets = Budgets.parse(size="1MB", memory="512KiB", macs="20M", latency="91.25us", params="1234567")
    assert str(budgets) == "latency 0.09125 ms, macs 20M, params 1.234567M, memory 524.288 kB, size 1 MB"
    assert list(budgets.limits) == ["latency", "macs", "params", "memory", "size"]
    assert str(Budgets()) == "no budget"


@pytest.mark.parametrize("wrong", [
    {"latency_ms": 0.0}, {"latency_ms": -0.1}, {"latency_ms": math.nan}, {"latency_ms": math.inf}, {"macs": 0},
    {"macs": 1.5}, {"params": -1}, {"memory_bytes": 0}, {"size_bytes": 2.5},
])
def test_budgets_refuse_limits_that_no_network_can_keep_or_break(wrong):
    with pytest.raises(InvalidInput):
        Budgets(**wrong)


def test_every_budget_has_a_violation_and_others_have_none():
    budgets = Budgets(latency_ms=0.1, macs=100, size_bytes=1000)
    costs = Costs(macs=150, params=10**9, memory_bytes=10**9, size_bytes=500, latencies=timed(0.1))
    assert budgets.violations(costs) == {"latency": 0.0, "macs": 0.5, "size": -0.5}
    assert list(budgets.violations(costs)) == ["latency", "macs", "size"]
    assert Budgets().violations(costs) == {}


def test_a_latency_is_judged_by_the_upper_end_of_its_interval():
    budgets = Budgets(latency_ms=0.1)
    wide = budgets.violations(Costs(latencies=timed(0.09, 0.08, 0.11)))
    narrow = budgets.violations(Costs(latencies=timed(0.09, 0.089, 0.1)))
    assert wide["latency"] == pytest.approx(0.1)
    assert not is_feasible(wide)
    assert narrow == {"latency": 0.0}
    assert is_feasible(narrow)


TWO = ("onnxruntime:batch=8", "litert")


def test_each_target_has_limits_of_its_own_and_each_is_a_constraint():
    budgets = Budgets((None, 0.08), macs=100, latency_p95_ms=(0.5, 0.1), images_per_s=(20_000, None), targets=TWO)
    first, second = timed(0.4, 0.36, 0.5, 0.5, TWO[0]), timed(0.07, 0.06, 0.077, 0.1, TWO[1])
    violations = budgets.violations(Costs(macs=50, latencies={**first, **second}))
    assert violations == {
        "latency@litert": pytest.approx(0.077 / 0.08 - 1),
        "latency_p95": pytest.approx(0.5 * 1.25 / 0.5 - 1),  # as uncertain as the median: 25 % of itself
        "latency_p95@litert": pytest.approx(0.1 * 1.1 / 0.1 - 1),
        "throughput": pytest.approx(20_000 / (8 / 0.5e-3) - 1),  # 8 images in 0.5 ms are 16,000 a second
        "macs": -0.5}
    assert budgets.timed == TWO
    assert budgets.violations(Costs(macs=50)) == dict.fromkeys(violations, 0.0) | {"macs": -0.5}


def test_budgets_of_several_targets_say_which():
    budgets = Budgets.parse(TWO, latency=["none", "80us"], throughput=["20k", "none"])
    assert str(budgets) == "latency 0.08 ms on litert, throughput 20k on onnxruntime:batch=8"
    costs = Costs(latencies={**timed(0.5, target=TWO[0]), **timed(0.07, target=TWO[1])})
    assert budgets.excess(costs) == "throughput 16k on onnxruntime:batch=8 is 25.0% short of its budget"


@given(st.floats(1e-3, 1e3), st.integers(1, 10**6))
def test_a_throughput_is_met_exactly_where_it_is_reached(latency_ms, images_per_s):
    violations = Budgets(images_per_s=images_per_s).violations(Costs(latencies=timed(latency_ms)))
    assert is_feasible(violations) == (1000 / latency_ms >= images_per_s)


@pytest.mark.parametrize("wrong", [{"latency_ms": 0.1}, {"latency_ms": (0.1, 0.2, 0.3)}, {"images_per_s": (5,)}])
def test_a_limit_is_given_for_each_target_or_for_none(wrong):
    with pytest.raises(InvalidInput, match=r"has a value for each target, or none, but got [13] for 2"):
        Budgets(**wrong, targets=TWO)


def test_one_target_is_the_same_however_its_limit_is_given():
    assert Budgets((0.1,), latency_p95_ms=(None,)) == Budgets(0.1) == Budgets.parse(latency=["0.1ms"])


def test_a_cost_that_was_not_reached_neither_helps_nor_harms():
    budgets = Budgets(latency_ms=0.1, macs=100)
    assert budgets.violations(Costs(macs=150)) == {"latency": 0.0, "macs": 0.5}
    assert budgets.violations(Costs(macs=50)) == {"latency": 0.0, "macs": -0.5}


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.integers(1, 2**53), st.integers(1, 2**53))
def test_feasible_means_that_nothing_measured_exceeds_its_limit(latency_ms, limit_ms, macs, limit):
    violations = Budgets(latency_ms=limit_ms, macs=limit).violations(Costs(macs=macs, latencies=timed(latency_ms)))
    assert is_feasible(violations) == (latency_ms <= limit_ms and macs <= limit)
    just_over = Budgets(latency_ms=limit_ms).violations(Costs(latencies=timed(math.nextafter(limit_ms, math.inf))))
    assert not is_feasible(just_over)


def test_a_violation_that_is_no_number_is_not_feasible():
    assert not is_feasible({"latency": math.nan})


def test_budgets_are_plain_data():
    budgets = Budgets(latency_ms=0.1, macs=3)
    assert pickle.loads(pickle.dumps(budgets)) == budgets  # noqa: S301 - our own bytes; workers are sent budgets


def test_a_table_of_medians_meets_no_budget_of_another_statistic():
    with pytest.raises(InvalidInput, match=r"tells medians, but got a latency_p95 on table:/phone.csv"):
        Budgets(latency_p95_ms=0.1, targets=("table:/phone.csv",))
    assert Budgets(latency_ms=0.1, images_per_s=100, targets=("table:/phone.csv",)).timed == ("table:/phone.csv",)


@pytest.mark.parametrize(("limits", "measured"), [
    ({"macs": 10**6}, ()), ({"latency_ms": (0.1, None)}, ("onnxruntime",)),
    ({"macs": 10**6, "size_bytes": 10**6}, ("onnxruntime", "litert"))])
def test_files_are_measured_on_targets_with_a_limit_and_on_all_where_their_size_is_limited(limits, measured):
    assert Budgets(**limits, targets=("onnxruntime", "litert")).measured == measured
