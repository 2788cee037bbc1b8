import json
import statistics
from pathlib import Path

import pytest
from rich.console import Console

from evaluators.datasets import load_dataset
from evaluators.evaluator import Score
from evaluators.recipe import Recipe
from evaluators.registry import EVALUATORS
from nas.api import Run
from nas.cli.terminal import print_front
from nas.engine.noise import measure_noise, noise_of
from nas.engine.scores import Noise
from nas.engine.search import run_search
from nas.measuring import filling
from nas.report.correlation import noise_text
from nas.run.monitor import Silent

RECIPE = Recipe(epochs=3)


class OfSeed:
    """An evaluator whose accuracy is that of its seed, or falls from network to network; notes what it is asked."""

    def __init__(self):
        self.asked, self.falls = [], 0.0

    def __call__(self, architecture, data, fidelity):
        self.asked.append((architecture.text, fidelity.recipe.seed, fidelity.epochs))
        before = list(dict.fromkeys(text for text, *_ in self.asked)).index(architecture.text)
        return Score(0.8 + 0.04 * fidelity.recipe.seed - self.falls * before, 1000)


@pytest.fixture
def evaluate(monkeypatch):
    made = OfSeed()
    monkeypatch.setitem(EVALUATORS, "of seed", lambda context: made)
    return made


@pytest.fixture
def searched(make_config, evaluate, gauge, tmp_path, monkeypatch):
    """Searches under a budget; what is given changes the configuration."""
    monkeypatch.setattr(filling, "SHORTENED", (filling.SHORTEST,))  # on 12 pixels two layers are the same

    def call(**changes):
        config = make_config(**{"evaluator": "of seed", "start": ("by-hand",), "macs": 200_000, "trials": 4} | changes)
        return run_search(config, tmp_path / "run", gauge=gauge)
    return call


def test_a_search_trains_the_first_networks_made_by_hand_with_another_seed(searched, evaluate):
    run = searched()
    by_hand = [candidate.architecture for candidate in run.candidates() if candidate.by_hand][:3]
    assert [asked for asked in evaluate.asked if asked[1]] == [(text, 1, 3) for text in by_hand]
    assert noise_of(run) == Noise(pytest.approx(statistics.stdev([0.8, 0.84])), len(by_hand))
    kept = json.loads((run.path / "correlation.json").read_text())["networks"]
    for text in by_hand:
        assert [accuracy for accuracy, _ in kept[text]["3"]] == [0.8, pytest.approx(0.84)]


def test_a_training_that_was_taken_over_is_none_of_the_first_seed(searched, evaluate, tmp_path):
    searched(seed=1, trials=8)
    (tmp_path / "run").rename(tmp_path / "other")
    run = searched(start=(str(tmp_path / "other"), "by-hand"))
    assert any(candidate.by_hand and candidate.taken_from for candidate in run.candidates())
    assert noise_of(run) is None


def test_a_damaged_record_costs_the_noise_and_not_the_search(searched, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "correlation.json").write_text("[]")
    assert len(searched().candidates()) == 4


def test_a_search_that_goes_on_knows_its_noise(searched, evaluate):
    searched()
    searched(trials=6)
    assert [seed for _, seed, _ in evaluate.asked].count(1) == 3


def test_with_early_stopping_whole_trainings_are_repeated_and_what_was_stopped_is_trained_twice(
        searched, evaluate):
    evaluate.falls = 0.1
    run = searched(early_stopping=True, epochs=4, rungs=(1,), objectives=("accuracy",))
    first = [candidate for candidate in run.candidates() if candidate.by_hand and not candidate.continues][:3]
    assert {candidate.trained for candidate in first} == {True, False}
    last = {one.architecture: one.trained for one in run.candidates() if one.epochs}
    assert [(seed, epochs) for _, seed, epochs in evaluate.asked if seed] == 3 * [(1, 4)]
    again = [text for text, seed, epochs in evaluate.asked if (seed, epochs) == (0, 4)]
    assert sorted(again) == sorted({*(one.architecture for one in first), *(text for text in last if last[text])})
    assert noise_of(run).networks == 3


def test_a_search_without_networks_made_by_hand_does_not_know_its_noise(searched, evaluate):
    run = searched(start=())
    assert {seed for _, seed, _ in evaluate.asked} == {0}
    assert noise_of(run) is None
    assert not (run.path / "correlation.json").exists()


def test_a_training_that_fails_costs_the_noise_and_not_the_search(searched, evaluate, inputs):
    run, said = searched(), []
    (run.path / "correlation.json").unlink()

    class Listening(Silent):
        def say(self, text):
            said.append(text)

    def fails(architecture, data, fidelity):
        raise RuntimeError("the loss is nan")

    measure_noise(run, load_dataset(str(inputs / "data.npz")), [fails], RECIPE, Listening())
    assert said == ["the noise between seeds is not known: RuntimeError: the loss is nan"]
    assert noise_of(run) is None


def test_a_front_that_nothing_has_beaten_is_printed_with_what_to_do(searched, capsys):
    run = searched()  # where all have the same accuracy
    print_front(Run(run), Console(width=100))
    told = capsys.readouterr().out
    assert "nothing better than the best network made by hand was found: longer trainings (--epochs)" in told
    assert told.count("made by hand 80.00 %") == 1


def test_the_front_is_printed_with_its_noise(searched, capsys):
    run = searched()
    print_front(Run(run), Console(width=100))
    assert "noise: ± 2.83 points between seeds of 3 epochs (3 networks trained again" in capsys.readouterr().out
    (run.path / "correlation.json").unlink()
    print_front(Run(run), Console(width=100))
    assert f"noise: not known; `nas correlate {run.path}` measures" in capsys.readouterr().out


@pytest.mark.parametrize(("networks", "words"), [
    (1, "(1 network trained again; `nas correlate runs/a` tells it better)"), (20, "(20 networks trained again)")])
def test_a_figure_of_few_networks_is_said_to_be_rough(networks, words):
    assert noise_text(Noise(0.0071, networks), 3, Path("runs/a")) == (
        f"noise: ± 0.71 points between seeds of 3 epochs {words}")
