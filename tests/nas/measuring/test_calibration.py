import dataclasses

import numpy as np
import pytest

from evaluators.latency import MeasurementFailed
from evaluators.prediction.predictor import FEWEST, Predictor, fit
from evaluators.prediction.rows import Row
from evaluators.prediction.timings import Timings
from nas.measuring.calibration import (
    FAILURES_IN_A_ROW,
    agreement,
    check,
    fit_to_members,
    fit_to_tables,
    held_out,
    line_through_macs,
)
from nas.run.monitor import Silent
from search_spaces import InvalidInput, Space

TARGET = "onnxruntime"
OTHER = Space.parse("in_r12_c1+conv_k3/5_c8/16_s2_relu/relu6+conv_k3/5_c8/16_s1_relu+head_c16_relu_n2")


def test_the_last_third_of_timings_tells_how_a_predictor_of_the_others_does(all_members):
    networks = sorted(all_members.values(), key=lambda one: one.id)[:30]
    rows = [Row(one, one.macs / 1e6 + 1e-4 * len(one.program.operations), 0.02) for one in networks]
    found = held_out(rows)
    assert found.networks == 10
    assert found.predictor.median_error < 0.05
    assert found.predictor.kendall_tau > 0.9
    slower = [Row(row.architecture, 2 * row.latency_ms, 0.04) for row in rows[20:]]  # so is the reference model
    again = held_out([*rows[:20], *slower])
    assert again.predictor.median_error == pytest.approx(found.predictor.median_error)
    assert again.slowdown == pytest.approx(2)
    assert held_out(rows[:12]) is None
    assert held_out([*rows[:20], *rows[:10]]) is None  # networks that were timed before


class FailingGauge:
    """Fails for some architectures, and otherwise measures as another gauge."""

    def __init__(self, gauge, fails):
        self.gauge, self.fails = gauge, fails

    def latency(self, architecture, precision):
        if self.fails(architecture):
            raise MeasurementFailed("the device is gone")
        return self.gauge.latency(architecture, precision)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "predictor.json"


def test_a_predictor_is_learned_from_as_many_members_as_were_asked_for_and_saved(bound_space, gauge, out):
    predictor = fit_to_members(bound_space, TARGET, gauge, out, 15)
    assert len(set(gauge.timed)) == len(gauge.timed) == len(predictor.rows) == 15
    assert Predictor.load(out) == predictor
    assert (predictor.target, predictor.space) == (TARGET, bound_space.text)
    assert Timings(out.with_suffix(".csv")).rows(TARGET) == list(predictor.rows)
    asked = [row[0] for row in predictor.rows]
    assert [found.median_ms for found in predictor.predict(asked)] == pytest.approx(
        [architecture.macs / 1e6 for architecture in asked], rel=0.05)


def test_timings_that_were_made_are_not_made_again(bound_space, gauge, out, tmp_path):
    class Interrupted(FailingGauge):
        def latency(self, architecture, precision):
            if len(self.gauge.timed) == 7:
                raise KeyboardInterrupt
            return super().latency(architecture, precision)

    with pytest.raises(KeyboardInterrupt):
        fit_to_members(bound_space, TARGET, Interrupted(gauge, lambda _: False), out, 15)
    assert not out.exists()
    predictor = fit_to_members(bound_space, TARGET, gauge, out, 15)
    assert len(gauge.timed) == 15
    assert predictor == fit_to_members(bound_space, TARGET, gauge, tmp_path / "undisturbed.json", 15)
    assert fit_to_members(bound_space, TARGET, gauge, out, 18).rows[:15] == predictor.rows
    assert len(gauge.timed) == 15 + 15 + 3


def test_a_network_that_cannot_be_timed_is_passed_over_and_many_end_it(bound_space, gauge, out):
    lines = []
    monitor = Silent()
    monitor.say = lines.append
    first = fit_to_members(bound_space, TARGET, gauge, out, 12).rows[3][0]
    one_fails = FailingGauge(gauge, lambda architecture: architecture == first)
    found = fit_to_members(bound_space, TARGET, one_fails, out.with_name("other.json"), 12, monitor=monitor)
    assert len(found.rows) == 11
    assert lines == [f"not timed: the device is gone ({first})"]
    with pytest.raises(MeasurementFailed):
        fit_to_members(bound_space, TARGET, FailingGauge(gauge, lambda _: len(gauge.timed) >= 30), out, 40)
    assert len(gauge.timed) == 30
    assert len(Timings(out.with_suffix(".csv")).rows(TARGET)) == 30 - 11
    assert FAILURES_IN_A_ROW == 5


def test_timings_of_another_space_are_not_taken_up(bound_space, gauge, out):
    fit_to_members(OTHER, TARGET, gauge, out, FEWEST)
    with pytest.raises(InvalidInput, match=r"timings in '.*predictor.csv' must be of members of the space, but 'in_"):
        fit_to_members(bound_space, TARGET, gauge, out, FEWEST)
    assert len(gauge.timed) == FEWEST
    assert fit_to_members(bound_space, f"{TARGET}:threads=2", gauge, out, FEWEST).target == f"{TARGET}:threads=2"


