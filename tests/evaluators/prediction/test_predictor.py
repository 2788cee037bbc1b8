import csv
import functools
import gzip
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from evaluators import latency
from evaluators.benchmarks.networks import accel_nasbench
from evaluators.prediction.predictor import DRIFT, FEWEST, Prediction, Predictor, chosen, fit
from evaluators.prediction.rows import Row
from evaluators.prediction.workload import Workload
from experiments.predictor_tables import archai_rows
from nas.measuring.survey import members
from search_spaces import SPACES, InvalidInput

SPACE = SPACES["mobile"].bind(28, 1, 10)
NETWORKS = [SPACE.decode(assignment) for assignment in members(SPACE, 240, 0)]
NOISE = 0.01


def times_ms(networks):
    """Returns what a roofline takes for networks: each job is bound by arithmetic or by memory, and has to be begun."""
    workload = Workload.of(networks)
    begun, macs, moved, weights = workload.efforts.T
    slow = np.array([3.0 if job.kind.startswith("depthwise") else 1.0 for job in workload.jobs])
    noise = np.random.default_rng(1).normal(0, NOISE, len(networks))
    return workload.counts @ (5e-4 * begun + np.maximum(macs * slow / 20e6, (moved + weights) / 10e6)) * np.exp(noise)


TIMES_MS = times_ms(NETWORKS)


def rows(indices):
    return [(NETWORKS[index], TIMES_MS[index]) for index in indices]


@pytest.fixture(scope="module")
def known():
    return chosen(NETWORKS, 60)


@pytest.fixture(scope="module")
def predictor(known):
    return fit(rows(known), "a roofline")


def unknown_to(known):
    return [index for index in range(len(NETWORKS)) if index not in known]


def test_networks_that_were_not_measured_are_predicted_about_as_exactly_as_they_can_be_measured(predictor, known):
    rest = unknown_to(known)
    predicted = np.array([found.median_ms for found in predictor.predict([NETWORKS[index] for index in rest])])
    assert np.median(np.abs(predicted / TIMES_MS[rest] - 1)) < 1.5 * NOISE


def test_intervals_hold_about_as_many_measurements_as_they_say(predictor, known):
    rest = unknown_to(known)
    for level in (0.5, 0.9):
        ends = [found.interval_ms(level) for found in predictor.predict([NETWORKS[index] for index in rest])]
        inside = np.mean([low <= time <= high for (low, high), time in zip(ends, TIMES_MS[rest], strict=True)])
        assert abs(inside - level) < 0.15


def test_intervals_from_few_rows_hold_as_many_of_a_published_table(published):
    # of the 224 networks of Archai's log on ONNX Runtime, ten random ones each time
    table = archai_rows(published("archai_mbv2_latency", "search_results_with_full_validation_error.csv").parents[1])
    inside = []
    for seed in range(12):
        order = np.random.default_rng(seed).permutation(len(table))
        others = [table[index] for index in order[10:50]]
        found = fit([table[index] for index in order[:10]]).predict([network for network, _ in others])
        inside += [low <= time <= high for (low, high), (_, time) in zip(
            (one.interval_ms() for one in found), others, strict=True)]
    assert 0.85 <= np.mean(inside) <= 0.95


def test_a_network_that_was_timed_often_does_not_make_intervals_narrow():
    once, often = fit(rows(range(12))), fit(rows(range(12)) * 4)
    assert often.widening > 0.5 * once.widening


def test_100_rows_of_accel_nasbench_foretell_the_others(published):
    with gzip.open(published("accel_nasbench_train", "accel_nasbench_train.csv.gz"), "rt") as lines:
        timed = (row for row in csv.DictReader(lines) if row["zcu102_latency_mean"])
        table = [(accel_nasbench(row), float(row["zcu102_latency_mean"])) for row in itertools.islice(timed, 600)]
    predicted = [found.median_ms for found in fit(table[:100]).predict([row[0] for row in table[100:]])]
    truth = [row[1] for row in table[100:]]
    assert spearmanr(predicted, truth).statistic >= 0.975
    assert np.median(np.abs(np.divide(predicted, truth) - 1)) <= 0.07


