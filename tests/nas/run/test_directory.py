import dataclasses
import json
import os
import sys
import tomllib
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.latency import Latency
from evaluators.recipe import CLASS_WEIGHTS, PARTS, Recipe
from nas.engine.search import run_search
from nas.problem.budgets import Budgets
from nas.problem.candidate import winner
from nas.run.config import SearchConfig, evaluator_named
from nas.run.directory import Resolved, RunDirectory
from nas.run.environment import environment
from search_spaces import InvalidInput

RESOLVED = Resolved("in_r28_c1+head_c8_relu_n10", 28, 1, 10, "0123456789abcdef", "validation: as given", 0.09)


def timed(latency_ms):
    return Latency(latency_ms, 0.99 * latency_ms, 1.01 * latency_ms, latency_ms, 10, 0.1, 0.1, 0.1, 0.0)


texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)
configs = st.builds(
    SearchConfig, space=texts, data=texts, latency_ms=st.none() | st.floats(1e-6, 1e3),
    macs=st.none() | st.integers(1, 10**15), objectives=st.sampled_from([("accuracy",), ("accuracy", "latency")]),
    strategy=st.sampled_from(["random", "tpe", "nsga2"]), seed=st.integers(0, 2**31),
    trials=st.none() | st.integers(1, 10**6), time_s=st.none() | st.integers(1, 99) | st.floats(1e-3, 1e6),
    patience=st.none() | st.integers(1, 99),
    mixup=st.floats(0, 10), class_weights=st.sampled_from(CLASS_WEIGHTS), average=st.floats(0, 0.999),
    resolution=st.none() | st.integers(1, 500), evaluator=texts.map(lambda name: f"module:{name}"))


@settings(deadline=None, max_examples=40)  # files and versions are read each time
@given(configs, st.none() | st.floats(1e-6, 1e3))
def test_a_configuration_comes_back_from_its_file_as_it_was(tmp_path_factory, config, latency_ms):
    run = RunDirectory(tmp_path_factory.mktemp("run"))
    resolved = dataclasses.replace(RESOLVED, latency_ms=latency_ms)
    run.write(config, resolved)
    read = RunDirectory(run.path)
    assert run.config == read.config == config
    assert run.resolved == read.resolved == resolved
    assert run.budgets.latency_ms == read.budgets.latency_ms == latency_ms
    assert [path.name for path in run.path.iterdir()] == ["run.toml"]


def test_a_file_of_another_version_is_read_as_far_as_it_is_known(tmp_path):
    run = RunDirectory(tmp_path)
    run.write(SearchConfig(seed=3), RESOLVED)
    text = (tmp_path / "run.toml").read_text()
    (tmp_path / "run.toml").write_text(text.replace("seed = 3", 'later = "new"').replace("epochs = 3\n", ""))
    assert RunDirectory(tmp_path).config == SearchConfig()


def test_a_run_of_before_there_were_parts_of_a_recipe_has_the_recipe_of_then(tmp_path):
    run = RunDirectory(tmp_path)
    run.write(SearchConfig(epochs=4, augmentation="none"), RESOLVED)
    lines = (tmp_path / "run.toml").read_text().splitlines(keepends=True)
    (tmp_path / "run.toml").write_text("".join(line for line in lines if line.partition(" ")[0] not in PARTS))
    before = RunDirectory(tmp_path).config
    assert before.recipe == Recipe(4, augmentation="none") and before.recipe.changed == {}
    assert before.differences(run.config) == []
    assert before.differences(SearchConfig(epochs=4, augmentation="none", mixup=0.2)) == [
        "mixup is 0.0 there, 0.2 here"]


@pytest.mark.parametrize("content", [
    b"", b"not toml", b"\xff\xfe", b"[config]\n", b"config = 3\n", b"[resolved]\nspace = 'in'\n",
    b"[config]\nstrategy = 'guess'\n[resolved]\nspace = 'in'", b"[config]\ntrials = 'many'\n[resolved]\nspace = 1\n",
    b"[config]\ntrials = 0\n[resolved]\n",
])
def test_a_damaged_run_file_is_one_line_that_names_it(content, tmp_path):
    (tmp_path / "run.toml").write_bytes(content)
    run = RunDirectory.existing(tmp_path)
    with pytest.raises(InvalidInput, match=r"run\.toml") as refused:
        assert run.config
        assert run.resolved
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("")])
def test_what_is_no_run_directory_is_refused(make, tmp_path):
    make(tmp_path / "run")
    with pytest.raises(InvalidInput, match=r"holds run\.toml"):
        RunDirectory.existing(tmp_path / "run")


