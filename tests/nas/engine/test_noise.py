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
    """An evaluator whose accuracy is that of its seed, which notes what it is asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, architecture, data, fidelity):
        self.asked.append((architecture.text, fidelity.recipe.seed, fidelity.epochs))
        return Score(0.8 + 0.04 * fidelity.recipe.seed, 1000)


@pytest.fixture
def evaluate(monkeypatch):
    made = OfSeed()
    monkeypatch.setitem(EVALUATORS, "of seed", lambda context: made)
    return made


@pytest.fixture
def searched(make_config, evaluate, gauge, tmp_path, monkeypatch):
    """Searches under a budget; what is given changes the configuration."""
    monkeypatch.setattr(filling, "SHORTENED", "1 layer a stage, no tail")  # on 12 pixels two layers are the same

    def call(**changes):
        config = make_config(**{"evaluator": "of seed", "start": ("by-hand",), "macs": 200_000, "trials": 4} | changes)
        return run_search(config, tmp_path / "run", gauge=gauge)
    return call


def test_a_search_trains_the_first_network_made_by_hand_with_another_seed(searched, evaluate):
    run = searched()
    first = next(candidate for candidate in run.candidates() if candidate.by_hand)
    assert evaluate.asked[-1] == (first.architecture, 1, 3)
    assert [seed for _, seed, _ in evaluate.asked].count(1) == 1
    assert noise_of(run) == Noise(pytest.approx(statistics.stdev([0.8, 0.84])), 1)
    kept = json.loads((run.path / "correlation.json").read_text())["networks"]
    assert [accuracy for accuracy, _ in kept[first.architecture]["3"]] == [0.8, pytest.approx(0.84)]


def test_a_search_that_goes_on_knows_its_noise(searched, evaluate):
    searched()
    searched(trials=6)
    assert [seed for _, seed, _ in evaluate.asked].count(1) == 1


def test_with_early_stopping_a_whole_training_is_repeated(searched, evaluate):
    run = searched(early_stopping=True, epochs=4, rungs=(1,))
    assert [(seed, epochs) for _, seed, epochs in evaluate.asked if seed] == [(1, 4)]
    assert noise_of(run).networks == 1


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

    measure_noise(run, load_dataset(str(inputs / "data.npz")), fails, RECIPE, Listening())
    assert said == ["trial 0 failed with another seed: RuntimeError: the loss is nan"]
    assert noise_of(run) is None


def test_the_front_is_printed_with_its_noise(searched, capsys):
    run = searched()
    print_front(Run(run), Console(width=100))
    assert "noise: ± 2.83 points between seeds of 3 epochs (1 network trained again" in capsys.readouterr().out
    (run.path / "correlation.json").unlink()
    print_front(Run(run), Console(width=100))
    assert f"noise: not known; `nas correlate {run.path}` measures" in capsys.readouterr().out


@pytest.mark.parametrize(("networks", "words"), [
    (1, "(1 network trained again; `nas correlate runs/a` tells it better)"), (20, "(20 networks trained again)")])
def test_a_figure_of_few_networks_is_said_to_be_rough(networks, words):
    assert noise_text(Noise(0.0071, networks), 3, Path("runs/a")) == (
        f"noise: ± 0.71 points between seeds of 3 epochs {words}")
