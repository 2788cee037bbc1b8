import dataclasses
import json
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import optuna
import pytest

from evaluators.benchmarks.networks import nas_bench_macro
from evaluators.evaluator import Score
from evaluators.latency import Latency, MeasurementFailed
from evaluators.registry import EVALUATORS
from nas.engine import termination
from nas.engine.loop import SearchFailed
from nas.engine.search import Silent, run_search
from nas.measuring.meters import Gauge
from nas.problem.budgets import Budgets
from nas.problem.candidate import distinct, front, winner
from nas.problem.costs import Costs
from nas.problem.quantities import QUANTITIES
from nas.run.config import SearchConfig
from nas.strategies.reseeding import LOST
from nas.trials.tally import Tally, tally
from search_spaces import Architecture, InvalidInput
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


@pytest.mark.parametrize(("budgets", "least"), [
    ({"latency_ms": 0.001}, "least found among its smallest is latency 0."),
    ({"macs": 5}, "macs "), ({"params": 5}, "params "), ({"memory_bytes": 5}, "memory "), ({"size_bytes": 5}, "size "),
    ({"latency_ms": 0.001, "macs": 5}, "macs "),
])
def test_a_budget_that_no_member_meets_is_refused_before_any_training(
        budgets, least, make_config, gauge, evaluator, tmp_path):
    with pytest.raises(InvalidInput, match=least) as refused:
        run_search(make_config(**budgets), tmp_path / "run", gauge=gauge)
    assert str(Budgets(**budgets)) in str(refused.value)
    assert evaluator.trained == []
    assert list(tmp_path.iterdir()) == []


def test_the_least_latency_named_is_the_least_of_the_space(make_config, gauge, all_members, tmp_path):
    least_ms = min(member.macs for member in all_members.values()) / 1e6
    with pytest.raises(InvalidInput, match=f"latency {least_ms:.3g} ms"):
        run_search(make_config(latency_ms=least_ms / 2), tmp_path / "run", gauge=gauge)


def test_a_percentile_becomes_a_budget_that_so_many_members_meet(make_config, gauge, all_members, tmp_path):
    run = run_search(make_config(latency_percentile=30.0, trials=2), tmp_path / "run", gauge=gauge)
    latencies_ms = np.array([member.macs / 1e6 for member in all_members.values()])
    assert np.mean(latencies_ms <= run.budgets.latency_ms) == pytest.approx(0.3, abs=0.05)
    timed = len(gauge.timed)
    again = run_search(make_config(latency_percentile=30.0, trials=3), tmp_path / "run", gauge=gauge)
    assert again.budgets == run.budgets
    assert len(gauge.timed) <= timed + 50  # the hundred members are not timed again