@functools.cache
def predicted_of_others(unit=1.0):
    return fit([(network, time * unit) for network, time in rows(range(30))]).predict(NETWORKS[-20:])


@settings(max_examples=3, deadline=None)
@given(st.floats(1e-3, 1e3))
def test_another_unit_of_time_changes_nothing_but_the_unit(unit):
    plain, scaled = predicted_of_others(), predicted_of_others(unit)
    assert [found.median_ms for found in scaled] == pytest.approx([found.median_ms * unit for found in plain], rel=1e-2)


def test_a_new_measurement_is_learned_at_once_and_narrows_what_is_said_of_its_network(predictor, known):
    index = unknown_to(known)[0]
    before, = predictor.predict([NETWORKS[index]])
    surprising = 1.1 * before.median_ms
    after, = predictor.updated([(NETWORKS[index], surprising)] * 3).predict([NETWORKS[index]])
    assert abs(after.median_ms - surprising) < abs(before.median_ms - surprising)
    assert predictor.updated(rows([index])).predict([NETWORKS[index]])[0].deviation <= before.deviation


@pytest.fixture(scope="module")
def beside_the_reference(known):
    """Learned on a machine whose speed changes by up to a tenth; half of the time the reference model takes 1 ms."""
    speeds = np.random.default_rng(2).choice([0.95, 1.0, 1.05], len(known), p=(0.25, 0.5, 0.25))
    return fit([Row(network, time * speed, speed) for (network, time), speed in zip(rows(known), speeds, strict=True)])


def test_the_speed_that_the_machine_had_beside_each_network_is_taken_out(beside_the_reference, predictor):
    medians = [[found.median_ms for found in one.predict(NETWORKS)] for one in (beside_the_reference, predictor)]
    assert medians[0] == pytest.approx(medians[1], rel=1e-6)
    assert beside_the_reference.reference_ms == 1.0


def test_predictions_are_of_the_speed_that_the_machine_has_now(beside_the_reference, predictor):
    as_learned, slow = (beside_the_reference.predict(NETWORKS[:9], reference_ms) for reference_ms in (0.0, 1.25))
    assert [found.median_ms for found in slow] == pytest.approx([1.25 * found.median_ms for found in as_learned])
    assert [found.deviation for found in slow] == [found.deviation for found in as_learned]
    assert predictor.predict(NETWORKS[:9], 1.25) == predictor.predict(NETWORKS[:9])  # which knows no reference


def test_intervals_of_measurements_allow_for_another_process_as_those_of_one_measurement_do(
        beside_the_reference, predictor):
    for wide, narrow in zip(beside_the_reference.predict(NETWORKS), predictor.predict(NETWORKS), strict=True):
        assert wide.deviation == pytest.approx(math.hypot(narrow.deviation, latency.DRIFT), rel=1e-6)
    assert DRIFT == latency.DRIFT


def test_a_saved_predictor_says_the_same(predictor, beside_the_reference, tmp_path):
    for saved in (predictor, beside_the_reference):
        saved.save(tmp_path / "predictor.json")
        loaded = Predictor.load(tmp_path / "predictor.json")
        assert loaded == saved
        assert loaded.predict(NETWORKS[:5], 1.1) == saved.predict(NETWORKS[:5], 1.1)


def test_a_predictor_that_was_saved_without_the_errors_of_what_is_left_out_says_the_same(predictor, tmp_path):
    predictor.save(tmp_path / "predictor.json")
    stored = json.loads((tmp_path / "predictor.json").read_text())
    del stored["widening"]
    (tmp_path / "predictor.json").write_text(json.dumps(stored))
    assert Predictor.load(tmp_path / "predictor.json") == predictor


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "target": "x", "rows": 3}'])
def test_a_file_that_is_no_predictor_is_refused_in_one_line(content, tmp_path):
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(InvalidInput, match=r"a predictor must be as `save` has written it, but '.*' is not"):
        Predictor.load(tmp_path / "other.json")


