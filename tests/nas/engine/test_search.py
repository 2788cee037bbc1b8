import dataclasses
import math
from collections import Counter

import numpy as np
import optuna
import pytest

from evaluators.latency import Latency
from evaluators.registry import EVALUATORS
from nas.engine import termination
from nas.engine.search import Silent, run_search
from nas.measuring.meters import Gauge
from nas.problem.budgets import Budgets
from nas.problem.candidate import distinct, front, winner
from nas.problem.costs import Costs
from nas.problem.quantities import QUANTITIES
from nas.trials.record import LOST
from nas.trials.tally import Tally, tally
from search_spaces import Architecture
from search_spaces.architecture import identify

LIMITED = ("latency", "macs", "params", "memory", "size")


class Diary(Silent):
    """A monitor that keeps what it is told."""

    def __init__(self):
        self.lines, self.tallies, self.phases = [], [], []

    def say(self, text):
        self.lines.append(text)

    def phase(self, trial, what):
        self.phases.append((trial, what))

    def told(self, tally, last, best):
        self.tallies.append((tally, last, best))


def stored(run):
    """Returns the trials as Optuna has stored them."""
    return optuna.load_study(study_name="search", storage=f"sqlite:///{run.path}/study.db").get_trials()


def costs_of(architecture):
    """Returns the costs as budgets judge them and the computed gauge of these tests finds them."""
    return {"latency": 1.02 * architecture.macs / 1e6, "macs": architecture.macs, "params": architecture.params,
            "memory": architecture.memory_bytes, "size": 4 * architecture.params + 1000}


@pytest.fixture(scope="session")
def medians(all_members):
    """The median of every cost over the members of the space, as a budget."""
    costs = [costs_of(architecture) for architecture in all_members.values()]
    values = {name: float(np.median([cost[name] for cost in costs])) for name in costs[0]}
    return {QUANTITIES[name].field: int(value) if QUANTITIES[name].scale.whole else value
            for name, value in values.items()}


def test_a_search_trains_as_many_distinct_candidates_as_are_asked_for(make_config, gauge, evaluator, medians, tmp_path):
    diary = Diary()
    run = run_search(make_config(trials=12, latency_ms=medians["latency_ms"]), tmp_path / "run", diary, gauge)
    assert len(evaluator.trained) == len(set(evaluator.trained)) == 12
    trials = stored(run)
    kinds = Counter("duplicates" if "duplicate_of" in trial.user_attrs["candidate"] else
                    "trained" if trial.user_attrs["candidate"]["trained"] else "rejected" for trial in trials)
    assert tally(run.told()) == Tally(**kinds) == diary.tallies[-1][0]
    assert kinds["trained"] == 12
    assert kinds["rejected"] > 0 < kinds["duplicates"]
    assert len(diary.tallies) == len(trials)
    assert diary.tallies[-1][2] == winner(run.candidates())


@pytest.mark.parametrize("field", ["latency_ms", "macs", "params", "memory_bytes", "size_bytes"])
def test_a_candidate_over_a_budget_is_never_trained(
        field, make_config, gauge, evaluator, medians, all_members, tmp_path):
    run = run_search(make_config(trials=4, **{field: medians[field]}), tmp_path / "run", gauge=gauge)
    name = next(name for name, quantity in QUANTITIES.items() if quantity.field == field)
    within = {key: costs_of(member)[name] <= medians[field] for key, member in all_members.items()}
    assert all(within[trained] for trained in evaluator.trained)
    rejected = 0
    for trial in stored(run):
        architecture = Architecture.parse(trial.user_attrs["candidate"]["architecture"])
        expected = costs_of(architecture)[name] / medians[field] - 1
        assert trial.state.name == "COMPLETE"
        assert trial.constraints == {name: pytest.approx(expected)}
        if not within[architecture.id]:
            rejected += 1
            assert trial.values[0] == 0.0
            assert trial.user_attrs["candidate"]["trained"] is False
            assert "over its budget" in trial.user_attrs["candidate"]["reason"]
    assert rejected == sum(not candidate.feasible for candidate in run.candidates()) > 0


