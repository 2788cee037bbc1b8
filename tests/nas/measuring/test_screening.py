import dataclasses
import io
import itertools

import numpy as np
import pytest
from rich.console import Console

from evaluators.latency import Latency, Source
from evaluators.prediction.predictor import FEWEST, fit
from evaluators.prediction.rows import Row
from evaluators.prediction.timings import Timings
from nas.engine.search import run_search
from nas.measuring.meters import CAREFUL
from nas.measuring.screening import CALIBRATION, Learner, ScreeningGauge
from nas.problem.budgets import Budgets
from nas.problem.candidate import distinct, front
from nas.report.table import front_report
from nas.run.monitor import Silent
from search_spaces import Architecture, InvalidInput, Space

TARGET = "onnxruntime"
OTHER = Space.parse("in_r12_c1+conv_k3/5_c8/16_s2_relu/relu6+conv_k3/5_c8/16_s1_relu+head_c16_relu_n2")


@pytest.fixture
def networks(all_members):
    """All members of the space in a random order."""
    found = sorted(all_members.values(), key=lambda member: member.text)
    return [found[index] for index in np.random.default_rng(0).permutation(len(found))]


@pytest.fixture
def budget_ms(networks):
    """A budget that a third of the members meet."""
    return float(np.quantile([network.macs / 1e6 for network in networks], 1 / 3))


@pytest.fixture
def timings(tmp_path):
    return Timings(tmp_path / "timings.csv")


def screening(gauge, timings, budgets):
    return ScreeningGauge(gauge, budgets, Learner(timings, TARGET))


def test_what_surely_exceeds_the_budget_is_not_timed_and_whatever_meets_it_is(gauge, timings, networks, budget_ms):
    screen = screening(gauge, timings, Budgets(latency_ms=budget_ms))
    found = {network.id: screen.latency(network, CAREFUL) for network in networks}
    untimed = {architecture for architecture, latency in found.items() if latency.runs == 0}
    meeting = {network.id for network in networks if network.macs / 1e6 <= budget_ms}
    assert not untimed & meeting
    assert len(untimed) > len(networks) / 4  # of the two thirds over the budget; intervals are 4 % wide at least
    assert untimed.isdisjoint(gauge.timed)
    assert untimed | set(gauge.timed) == {network.id for network in networks}
    for latency in (found[architecture] for architecture in untimed):
        assert budget_ms < latency.low_ms <= latency.median_ms <= latency.high_ms
        assert (latency.source, latency.flags) == (Source.SCREENED, ())


@pytest.mark.parametrize("budgets", [Budgets(), Budgets(macs=1), Budgets(latency_ms=1e-9, targets=("litert",))])
def test_all_is_timed_where_no_time_is_limited_on_the_target(budgets, gauge, timings, networks):
    screen = screening(gauge, timings, budgets)
    assert all(screen.latency(network, CAREFUL).runs for network in networks[:FEWEST + 5])


def test_nothing_is_screened_before_enough_is_known(gauge, timings, networks):
    screen = screening(gauge, timings, Budgets(latency_ms=1e-9))
    found = [screen.latency(network, CAREFUL).runs > 0 for network in networks[:FEWEST + 5]]
    assert found == FEWEST * [True] + 5 * [False]


def test_what_was_timed_is_not_predicted(gauge, timings, networks):
    screen = screening(gauge, timings, Budgets(latency_ms=1e-9))
    for network in networks[:FEWEST]:
        screen.latency(network, CAREFUL)
    assert screen.latency(networks[0], CAREFUL).runs > 0


@pytest.mark.parametrize("budgets", [Budgets(latency_p95_ms=1e-6), Budgets(images_per_s=10**12)])
def test_other_limits_of_time_screen_too(budgets, gauge, timings, networks):
    screen = screening(gauge, timings, budgets)
    assert sum(screen.latency(network, CAREFUL).runs > 0 for network in networks[:FEWEST + 5]) == FEWEST


def test_a_prediction_depends_on_the_timings_only(timings, networks):
    learner = Learner(timings, TARGET)
    for index, network in enumerate(networks[:30]):
        timings.add(TARGET, (network, network.macs / 1e6))
        if index == 20:
            timings.add(TARGET, (network, network.macs / 1e6))  # as a search that was killed does
        learner.predicted(networks[-1])
    assert learner.predicted(networks[-1]) == Learner(timings, TARGET).predicted(networks[-1])