@pytest.mark.parametrize("command", [("pareto",), ("doctor",), ("doctor", "--repair"), ("search", "--run")])
def test_a_url_in_the_place_of_a_run_is_refused_without_its_password(command, nas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = nas(*command, "postgresql://me:secret@host/name")
    assert status == 2 and "got a URL" in err
    assert "secret" not in out + err and not list(tmp_path.iterdir())


@pytest.fixture
def run(make_config, gauge, tmp_path):
    return run_search(make_config(trials=6, latency_ms=1.0), tmp_path / "run", gauge=gauge)


def test_a_later_timing_takes_the_place_of_the_first_in_every_trial_of_the_architecture(run):
    best = winner(run.candidates())
    same = [candidate.trial for candidate in run.candidates() if candidate.architecture == best.architecture]
    others = [candidate for candidate in run.candidates() if candidate.trial not in same]
    run.note_latencies(best.trial, {"onnxruntime": timed(2.0)})
    after = {candidate.trial: candidate for candidate in RunDirectory(run.path).candidates()}
    for trial in same:
        assert after[trial].latency_ms == 2.0
        assert after[trial].violations["latency"] == pytest.approx(1.02, abs=1e-9)
        assert not after[trial].feasible
    assert [after[candidate.trial] for candidate in others] == others
    assert winner(after.values()).architecture != best.architecture
    run.note_latencies(best.trial, {"onnxruntime": timed(0.5)})
    assert winner(run.candidates()).trial == best.trial
    assert winner(run.candidates()).latency_ci_ms == (0.495, 0.505)


def test_later_timings_are_added_and_none_is_changed(run):
    trial = run.candidates()[0].trial
    for latency_ms in (0.1, 0.3, 0.2):
        run.note_latencies(trial, {"onnxruntime": timed(latency_ms)})
    notes = run.study().user_attrs
    assert [notes[f"after:{trial}:latency:{number}"]["onnxruntime"]["median_ms"] for number in (1, 2, 3)] == [
        0.1, 0.3, 0.2]
    assert run.candidates()[0].latency_ms == 0.2


def test_looking_at_a_search_that_has_no_trials_yet_writes_nothing(tmp_path):
    run = RunDirectory(tmp_path)
    run.write(SearchConfig(), RESOLVED)
    assert run.candidates() == []
    assert run.quiet_ms() == {}
    assert [path.name for path in tmp_path.iterdir()] == ["run.toml"]


def test_who_goes_on_with_a_search_is_named_after_who_began_it(tmp_path, monkeypatch):
    run = RunDirectory(tmp_path)
    for processor, load in (("first", 0.1), ("first", 0.2), ("second", 0.3), ("first", 0.4), ("second", 0.5)):
        found = environment() | {"processor": processor, "load_average": load}
        monkeypatch.setattr("nas.run.directory.environment", lambda found=found: found)
        run.write(SearchConfig(trials=int(10 * load)), RESOLVED)
    sections = tomllib.loads((tmp_path / "run.toml").read_text())
    assert sections["environment"]["load_average"] == 0.1
    assert [(one["processor"], one["load_average"]) for one in sections["resumed"]] == [("second", 0.3)]
    assert run.config.trials == RunDirectory(tmp_path).config.trials == 5


def test_what_optuna_was_told_stays_as_it_was(run):
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{run.path}/study.db")
    before = [(trial.values, trial.user_attrs, trial.constraints) for trial in study.get_trials()]
    run.note_latencies(0, {"onnxruntime": timed(9.0)})
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{run.path}/study.db")
    assert [(trial.values, trial.user_attrs, trial.constraints) for trial in study.get_trials()] == before


def test_the_storage_is_a_sqlite_file_with_write_ahead_logging(run):
    import sqlite3
    with sqlite3.connect(run.path / "study.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_storage_lies_in_the_run_directory_whatever_its_name_holds(make_config, gauge, tmp_path):
    for name in ("a?b", "a?c", "a#b", "a%20b"):
        run = run_search(make_config(trials=1), tmp_path / name, gauge=gauge)
        assert (run.path / "study.db").stat().st_size > 0
        assert len(run.candidates()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a#b", "a%20b", "a?b", "a?c"]


def test_the_environment_names_what_a_result_depends_on():
    found = environment()
    assert found["jax"].count(".") == 2
    assert found["python"] == sys.version.split()[0]
    assert found["processor"]
    assert json.loads(json.dumps(found)) == found


def test_differences_name_fields_and_both_values():
    other = SearchConfig(seed=2, trials=9, time_s=60, patience=5)
    assert SearchConfig(seed=1).differences(other) == ["seed is 1 there, 2 here"]
    assert RESOLVED.differences(dataclasses.replace(RESOLVED, classes=3)) == ["classes is 10 there, 3 here"]


@pytest.mark.parametrize(("fields", "rule"), [
    ({"strategy": "tpee"}, "did you mean 'tpe'"),
    ({"objectives": ("accuracy", "speed")}, "unknown objective 'speed'"),
    ({"objectives": ("latency",)}, "must be accuracy, alone or with one of latency, macs, params, but got latency"),
    ({"objectives": ("accuracy", "accuracy")}, "but got accuracy,accuracy"),
    ({"objectives": ()}, "but got none"),
    ({"augmentation": "flip"}, "unknown augmentation"),
    ({"evaluator": "train"}, "unknown evaluator 'train'"),
    ({"trials": 0}, "`trials` must be at least 1"),
    ({"patience": 0}, "`patience` must be at least 1, but got 0"), ({"time_s": -1.0}, "`time_s` must be positive"),
    ({"time_s": "30m"}, "`time_s` must be a number or None, but got '30m'"),
    ({"epochs": 0}, "`epochs`"), ({"batch": 0}, "`batch`"), ({"seed": -1}, "`seed`"),
    ({"resolution": 0}, "`resolution`"),
    ({"latency_ms": 1.0, "latency_percentile": 5.0}, "in milliseconds or as a percentile, but got both"),
    ({"latency_percentile": 0.0}, r"\(0, 100\], but got p0.0"),
    ({"trials": 2.5}, "`trials` must be a whole number or None, but got 2.5"),
    ({"seed": True}, "`seed` must be a whole number, but got True"),
    ({"space": None}, "`space` must be a text"), ({"latency_ms": "0.09ms"}, "`latency_ms` must be a number"),
    ({"evaluator": lambda *_: 0.5}, "must be a function of a module"),
    ({"evaluator": partial(max, 0.5)}, "must be a function of a module"),
    ({"macs": 0}, "macs must be positive"), ({"latency_ms": float("nan")}, "latency must be positive"),
])
def test_a_wrong_configuration_is_refused_with_the_rule(fields, rule):
    with pytest.raises(InvalidInput, match=rule):
        SearchConfig(**fields)


def test_a_search_without_any_limit_has_a_number_of_trials():
    assert SearchConfig().trials == 20
    assert SearchConfig(time_s=60).trials is None
    assert SearchConfig(patience=5).trials is None


def test_networks_that_are_trained_by_time_are_compared_on_the_way_unless_one_says_otherwise():
    assert SearchConfig(time_s=60).stops_early
    for fields in ({"time_s": None}, {"trials": 20}, {"patience": 5}, {"early_stopping": False},
                   {"evaluator": "mine:score"}, {"data": "table:learning-curves"}):
        assert not SearchConfig(**{"time_s": 60} | fields).stops_early
    assert SearchConfig(early_stopping=True).stops_early
    assert SearchConfig(rungs=(1, 3)).stops_early


def test_budgets_of_a_configuration_hold_what_a_percentile_came_to():
    config = SearchConfig(latency_percentile=30.0, macs=5, size_bytes=7)
    assert config.budgets(0.08) == Budgets(latency_ms=0.08, macs=5, size_bytes=7)


@pytest.mark.parametrize("budget", [{"latency_ms": 0.045}, {"macs": 45_000}])
@pytest.mark.parametrize("objectives", [("accuracy", "latency"), ("accuracy", "params")])
def test_a_front_of_told_values_holds_trained_candidates_only_and_says_what_they_are(
        budget, objectives, make_config, gauge, tmp_path):
    """As displays draw it that read no constraints, with Optuna's own judgement of who dominates whom."""
    run = run_search(make_config(trials=6, objectives=objectives, **budget), tmp_path, gauge=gauge)
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{run.path}/study.db")
    trained = {candidate.trial for candidate in run.candidates() if candidate.trained}
    complete = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    assert len(trained) < len(complete)
    front = [one.number for one in complete if not any(
        optuna.study._multi_objective._dominates(other, one, study.directions) for other in complete)]
    assert set(front) <= trained
    assert study.metric_names == list(objectives)


def test_a_path_that_is_no_text_of_utf8_is_stored_as_it_is(tmp_path):
    config = SearchConfig(data=os.fsdecode(b"/photos\xff"))
    RunDirectory(tmp_path).write(config, RESOLVED)
    assert RunDirectory(tmp_path).config == config


def test_numbers_of_numpy_are_stored_as_those_of_python(tmp_path):
    config = SearchConfig(macs=20e6, trials=np.int64(9), target=("onnxruntime", "litert"), epochs=np.uint8(9),
                          latency_ms=[np.float32(0.5), None], early_stopping=np.True_, rungs=[np.int32(1), 3.0])
    plain = SearchConfig(macs=20_000_000, trials=9, target=("onnxruntime", "litert"), epochs=9,
                         latency_ms=(0.5, None), early_stopping=True, rungs=(1, 3))
    assert config == plain
    RunDirectory(tmp_path).write(config, RESOLVED)
    assert RunDirectory(tmp_path).config == plain


LAYOUTS = [("photos", "runs/a"), ("data/photos", "a"), ("runs/a/photos", "runs/a"), ("photos", "far/away/runs/a")]


@pytest.mark.parametrize(("data", "run"), LAYOUTS)
@pytest.mark.parametrize("table", ["", "table:nas-bench-macro:"])
def test_what_has_moved_with_a_run_is_found_where_it_is_now(data, run, table, tmp_path):
    before, now = tmp_path / "before", tmp_path / "far" / "from" / "there"
    for place in (data, "elsewhere", run):
        (before / place).mkdir(parents=True, exist_ok=True)
    (before / "elsewhere" / "run.toml").touch()
    config = SearchConfig(data=f"{table}{before / data}", space="mobile", start=(str(before / "elsewhere"), "resnet18"))
    RunDirectory(before / run).write(config, RESOLVED)
    now.parent.mkdir(parents=True)
    before.rename(now)
    assert RunDirectory(now / run).config == dataclasses.replace(
        config, data=f"{table}{now / data}", start=(str(now / "elsewhere"), "resnet18"))


def test_what_has_not_moved_with_a_run_is_where_it_was(tmp_path):
    for name in ("photos", "before/runs/a"):
        (tmp_path / name).mkdir(parents=True)
    config = SearchConfig(data=str(tmp_path / "photos"))
    RunDirectory(tmp_path / "before" / "runs" / "a").write(config, RESOLVED)
    moved = (tmp_path / "before" / "runs" / "a").rename(tmp_path / "b")
    assert RunDirectory(moved).config == config


def test_a_path_may_begin_with_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("photos", "space.toml"):
        (tmp_path / name).touch()
    config = SearchConfig(space="~/space.toml", data="~/photos", latency_ms=1.0, latency_from=("~/saved.json",))
    assert (config.space, config.data, *config.latency_from) == tuple(
        str(tmp_path / name) for name in ("space.toml", "photos", "saved.json"))
    assert RunDirectory(Path("~/run")).path == tmp_path / "run"


def test_an_evaluator_of_a_script_is_refused_where_it_is_not_found_again():
    def evaluate(architecture, data, fidelity):
        return 0.5

    evaluate.__module__, evaluate.__qualname__ = "__main__", "evaluate"
    assert SearchConfig(evaluator=evaluate).evaluator == "__main__:evaluate"
    with pytest.raises(InvalidInput, match="put it into a module"):
        SearchConfig(evaluator=evaluate, workers=2)
    with pytest.raises(InvalidInput, match="put it into a module"):  # resumed by another script
        evaluator_named("__main__:evaluate")