def test_every_trial_has_a_constraint_for_every_budget_and_dear_checks_come_last(
        make_config, gauge, medians, tmp_path):
    generous = {field: 1.05 * value if field == "latency_ms" else int(1.05 * value) for field, value in medians.items()}
    run = run_search(make_config(trials=3, **generous), tmp_path / "run", gauge=gauge)
    gauge.timed.clear()
    seen = set()
    for trial in stored(run):
        known = trial.user_attrs["candidate"]
        assert set(trial.constraints) == set(LIMITED)
        by_text = [known[QUANTITIES[name].field] / generous[QUANTITIES[name].field] - 1
                   for name in ("macs", "params", "memory")]
        if max(by_text) > 0:
            seen.add("counts")
            assert known["size_bytes"] is None
            assert trial.constraints["size"] == 0.0
        if known["size_bytes"] is None or known["size_bytes"] > generous["size_bytes"]:
            assert known["latencies"] == {}
            assert trial.constraints["latency"] == 0.0
            assert trial.values == [0.0, math.inf]
        else:
            seen.add("timed")
            measured_ms = known["latencies"]["onnxruntime"]["median_ms"]
            assert trial.values[1] == (measured_ms if known["trained"] else math.inf)
    assert seen == {"counts", "timed"}


def test_a_candidate_that_was_met_before_is_neither_measured_nor_trained_again(
        make_config, gauge, evaluator, medians, tmp_path):
    config = make_config(trials=12, latency_ms=medians["latency_ms"])
    run = run_search(config, tmp_path / "run", gauge=gauge)
    trials = stored(run)
    first = {}
    for trial in trials:
        known = trial.user_attrs["candidate"]
        original = first.setdefault(known["architecture"], trial)
        if original is trial:
            assert "duplicate_of" not in known
            continue
        assert known["duplicate_of"] == original.number
        assert (trial.values, trial.constraints) == (original.values, original.constraints)
        assert {**known, "duplicate_of": None} == {**original.user_attrs["candidate"], "duplicate_of": None}
    assert len(first) < len(trials)
    assert len(evaluator.trained) == len(set(evaluator.trained))
    assert [candidate.trial for candidate in distinct(run.candidates())] == [
        trial.number for trial in first.values()]


def test_one_objective_is_accuracy_alone(make_config, gauge, tmp_path):
    run = run_search(make_config(trials=3, objectives=("accuracy",)), tmp_path / "run", gauge=gauge)
    assert all(len(trial.values) == 1 for trial in stored(run))
    assert [member.architecture for member in distinct(front(run.candidates(), ["accuracy"]))] == [
        winner(run.candidates()).architecture]


def test_a_space_with_fewer_members_than_trials_ends_at_the_bound_of_duplicates(
        make_config, gauge, evaluator, tmp_path, monkeypatch):
    assert termination.PROPOSALS_PER_TRIAL == 50
    monkeypatch.setattr(termination, "PROPOSALS_PER_TRIAL", 3)
    (tmp_path / "one.toml").write_text('stages = ["conv_k3_c8_s2_relu", "head_c16_relu"]')
    diary = Diary()
    run = run_search(make_config(space=str(tmp_path / "one.toml"), trials=4), tmp_path / "run", diary, gauge)
    assert tally(run.told()) == Tally(trained=1, duplicates=12)
    assert len(evaluator.trained) == 1
    assert "stopped after 12 duplicate proposals, 3 for each trial asked for: 1 of 4" in diary.lines[-1]


def test_a_budget_that_hardly_anything_meets_ends_at_the_bound_of_rejections(
        make_config, gauge, all_members, tmp_path, monkeypatch):
    monkeypatch.setattr(termination, "PROPOSALS_PER_TRIAL", 3)
    least = min(member.macs for member in all_members.values())
    diary = Diary()
    run = run_search(make_config(trials=3, macs=least), tmp_path / "run", diary, gauge)
    counts = tally(run.told())
    assert counts.rejected == 9
    assert counts.trained < 3
    assert "stopped after 9 rejected proposals" in diary.lines[-1]


def test_weights_are_kept_for_the_front_and_for_nothing_else(make_config, gauge, tmp_path):
    run = run_search(make_config(trials=12), tmp_path / "run", gauge=gauge)
    members = {identify(member.architecture) for member in front(run.candidates())}
    assert {path.name.partition(".")[0] for path in (run.path / "weights").iterdir()} == members
    assert len(members) < 12


def test_weights_are_kept_of_whom_only_a_later_timing_has_pushed_off_the_front(make_config, gauge, tmp_path):
    run = run_search(make_config(trials=6), tmp_path / "run", gauge=gauge)
    members = front(run.candidates())
    for member in members:
        run.note_latencies(member.trial, {run.config.targets[0]: Latency.exact(1e3)})
    assert {member.architecture for member in members} - {member.architecture for member in front(run.candidates())}
    run = run_search(make_config(trials=9), tmp_path / "run", gauge=gauge)
    assert {identify(member.architecture) for member in front(run.told())} <= {
        path.name.partition(".")[0] for path in (run.path / "weights").iterdir()}