def test_a_candidate_is_predicted_for_the_speed_that_the_machine_had_at_the_last_timing(timings, networks):
    learner = Learner(timings, TARGET)
    for network in networks[:30]:
        timings.add(TARGET, Row(network, network.macs / 1e6, 0.01))
    before = learner.predicted(networks[-1])
    timings.add(TARGET, Row(networks[30], 1.2 * networks[30].macs / 1e6, 0.012))
    assert learner.predicted(networks[-1]).median_ms == pytest.approx(1.2 * before.median_ms, rel=0.01)


class Lines(Silent):
    def __init__(self):
        self.lines, self.tallies = [], []
        self.say = self.lines.append

    def told(self, tally, last, best):
        self.tallies.append(tally)


def told(run):
    return [(one.architecture, one.violations, one.reason) for one in run.candidates()]


def test_a_search_with_a_predictor_times_members_first_and_then_only_what_may_meet_the_budget(
        make_config, gauge, evaluator, budget_ms, tmp_path, monkeypatch):
    monkeypatch.setattr("nas.measuring.screening.CALIBRATION", 20)
    monitor = Lines()
    run = run_search(make_config(latency_ms=budget_ms, latency_from=["predictor"]), tmp_path / "run", monitor, gauge)
    candidates = distinct(run.candidates())
    screened = [one for one in candidates if one.reason and one.reason.startswith("predicted: latency")]
    assert len(screened) == monitor.tallies[-1].screened > 0
    assert not any(one.feasible or one.trained or one.costs.latencies[TARGET].runs for one in screened)
    assert len(evaluator.trained) == 8
    assert all(one.costs.latencies[TARGET].runs for one in candidates if one.trained)
    assert any("candidates that a predictor sees over the budget are not timed" in line for line in monitor.lines)
    assert len(run.timings.rows(TARGET)) >= 20
    assert CALIBRATION == 60


def test_a_search_that_was_interrupted_screens_as_an_undisturbed_one(make_config, gauge, evaluator, budget_ms,
                                                                     tmp_path, monkeypatch):
    monkeypatch.setattr("nas.measuring.screening.CALIBRATION", 15)
    config = make_config(latency_ms=budget_ms, latency_from=["predictor"])

    class Interrupted(type(gauge)):
        def latency(self, architecture, precision=None):
            found = super().latency(architecture, precision)
            if len(self.timed) == 7:
                raise KeyboardInterrupt
            return found

    undisturbed = run_search(config, tmp_path / "undisturbed", gauge=gauge)
    for _ in range(20):
        try:
            run = run_search(config, tmp_path / "run", gauge=Interrupted())
            break
        except KeyboardInterrupt:
            continue
    assert told(run) == told(undisturbed)
    assert any(one.reason and one.reason.startswith("predicted") for one in run.candidates())


def test_a_saved_predictor_needs_no_calibration(make_config, gauge, networks, budget_ms, tmp_path):
    fit([(network, network.macs / 1e6) for network in networks[:20]], TARGET).save(tmp_path / "saved.json")
    config = make_config(latency_ms=budget_ms, latency_from=[tmp_path / "saved.json"])
    run = run_search(config, tmp_path / "run", gauge=gauge)
    assert [row[0] for row in run.timings.rows(TARGET)[:20]] == networks[:20]
    (tmp_path / "saved.json").unlink()  # the run has what it knew
    assert told(run_search(dataclasses.replace(config, trials=10), tmp_path / "run", gauge=gauge))[:-2]
    assert any(one.reason and one.reason.startswith("predicted") for one in run.candidates())


