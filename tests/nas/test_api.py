import dataclasses
import io
import subprocess
import sys
import warnings

import pytest
from PIL import Image

import nas
from nas.api import Run, new_run_directory
from nas.problem.budgets import Budgets
from nas.problem.candidate import distinct, front, winner
from nas.report.records import COLUMNS, rows, to_csv
from search_spaces import InvalidInput


@pytest.fixture
def run(make_config, gauge, tmp_path):
    return nas.search(make_config(trials=6, latency_ms=1.0), tmp_path / "run", gauge=gauge)


def test_importing_the_package_loads_nothing_else():
    script = "import nas, sys\nprint(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = set(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True
                                ).stdout.split())
    assert "nas" in loaded
    assert not loaded & {"numpy", "jax", "optuna", "typer", "evaluators", "search_spaces"}


def test_the_package_offers_what_it_lists_and_nothing_unknown():
    assert {name: getattr(nas, name).__name__ for name in nas.__all__} == {name: name for name in nas.__all__}
    with pytest.raises(AttributeError, match="has no attribute 'serch'"):
        _ = nas.serch


def test_a_run_is_opened_again_as_it_was(run):
    again = Run.open(str(run.path))
    assert again.candidates() == run.candidates()
    assert (again.config, again.budgets) == (run.config, Budgets(latency_ms=1.0))
    with pytest.raises(InvalidInput, match="holds run"):
        Run.open(run.path.parent)


def test_the_front_lists_each_architecture_once_and_the_best_is_on_it(run):
    assert run.pareto() == distinct(front(run.candidates()))
    assert run.best() in run.pareto()
    assert run.best() == winner(run.candidates())


def test_other_budgets_pick_another_winner_from_the_same_search(run):
    best = run.best()
    smaller = run.best(Budgets(macs=best.costs.macs - 1))
    fitting = [candidate for candidate in run.candidates() if candidate.costs.macs < best.costs.macs]
    assert smaller.accuracy == max(candidate.accuracy for candidate in fitting)
    assert run.best(Budgets(macs=1)) is None
    assert run.best(Budgets(latency_ms=1e9)) == dataclasses.replace(best, violations=run.best(
        Budgets(latency_ms=1e9)).violations)


def test_a_search_without_a_directory_goes_to_one_named_after_the_time(make_config, gauge, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = nas.search(make_config(trials=1), gauge=gauge)
    assert run.path.parent.name == "runs" == new_run_directory().parent.name
    assert (tmp_path / run.path / "run.toml").is_file()


def test_searches_that_begin_in_the_same_second_go_to_directories_of_their_own():
    assert len({new_run_directory() for _ in range(50)}) == 50


def test_an_evaluator_of_a_script_is_taken_with_a_warning_of_who_can_resume_its_search(
        make_config, gauge, tmp_path, monkeypatch):
    def evaluate(architecture, data, fidelity):
        return 0.5

    evaluate.__module__, evaluate.__qualname__ = "__main__", "evaluate"
    monkeypatch.setattr(sys.modules["__main__"], "evaluate", evaluate, raising=False)
    with pytest.warns(UserWarning, match="'__main__:evaluate' is of a script or notebook, which alone can") as warned:
        nas.search(make_config(evaluator=evaluate, trials=1), tmp_path / "run", gauge=gauge)
    assert warned[0].filename == __file__
    with warnings.catch_warnings(action="error", category=UserWarning):  # neither on resuming
        nas.search(make_config(evaluator=evaluate, trials=1), tmp_path / "run", gauge=gauge)


def test_the_front_is_drawn_into_a_file(run, tmp_path):
    run.plot(tmp_path / "front.png")
    with Image.open(tmp_path / "front.png") as image:
        assert image.format == "PNG"


def test_a_data_frame_has_the_rows_of_the_csv_file(run):
    pandas = pytest.importorskip("pandas")
    frame, read = run.to_dataframe(), pandas.read_csv(io.StringIO(to_csv(rows(run.candidates()), COLUMNS)))
    assert list(frame.columns) == list(COLUMNS) == list(read.columns)
    for name in ("trial", "architecture", "accuracy", "macs", "on_front"):
        assert frame[name].tolist() == read[name].tolist()


def test_a_data_frame_names_the_extra_that_it_needs(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)  # as where it is not installed
    with pytest.raises(InvalidInput, match=r"pandas \(pip install 'paretonas\[pandas\]'\), but 'pandas' is not"):
        run.to_dataframe()
