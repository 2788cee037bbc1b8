"""What a search needs is made once, however many trials it has, and what cannot be searched is refused before."""

import dataclasses
import json
import re
import shutil
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from evaluators.benchmarks.networks import nas_bench_macro
from nas.engine.prepare import prepare
from nas.engine.search import Silent, run_search
from nas.problem.budgets import Budgets
from nas.problem.candidate import front, winner
from nas.run.config import SearchConfig
from nas.run.directory import RunDirectory
from search_spaces import InvalidInput
from tests.nas.conftest import Lines


@pytest.fixture
def made(monkeypatch):
    """Counts how often a file of TOML is parsed, and a configuration and budgets are made."""
    counts = Counter()

    def counted(owner, name):
        function = getattr(owner, name)

        def call(*arguments):
            counts[owner.__name__] += 1
            return function(*arguments)

        monkeypatch.setattr(owner, name, call)

    counted(tomllib, "loads")
    counted(SearchConfig, "__post_init__")
    counted(Budgets, "__post_init__")
    return counts


@pytest.mark.parametrize("trials", [2, 6])
def test_a_search_reads_its_directory_at_most_twice_and_makes_budgets_no_more_often_with_more_trials(
        trials, make_config, gauge, made, tmp_path):
    config = make_config(space="mobile", trials=trials, macs=10**9)
    made.clear()
    run_search(config, tmp_path / "run", gauge=gauge)
    assert made["tomllib"] == 0  # it has just written what it might read
    assert made["SearchConfig"] == 1  # with what it leaves open
    assert made["Budgets"] <= 6
    run_search(config, tmp_path / "run", gauge=gauge)
    assert made["tomllib"] == 2  # to compare with the configuration, and to add to it
    assert made["SearchConfig"] == 3
    assert made["Budgets"] <= 14


def test_a_search_without_a_budget_says_that_nothing_can_fill_it(make_config, gauge, tmp_path):
    monitor = Lines()
    run_search(make_config(space="fitted", trials=1), tmp_path / "run", gauge=gauge, monitor=monitor)
    assert any("no budget for published networks" in line and "`--latency p30`" in line for line in monitor.lines)


@pytest.mark.parametrize(("limit", "words"), [(500_000, "made by hand to fill the budget"),
                                              (10**9, r"made by hand to use \d% of the budget")])
def test_how_much_of_a_budget_networks_made_by_hand_use_is_said(limit, words, make_config, gauge, tmp_path):
    monitor = Lines()
    run_search(make_config(space="fitted", trials=1, macs=limit), tmp_path / "run", gauge=gauge, monitor=monitor)
    assert any(re.search(words, line) for line in monitor.lines), monitor.lines


def test_a_budget_that_nothing_fills_is_said_to_be_so_with_what_to_do(make_config, gauge, tmp_path):
    space = tmp_path / "space.toml"
    space.write_text('scale = "scale_w0.5/1"\nstages = ["conv_k1_c8_s2_relu/relu6", "fc"]\n')
    for limit, path, expected in ((10**9, "large", "no member of the space was found that fills the budget: another "
                                   "space (`--space`) may use it better"),
                                  (1_000, "small", "no published network keeps the budget, however narrow: it may want "
                                   "smaller images (`--resolution`)")):
        monitor = Lines()
        run_search(make_config(space=str(space), start=("by-hand", "filled"), trials=1, macs=limit), tmp_path / path,
                   gauge=gauge, monitor=monitor)
        assert expected in monitor.lines, monitor.lines


def test_a_space_without_a_choice_of_width_is_said_to_fill_no_budget(make_config, gauge, tmp_path):
    monitor, space = Lines(), tmp_path / "space.toml"
    space.write_text('stages = ["conv_k1_c8_s2_relu/relu6", "fc"]\n')
    run_search(make_config(space=str(space), start=("filled",), trials=1, macs=10**6), tmp_path / "run", gauge=gauge,
               monitor=monitor)
    assert ("no member of the space was found that fills the budget: the space has no choice of width, such as "
            "`scale_w0.5/1`") in monitor.lines


@pytest.mark.parametrize("space", ["fitted", "mobile"])
def test_logistic_regression_is_known_of_every_search_by_trainings(space, make_config, gauge, tmp_path):
    config = make_config(space=space, trials=1, macs=10**9, evaluator="training", epochs=1)
    with prepare(config, tmp_path / "run", Silent(), gauge) as search:
        assert 0 < search.run.resolved.easy_accuracy <= 1


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


def test_counts_that_no_member_meets_are_refused_before_members_are_timed_for_a_percentile(
        make_config, gauge, tmp_path):
    with pytest.raises(InvalidInput, match="least found among its smallest is macs"):
        run_search(make_config(latency_percentile=30.0, macs=5), tmp_path / "run", gauge=gauge)
    assert gauge.timed == []


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


def test_a_search_leaves_its_trials_in_a_single_file_that_can_be_gone_on_with(make_config, gauge, tmp_path):
    run = run_search(make_config(trials=2), tmp_path / "run", gauge=gauge)
    assert [path.name for path in (tmp_path / "run").glob("study.db*")] == ["study.db"]
    assert len(run.study().trials) == len(run.told()) >= 2