def test_chosen_networks_tell_more_than_random_ones(known):
    def left(indices):
        found = fit(rows(indices)).predict([NETWORKS[index] for index in unknown_to(indices)])
        return max(prediction.deviation for prediction in found)

    assert left(known[:30]) < left(list(range(30)))


def test_fewer_chosen_networks_are_the_first_of_more(known):
    assert chosen(NETWORKS, 20) == known[:20]
    assert len(set(known)) == len(known)
    assert sorted(chosen(NETWORKS[:12], 50)) == list(range(12))


@pytest.mark.parametrize("latency_ms", [1e-6, 8e7])
def test_what_is_learned_beside_an_absurd_latency_is_finite_or_refused(latency_ms):
    try:
        found = fit([*rows(range(14)), (NETWORKS[40], latency_ms)]).predict(NETWORKS)
    except InvalidInput as error:
        assert "finite latencies" in str(error) or "costs can be told" in str(error)
    else:
        assert all(0 < one.median_ms < math.inf and 0 < one.deviation < math.inf for one in found)


@functools.cache
def learned_from_few_rows():
    return fit(rows(range(FEWEST)))


@pytest.mark.parametrize("stored", ["", [], {}])
def test_a_predictor_that_was_learned_from_nothing_is_refused(tmp_path, stored):
    learned_from_few_rows().save(tmp_path / "empty.json")
    content = json.loads((tmp_path / "empty.json").read_text())
    (tmp_path / "empty.json").write_text(json.dumps(content | {"rows": stored}))
    with pytest.raises(InvalidInput, match=f"`rows` must be at least {FEWEST}, but got 0"):
        Predictor.load(tmp_path / "empty.json")


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_damaged_predictor_is_refused_in_one_line_or_tells_finite_latencies(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "damaged.json"
    learned_from_few_rows().save(file)
    stored = json.loads(file.read_text())
    place = data.draw(st.sampled_from(["target", "space", "widening", "reference_ms", "rows", "costs_ms", "variances"]))
    value = data.draw(st.sampled_from([None, "", "x", -1, 0, 1e-300, 1e308, math.nan, math.inf, [], {}, [[1]], True]))
    inside = stored[place]
    if isinstance(inside, list | dict) and inside and data.draw(st.booleans()):
        inside[data.draw(st.sampled_from(sorted(inside) if isinstance(inside, dict) else range(3)))] = value
    else:
        stored[place] = value
    file.write_text(json.dumps(stored))
    try:
        found = Predictor.load(file).predict(NETWORKS[:3])
    except InvalidInput as error:
        assert str(error).isprintable() and "Error" not in str(error)
    else:
        assert all(0 < one.median_ms < math.inf and 0 <= one.deviation < math.inf for one in found)


def test_costs_beyond_any_network_are_refused_that_only_unknown_networks_would_show(tmp_path):
    learned_from_few_rows().save(tmp_path / "absurd.json")
    stored = json.loads((tmp_path / "absurd.json").read_text())
    stored["costs_ms"][""][0] = 1e300
    (tmp_path / "absurd.json").write_text(json.dumps(stored))
    with pytest.raises(InvalidInput, match="`costs_ms` must give"):
        Predictor.load(tmp_path / "absurd.json")


def test_too_few_measurements_are_refused():
    with pytest.raises(InvalidInput, match=f"at least {FEWEST} measured networks, but got {FEWEST - 1}"):
        fit(rows(range(FEWEST - 1)))


def test_an_interval_is_as_wide_above_as_below_on_the_scale_of_factors():
    low, high = Prediction(2.0, 0.1).interval_ms(0.95)
    assert low * high == pytest.approx(4.0)
    assert high / 2.0 == pytest.approx(math.exp(1.959964 * 0.1))