@pytest.mark.parametrize(("name", "networks", "rule"), [
    ("predictor.json", FEWEST - 1, f"`networks` must be at least {FEWEST}, but got {FEWEST - 1}"),
    ("predictor.csv", FEWEST, "a predictor is written beside the CSV file of its timings, but got '.*predictor.csv'"),
    ("data.npz/predictor.json", FEWEST, "the place of a predictor must be a directory that can be written"),
])
def test_wrong_input_is_refused_before_anything_is_timed(name, networks, rule, bound_space, gauge, inputs):
    with pytest.raises(InvalidInput, match=rule):
        fit_to_members(bound_space, TARGET, gauge, inputs / name, networks)
    assert gauge.timed == []


def table(path, architectures):
    lines = [f"{architecture},{architecture.macs / 1e6}" for architecture in architectures]
    path.write_text("\n".join(["architecture,latency_ms", *lines]))
    return path


def test_tables_of_timed_networks_give_a_predictor_of_all_their_rows(bound_space, all_members, out, tmp_path):
    known = list(all_members.values())
    tables = [table(tmp_path / "a.csv", known[:9]), table(tmp_path / "b.csv", known[9:20])]
    predictor = fit_to_tables(tables, out, TARGET, bound_space)
    assert [row.architecture for row in predictor.rows] == known[:20]
    assert Predictor.load(out) == predictor
    assert fit_to_tables(tables, out).space == ""


def test_a_table_that_gives_no_predictor_is_refused_and_nothing_is_written(bound_space, all_members, out, tmp_path):
    known = list(all_members.values())
    stranger = OTHER.decode({name: values[-1] for name, values in OTHER.parameters.items()})
    with pytest.raises(InvalidInput, match="a table must be of members of the space, but 'in_r12_c1"):
        fit_to_tables([table(tmp_path / "a.csv", [*known[:9], stranger])], out, TARGET, bound_space)
    with pytest.raises(InvalidInput, match=f"at least {FEWEST} measured networks, but got 5"):
        fit_to_tables([table(tmp_path / "a.csv", known[:5])], out)
    with pytest.raises(InvalidInput, match="into another file than its table"):
        fit_to_tables([tmp_path / "a.csv"], tmp_path / "a.csv")
    assert not out.exists()


def test_a_check_times_members_that_the_predictor_does_not_know(bound_space, gauge, out):
    predictor = fit_to_members(bound_space, TARGET, gauge, out, 20)
    known = set(gauge.timed)
    gauge.timed.clear()
    found = check(predictor, bound_space, gauge, 12)
    assert found.networks == len(set(gauge.timed) - known) == len(gauge.timed) == 12
    # what is timed here is exactly proportional to the multiply-adds
    assert found.line_through_macs.median_error == pytest.approx(0, abs=1e-9)
    assert found.line_through_macs.kendall_tau == pytest.approx(1)
    assert found.predictor.median_error < 0.05
    assert 0 <= found.predictor.inside <= 1


class SlowerGauge:
    """Measures as another gauge on a machine that has become slower, as the reference model tells."""

    def __init__(self, gauge, slowdown):
        self.gauge, self.slowdown = gauge, slowdown

    def latency(self, architecture, precision):
        found = self.gauge.latency(architecture, precision)
        return dataclasses.replace(found, median_ms=self.slowdown * found.median_ms,
                                   quiet_reference_ms=self.slowdown * 0.01)


def test_a_check_knows_that_the_machine_has_become_slower(bound_space, gauge, out):
    predictor = fit_to_members(bound_space, TARGET, SlowerGauge(gauge, 1.0), out, 20)
    before, after = (check(predictor, bound_space, SlowerGauge(gauge, slowdown), 12) for slowdown in (1.0, 1.5))
    assert (predictor.reference_ms, before.slowdown, after.slowdown) == pytest.approx((0.01, 1.0, 1.5))
    for name in ("predictor", "line_through_macs"):
        one, other = getattr(before, name), getattr(after, name)
        assert one.median_error == pytest.approx(other.median_error, abs=1e-9)
        assert (one.within_a_tenth, one.inside) == (other.within_a_tenth, other.inside)


def test_a_check_needs_members_that_are_not_known_and_some_that_are(bound_space, all_members, out, tmp_path, gauge):
    whole = fit([(member, member.macs / 1e6) for member in all_members.values()], TARGET)
    with pytest.raises(InvalidInput, match="members that it does not know, but it knows all"):
        check(whole, bound_space, gauge)
    with pytest.raises(InvalidInput, match="at least 10 members of the space, but that which is checked has 0"):
        check(whole, OTHER, gauge)
    assert gauge.timed == []


def test_agreement_is_that_of_the_standard_definitions():
    found = agreement(np.array([1.0, 2.1, 3.0, 5.0]), np.array([1.0, 2.0, 4.0, 3.9]), 0.5)
    assert found.median_error == pytest.approx((0.05 + 0.25) / 2)
    assert found.within_a_tenth == 0.5
    assert found.kendall_tau == pytest.approx((5 - 1) / 6)  # one of six pairs is the other way round
    assert found.inside == 0.5


def test_the_line_through_macs_passes_through_points_on_a_line(all_members):
    networks = list(all_members.values())[:12]
    rows = [(network, 0.01 + network.macs / 1e7) for network in networks[:6]]
    assert line_through_macs(rows, networks[6:]) == pytest.approx([0.01 + one.macs / 1e7 for one in networks[6:]])