@pytest.mark.parametrize("changes", [
    {"strategy": "tpe"}, {"seed": 1}, {"macs": 10**9}, {"epochs": 7}, {"objectives": ("accuracy",)},
    {"target": "onnxruntime:batch=2"}, {"batch": 48, "augmentation": "none"}, {"latency_ms": 0.5},
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


@pytest.fixture
def project(inputs, tmp_path, monkeypatch, gauge, make_config):
    """A directory with a space, data and the run `runs/a` that was begun there with relative paths."""
    place = tmp_path / "before"
    place.mkdir()
    for name in ("space.toml", "data.npz"):
        shutil.copy(inputs / name, place)
    monkeypatch.chdir(place)
    run_search(make_config(space="space.toml", data="data.npz", trials=2), "runs/a", gauge=gauge)
    return place


def test_a_project_that_has_moved_goes_on_from_anywhere(project, make_config, gauge, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    moved = project.rename(tmp_path / "elsewhere")
    stored = RunDirectory(moved / "runs" / "a").config
    assert (stored.space, stored.data) == (str(moved / "space.toml"), str(moved / "data.npz"))
    for trials, config in ((3, stored), (4, make_config(space="elsewhere/space.toml", data="elsewhere/data.npz"))):
        run = run_search(dataclasses.replace(config, trials=trials), "elsewhere/runs/a", gauge=gauge)
        assert len(run.trainings()) == trials


def test_a_copy_of_a_project_has_data_of_its_own(project, tmp_path):
    copy = shutil.copytree(project, tmp_path / "copy")
    assert RunDirectory(copy / "runs" / "a").config.data == str(copy / "data.npz")
    assert RunDirectory(project / "runs" / "a").config.data == str(project / "data.npz")


@pytest.mark.parametrize(("name", "file"), [("data", "data.npz"), ("space", "space.toml")])
def test_a_run_that_was_copied_alone_asks_for_what_is_missing_and_knows_it_by_its_content(
        name, file, project, inputs, gauge, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = shutil.copytree(project / "runs" / "a", tmp_path / "copied")
    (project / file).rename(tmp_path / f"moved-{file}")
    stored = dataclasses.replace(RunDirectory(run).config, trials=3)
    with pytest.raises(InvalidInput, match=rf"the {name} of this run w\w+ at '{project / file}', but .* is missing; "
                                           rf"`--{name}` of `nas search`"):
        run_search(stored, run, gauge=gauge)
    later = run_search(dataclasses.replace(stored, **{name: f"moved-{file}"}), run, gauge=gauge)
    assert len(later.trainings()) == 3
    assert getattr(RunDirectory(run).config, name) == str(tmp_path / f"moved-{file}")  # the next one finds it


def test_other_data_in_another_place_are_refused(project, gauge, tmp_path):
    arrays = dict(np.load("data.npz"))
    np.savez(tmp_path / "other.npz", **{**arrays, "x_val": 255 - arrays["x_val"]})
    stored = RunDirectory(project / "runs" / "a").config
    with pytest.raises(InvalidInput, match=r"data is '.*data\.npz' there, '.*other\.npz' here"):
        run_search(dataclasses.replace(stored, data=str(tmp_path / "other.npz")), "runs/a", gauge=gauge)


def test_two_searches_cannot_begin_in_one_directory(make_config, gauge, tmp_path):
    class Slow(Silent):
        """Another search begins and ends while this one still prepares."""

        def say(self, text):
            if text.startswith("space:"):
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(run_search, make_config(trials=1, seed=5), tmp_path / "run", gauge=gauge).result()

    with pytest.raises(InvalidInput, match="another has just begun"):
        run_search(make_config(trials=1), tmp_path / "run", Slow(), gauge)


def test_a_search_whose_devices_are_missing_says_so_before_anything_is_measured(
        make_config, gauge, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "nonesuch")
    monkeypatch.setattr("evaluators.machine.devices._in_use", lambda: False)  # whatever tests before this one did
    with pytest.raises(InvalidInput, match="`JAX_PLATFORMS` names devices that JAX finds, but got 'nonesuch'"):
        run_search(make_config(evaluator="training", macs=10**9), tmp_path / "run", gauge=gauge)
    assert gauge.timed == []
    assert list(tmp_path.iterdir()) == []


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


def test_a_space_that_states_its_resolution_takes_none_from_the_configuration(make_config, gauge, tmp_path):
    (tmp_path / "fixed.toml").write_text('input = "in_r8/12"\nstages = ["conv_k3_c8_s2_relu", "head_c16_relu"]')
    config = make_config(space=str(tmp_path / "fixed.toml"), trials=2)
    run = run_search(config, tmp_path / "run", gauge=gauge)
    assert {candidate.architecture.split("+")[0] for candidate in run.candidates()} == {"in_r8_c1", "in_r12_c1"}
    with pytest.raises(InvalidInput, match=r"states \(8, 12\)"):
        run_search(dataclasses.replace(config, resolution=10), tmp_path / "other", gauge=gauge)


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