@pytest.mark.parametrize(("space", "target", "rule"), [
    ("other", TARGET, "must know at least 10 members of the space, but '.*saved.json' has 0"),
    ("own", "litert", "must be of a target of the search, onnxruntime, but '.*saved.json' is of 'litert'"),
    (None, TARGET, "a predictor must be as `save` has written it, but '.*saved.json' is not: No"),
])
def test_a_predictor_that_does_not_fit_is_refused_and_nothing_is_written(
        space, target, rule, make_config, gauge, networks, tmp_path):
    others = [OTHER.decode(dict(zip(OTHER.parameters, values, strict=True)))
              for values in itertools.product(*OTHER.parameters.values())] if space == "other" else networks
    if space:
        fit([(network, network.macs / 1e6) for network in others[:12]], target).save(tmp_path / "saved.json")
    with pytest.raises(InvalidInput, match=rule):
        run_search(make_config(latency_ms=1.0, latency_from=[tmp_path / "saved.json"]), tmp_path / "run", gauge=gauge)
    assert not (tmp_path / "run").exists()
    assert gauge.timed == []


@pytest.mark.parametrize(("changes", "rule"), [
    ({"latency_from": "predictor"}, "`latency_from` is a sequence of texts, but got 'predictor'"),
    ({"latency_from": ["predictor"]}, "`latency_from` is for budgets of time, but got none of them"),
    ({"latency_from": ["predictor", "timing"], "latency_ms": 1.0}, "is timing or something else"),
])
def test_wrong_settings_are_refused(changes, rule, make_config):
    with pytest.raises(InvalidInput, match=rule):
        make_config(**changes)


@pytest.mark.slow
def test_candidates_on_a_device_behind_a_command_are_screened_unless_all_are_to_be_timed(
        make_config, gauge, budget_ms, tmp_path):
    config = make_config(target="command:bench {model}", latency_ms=budget_ms, trials=10)
    gauge.timed.clear()
    run = run_search(config, tmp_path / "screened", gauge=gauge)
    screened = len(gauge.timed)
    assert sum(bool(one.reason) and one.reason.startswith("predicted") for one in run.candidates()) > 0
    gauge.timed.clear()
    all_timed = run_search(dataclasses.replace(config, latency_from=("timing",)), tmp_path / "timed", gauge=gauge)
    assert screened < len(gauge.timed)
    assert [one.architecture for one in all_timed.candidates()] == [one.architecture for one in run.candidates()]
    assert not all_timed.timings.path.exists()


def test_members_that_were_timed_for_a_percentile_are_known_to_the_predictor(make_config, gauge, tmp_path):
    config = make_config(latency_percentile=30, latency_from=["predictor"], trials=2)
    run = run_search(config, tmp_path / "run", gauge=gauge)
    architectures = [row[0].id for row in run.timings.rows(TARGET)]
    assert architectures[:FEWEST] == gauge.timed[:FEWEST]
    assert isinstance(run.candidates()[0].costs.latencies[TARGET], Latency)


def write_table(path, networks):
    lines = [f"{network},{network.macs / 1e6}" for network in networks]
    path.write_text("\n".join(["architecture,latency_ms", *lines]))
    return f"table:{path}"


def test_a_search_for_a_device_that_is_not_here_predicts_and_says_so(make_config, networks, budget_ms, tmp_path):
    target, monitor = write_table(tmp_path / "phone.csv", networks[:30]), Lines()
    run = run_search(make_config(target=target, latency_ms=budget_ms), tmp_path / "run", monitor)
    assert f"latency on {target}: predicted from 30 rows, nothing is timed" in monitor.lines
    members = distinct(front(run.candidates()))
    assert members
    for member in members:
        latency = member.costs.latencies[target]
        assert latency.is_predicted
        assert latency.high_ms <= budget_ms
        assert latency.median_ms == pytest.approx(Architecture.parse(member.architecture).macs / 1e6, rel=0.1)
        assert not member.retimed
    console = Console(width=200, file=io.StringIO())
    console.print(front_report(run.candidates(), run.budgets))
    assert "≈ is predicted, not measured" in console.file.getvalue()
    (tmp_path / "phone.csv").unlink()
    assert run.candidates()  # the run can still be looked at


def test_a_table_of_networks_of_another_space_is_refused(make_config, tmp_path):
    others = [OTHER.decode(dict(zip(OTHER.parameters, values, strict=True)))
              for values in itertools.product(*OTHER.parameters.values())]
    target = write_table(tmp_path / "phone.csv", others)
    with pytest.raises(InvalidInput, match=r"at least 10 members of the space, but '.*phone.csv' has 0"):
        run_search(make_config(target=target, latency_ms=1.0), tmp_path / "run")
    assert not (tmp_path / "run").exists()