def test_an_interrupted_search_goes_on_as_if_it_had_not_been_interrupted(
        make_config, gauge, evaluator, medians, tmp_path, monkeypatch):
    config = make_config(trials=6, latency_ms=medians["latency_ms"], strategy="tpe")
    undisturbed = run_search(config, tmp_path / "undisturbed", gauge=gauge).candidates()
    evaluator.trained.clear()

    def interrupted(architecture, data, fidelity):
        score = evaluator(architecture, data, fidelity)
        if len(evaluator.trained) in (1, 3, 4):
            raise KeyboardInterrupt
        return score

    monkeypatch.setitem(EVALUATORS, "hash", lambda context: interrupted)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run_search(config, tmp_path / "run", gauge=gauge)
    run = run_search(config, tmp_path / "run", gauge=gauge)

    def without_numbers(candidates):
        return [dataclasses.replace(c, trial=0, duplicate_of=None if c.duplicate_of is None else 0) for c in candidates]

    assert without_numbers(run.candidates()) == without_numbers(undisturbed)
    assert sum(LOST in trial.user_attrs for trial in stored(run)) == 3


def test_a_finished_search_is_extended_by_more_trials(make_config, gauge, evaluator, tmp_path):
    first = run_search(make_config(trials=3), tmp_path / "run", gauge=gauge).candidates()
    assert run_search(make_config(trials=3), tmp_path / "run", gauge=gauge).candidates() == first
    run = run_search(make_config(trials=5), tmp_path / "run", gauge=gauge)
    assert run.candidates()[:len(first)] == first
    assert len(evaluator.trained) == 5
    assert run.config.trials == 5
    longer = run_search(make_config(trials=5), tmp_path / "other", gauge=gauge)
    assert longer.candidates() == run.candidates()


def test_a_search_by_relative_paths_goes_on_from_another_directory(make_config, gauge, inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(inputs)
    run = run_search(make_config(space="space.toml", data="data.npz", trials=1), tmp_path / "run", gauge=gauge)
    monkeypatch.chdir(tmp_path)
    longer = dataclasses.replace(run.config, trials=2)
    assert len(run_search(longer, tmp_path / "run", gauge=gauge).candidates()) >= 2


def test_a_violation_is_relative_and_zero_where_a_budget_is_met_exactly():
    budgets = Budgets(latency_ms=0.1, macs=1000)
    costs = Costs(macs=1000, latencies={"onnxruntime": Latency.exact(0.2)})
    assert budgets.violations(costs) == {"latency": pytest.approx(1.0), "macs": 0.0}


@dataclasses.dataclass(frozen=True)
class SlowerGauge:
    """A target that takes some times as long as another, with a tail of single runs."""

    gauge: Gauge
    times: float

    def size_bytes(self, architecture):
        return self.gauge.size_bytes(architecture)

    def latency(self, architecture, precision):
        found = self.gauge.latency(architecture, precision)
        return dataclasses.replace(found, median_ms=self.times * found.median_ms, low_ms=self.times * found.low_ms,
                                   high_ms=self.times * found.high_ms, p95_ms=1.5 * self.times * found.median_ms)


@pytest.mark.parametrize("limits", [  # in units of the bound; the second target is twice as slow
    {"latency_ms": (1.0, 2.1)}, {"latency_ms": (1.1, 2.0)}, {"latency_ms": (None, 2.0)}, {"latency_p95_ms": (1.5, 3.1)},
    {"latency_p95_ms": (1.6, 3.0)}, {"images_per_s": (4000, 490)}, {"images_per_s": (3900, 500)},
    {"latency_ms": (1.1, None), "latency_p95_ms": (1.6, 3.0), "images_per_s": (None, 490)}], ids=str)
def test_what_a_search_on_two_targets_trains_meets_the_budgets_of_both(
        limits, make_config, gauge, evaluator, medians, all_members, tmp_path):
    targets, bound_ms = ("onnxruntime:batch=4", "litert"), 1.01 * medians["latency_ms"]
    budgets = {name: tuple(None if value is None else math.floor(value / bound_ms) if name == "images_per_s" else
                           value * bound_ms for value in values) for name, values in limits.items()}
    gauges = dict(zip(targets, (SlowerGauge(gauge, 1.0), SlowerGauge(gauge, 2.0)), strict=True))
    run = run_search(make_config(target=targets, trials=5, **budgets), tmp_path / "run", gauge=gauges)
    assert len(evaluator.trained) == 5
    candidates = [candidate for candidate in run.candidates() if candidate.duplicate_of is None]
    for candidate in candidates:
        within = costs_of(all_members[identify(candidate.architecture)])["latency"] <= bound_ms
        assert candidate.trained == candidate.feasible == within
        assert not within or tuple(candidate.costs.latencies) == targets
    assert len(candidates) > 5
