import dataclasses

import pytest

from nas.report.html.costs import costs_of


def test_accuracy_is_drawn_against_every_cost_that_is_known(found):
    costs = list(costs_of(found))
    assert [cost.name for cost in costs] == ["latency on onnxruntime", "multiply-adds", "parameters",
                                             "memory of activations", "size of the file"]
    latency, macs, *others = costs
    assert (latency.limit, macs.limit, [cost.limit for cost in others]) == (0.09, 20_000_000, [None] * 3)
    assert [cost.objective for cost in costs] == [True, False, False, False, False]
    winner = found.winner
    assert (latency.value(winner), latency.interval(winner)) == (0.085, (0.085 * 0.98, 0.085 * 1.02))
    assert (macs.value(winner), macs.interval(winner), macs.written(3_858_016)) == (3_858_016, None, "3.86M")


def test_each_target_has_an_axis_of_its_own_once_something_was_measured_there(found):
    config = dataclasses.replace(found.config, target=("onnxruntime", "litert"), latency_ms=(0.09, 0.1))
    other = dataclasses.replace(found, config=config)
    assert [cost.name for cost in costs_of(other)][:2] == ["latency on onnxruntime", "multiply-adds"]


@pytest.mark.parametrize("latency_ms", [0.12, 12.0])
def test_an_axis_shows_what_matters_and_leaves_what_costs_far_more_at_its_end(found, latency_ms):
    far = dataclasses.replace(found.candidates[2].costs.latencies["onnxruntime"], median_ms=latency_ms)
    costs = dataclasses.replace(found.candidates[2].costs, latencies={"onnxruntime": far})
    candidates = [dataclasses.replace(one, costs=costs) if one.trial == 2 else one for one in found.candidates]
    latency = next(costs_of(dataclasses.replace(found, candidates=candidates)))
    assert latency.axis.high < 0.2
    assert not latency.axis.logarithmic
    assert latency.axis.share(latency_ms) == pytest.approx(1, abs=0.5)
    assert latency.axis.share(0.06) < latency.axis.share(0.09) < latency.axis.share(latency_ms) <= 1


def test_without_a_measurement_there_is_no_cost(found):
    assert list(costs_of(dataclasses.replace(found, candidates=[]))) == []