@pytest.mark.parametrize("changes", [
    {"strategy": "tpe"}, {"seed": 1}, {"macs": 10**9}, {"epochs": 7}, {"objectives": ("accuracy",)},
    {"target": "onnxruntime:batch=2"}, {"batch": 32, "augmentation": "none"}, {"latency_ms": 0.5},
])
def test_a_run_directory_of_another_configuration_is_refused_with_each_difference(
        changes, make_config, gauge, tmp_path):
    run = tmp_path / "run"
    run_search(make_config(trials=1), run, gauge=gauge)
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    with pytest.raises(InvalidInput, match="resumed with its own configuration") as refused:
        run_search(make_config(trials=1, **changes), run, gauge=gauge)
    for name, value in changes.items():
        assert f"{name} is {getattr(make_config(), name)!r} there, {value!r} here" in str(refused.value)
    assert {path: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_a_run_directory_is_refused_if_its_space_or_data_have_changed(make_config, gauge, inputs, tmp_path):
    space, data = tmp_path / "space.toml", tmp_path / "data.npz"
    space.write_text((inputs / "space.toml").read_text())
    arrays = dict(np.load(inputs / "data.npz"))
    np.savez(data, **arrays)
    config = make_config(space=str(space), data=str(data), trials=1)
    run_search(config, tmp_path / "run", gauge=gauge)
    np.savez(data, **{**arrays, "x_val": 255 - arrays["x_val"]})
    with pytest.raises(InvalidInput, match="data_fingerprint is"):
        run_search(config, tmp_path / "run", gauge=gauge)
    np.savez(data, **arrays)
    space.write_text(space.read_text().replace("x1/2", "x1/2/3"))
    with pytest.raises(InvalidInput, match=r"space is .*x1/2/3"):
        run_search(config, tmp_path / "run", gauge=gauge)


def test_weights_are_kept_for_the_front_and_for_nothing_else(make_config, gauge, tmp_path):
    run = run_search(make_config(trials=12), tmp_path / "run", gauge=gauge)
    members = {identify(member.architecture) for member in front(run.candidates())}
    assert {path.name.partition(".")[0] for path in (run.path / "weights").iterdir()} == members
    assert len(members) < 12


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


def test_two_searches_cannot_begin_in_one_directory(make_config, gauge, tmp_path):
    class Slow(Silent):
        """Another search begins and ends while this one still prepares."""

        def say(self, text):
            if text.startswith("space:"):
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(run_search, make_config(trials=1, seed=5), tmp_path / "run", gauge=gauge).result()

    with pytest.raises(InvalidInput, match="another has just begun"):
        run_search(make_config(trials=1), tmp_path / "run", Slow(), gauge)


def test_a_search_by_relative_paths_goes_on_from_another_directory(make_config, gauge, inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(inputs)
    run = run_search(make_config(space="space.toml", data="data.npz", trials=1), tmp_path / "run", gauge=gauge)
    monkeypatch.chdir(tmp_path)
    longer = dataclasses.replace(run.config, trials=2)
    assert len(run_search(longer, tmp_path / "run", gauge=gauge).candidates()) >= 2


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


def test_a_file_is_no_run_directory(make_config, gauge, tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(InvalidInput, match="must be a directory"):
        run_search(make_config(), tmp_path / "run", gauge=gauge)
    assert (tmp_path / "run").read_text() == "mine"


def test_a_directory_that_cannot_be_written_is_refused_before_anything_is_measured(make_config, gauge, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidInput, match=r"must be a directory that can be written, but got '.*/file/run': Not a"):
        run_search(make_config(latency_percentile=30.0), tmp_path / "file" / "run", gauge=gauge)
    assert gauge.timed == []


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
    config = make_config(target="command[timeout_s=1]:sh bench.sh {model}", latency_ms=2.0, trials=6)
    found = distinct(run_search(config, tmp_path / "run").candidates())
    reasons = [candidate.reason for candidate in found if candidate.state == "failed"]
    complaints = "printed 'hello'", "given up after 1 s", "printed nothing", "status 3: no such device"
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


def test_a_space_that_states_its_resolution_takes_none_from_the_configuration(make_config, gauge, tmp_path):
    (tmp_path / "fixed.toml").write_text('input = "in_r8/12"\nstages = ["conv_k3_c8_s2_relu", "head_c16_relu"]')
    config = make_config(space=str(tmp_path / "fixed.toml"), trials=2)
    run = run_search(config, tmp_path / "run", gauge=gauge)
    assert {candidate.architecture.split("+")[0] for candidate in run.candidates()} == {"in_r8_c1", "in_r12_c1"}
    with pytest.raises(InvalidInput, match=r"states \(8, 12\)"):
        run_search(dataclasses.replace(config, resolution=10), tmp_path / "other", gauge=gauge)


def test_a_violation_is_relative_and_zero_where_a_budget_is_met_exactly():
    budgets = Budgets(latency_ms=0.1, macs=1000)
    costs = Costs(macs=1000, latencies={"onnxruntime": Latency.exact(0.2)})
    assert budgets.violations(costs) == {"latency": pytest.approx(1.0), "macs": 0.0}


KEYS = {"22222222": 0.93, "11111111": 0.9, "02010100": 0.8, "00000000": 0.5, "10000000": 0.6, "20000000": 0.65}


@pytest.fixture
def table(tmp_path):
    """A table of six networks in the form of NAS-Bench-Macro."""
    file = tmp_path / "table.json"
    file.write_text(json.dumps({key: {"mean_acc": 100 * accuracy} for key, accuracy in KEYS.items()}))
    return f"table:nas-bench-macro:{file}"


@pytest.mark.parametrize("strategy", ["random", "surrogate"])
def test_a_table_takes_the_place_of_data_space_and_training(table, strategy, tmp_path):
    config = SearchConfig(data=table, objectives=("accuracy", "macs"), strategy=strategy, trials=6)
    candidates = run_search(config, tmp_path / "run").candidates()
    assert {candidate.architecture: candidate.accuracy for candidate in candidates} == pytest.approx(
        {nas_bench_macro(key).text: accuracy for key, accuracy in KEYS.items()})
    found = front(candidates, ("accuracy", "macs"))
    assert winner(candidates).architecture == nas_bench_macro("22222222").text
    assert sorted(c.costs.macs for c in found) == sorted(nas_bench_macro(key).macs for key in KEYS if not any(
        KEYS[other] > KEYS[key] and nas_bench_macro(other).macs <= nas_bench_macro(key).macs for other in KEYS))


def test_a_table_without_latencies_is_asked_for_none(table, tmp_path):
    for config in (SearchConfig(data=table), SearchConfig(data=table, objectives=("accuracy",), latency_ms=0.1)):
        with pytest.raises(InvalidInput, match="a latency must be in the table, but nas-bench-macro has none"):
            run_search(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


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
