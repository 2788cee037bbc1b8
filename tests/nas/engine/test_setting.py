"""What a configuration comes to, and what its evaluators are made for."""

import dataclasses
import json
import pickle
import re

import numpy as np
import pytest

from evaluators.evaluator import Context, Score
from evaluators.registry import EVALUATORS
from nas.engine.joining import join_search
from nas.engine.search import run_search
from nas.engine.setting import _course, require_own_processor, setting_of
from nas.run.config import SearchConfig
from nas.run.monitor import Silent
from search_spaces import Architecture, InvalidInput


class ShareOfTheLargest:
    """Scores a network by its share of the multiply-adds of the largest one, and notes in a file what it was asked."""

    def __init__(self, context):
        members = map(context.space.decode, context.space.enumerated(10**6))
        self.largest = max(member.macs for member in members)
        self.notes = context.directory / "asked.txt"

    def __call__(self, architecture, data, fidelity):
        self.notes.parent.mkdir(exist_ok=True)
        with self.notes.open("a") as file:
            file.write(f"{architecture}\n")
        return architecture.macs / self.largest


def test_an_evaluator_that_needs_the_space_and_a_directory_is_a_class_and_an_entry(
        make_config, all_members, gauge, monkeypatch, tmp_path):
    monkeypatch.setitem(EVALUATORS, "share", ShareOfTheLargest)
    run = run_search(make_config(evaluator="share", trials=3), tmp_path / "run", gauge=gauge)
    trained = [candidate for candidate in run.candidates() if candidate.trained and candidate.duplicate_of is None]
    largest = max(member.macs for member in all_members.values())
    assert [candidate.accuracy for candidate in trained] == [
        Architecture.parse(candidate.architecture).macs / largest for candidate in trained]
    asked = (run.path / "evaluator" / "asked.txt").read_text().splitlines()
    assert asked == [candidate.architecture for candidate in trained]


def test_a_table_brings_its_own_networks_scores_and_epochs_and_needs_no_processes():
    setting = setting_of(SearchConfig(data="table:learning-curves", objectives=("accuracy", "macs")))
    assignment = setting.space.enumerated(10**6)[0]
    network = setting.space.decode(assignment)
    evaluate = setting.make(None)
    assert setting.space.nearest(assignment, []) == network
    assert evaluate.accuracies.keys() == setting.space.members.keys()
    assert (setting.epochs, setting.gauges, setting.side_by_side) == (evaluate.epochs, {}, False)


def test_images_leave_costs_to_be_measured_and_evaluations_to_processes(make_config, evaluator):
    setting = setting_of(make_config(epochs=5))
    assert (setting.epochs, setting.gauges, setting.side_by_side) == (5, None, True)
    assert setting.make(None) is evaluator


def test_a_function_of_a_module_is_an_evaluator_as_it_is(make_config):
    assert setting_of(make_config(evaluator="json:dumps")).make(None) is json.dumps


def test_a_context_travels_to_other_processes(make_config, tmp_path):
    config = make_config()
    setting = setting_of(config)
    context = Context(setting.space, setting.dataset, tmp_path, config.recipe)
    found = pickle.loads(pickle.dumps(context))  # noqa: S301 - our own
    assert (found.space, found.directory, found.recipe) == (context.space, context.directory, context.recipe)
    assert found.dataset.fingerprint == context.dataset.fingerprint


@pytest.mark.parametrize("changes", [{}, {"objectives": ("accuracy", "macs"), "latency_ms": 0.1}])
def test_a_search_whose_latencies_decide_goes_on_with_the_processor_that_has_timed_it_only(
        changes, make_config, gauge, tmp_path, monkeypatch):
    config = make_config(trials=1, **changes)
    run = run_search(config, tmp_path / "run", gauge=gauge)
    before = (run.path / "run.toml").read_bytes()
    monkeypatch.setattr("nas.engine.setting.processor", lambda: "Cortex-A76")
    refused = f"those of '{run.environments[0]['processor']}' and this machine is 'Cortex-A76'"
    with pytest.raises(InvalidInput, match=re.escape(refused)):
        join_search(str(run.path), "", tmp_path, {}, Silent())
    with pytest.raises(InvalidInput, match=re.escape(refused)):
        run_search(dataclasses.replace(config, trials=2), run.path)
    assert (run.path / "run.toml").read_bytes() == before


def test_other_processors_may_go_on_where_no_latency_decides_or_a_device_elsewhere_is_timed(
        make_config, gauge, tmp_path, monkeypatch):
    monkeypatch.setattr("nas.engine.setting.processor", lambda: "Cortex-A76")
    for changes in {"objectives": ("accuracy", "macs")}, {"target": ("command:true {model}",)}:
        require_own_processor(run_search(make_config(trials=1, **changes), tmp_path / str(changes), gauge=gauge))


def test_trainings_are_longer_by_default_where_images_are_few(make_config, gauge, tmp_path):
    config = make_config(epochs=None, trials=1)
    images = len(setting_of(config).dataset.train)
    assert images < 200
    run = run_search(config, tmp_path / "run", gauge=gauge)
    assert run.config.epochs == 10, "750 steps of 32 images would be more than half of the 20 epochs of an export"
    assert run_search(config, run.path, gauge=gauge).config.epochs == run.config.epochs


def test_a_search_by_time_trains_longer_whom_it_lets_go_on_and_stays_as_it_began(
        make_config, gauge, tmp_path, monkeypatch):
    monkeypatch.setattr("nas.engine.setting.FEWEST_STEPS", 8)

    def trained(architecture, data, fidelity):
        checkpoint = {"epochs": np.array(fidelity.epochs)}
        return Score(int(architecture.id[:4], 16) / 2**16, 1000, checkpoint, checkpoint)

    monkeypatch.setitem(EVALUATORS, "training", lambda context: trained)
    config = make_config(evaluator="training", epochs=None, workers=1, trials=None, time_s=1e-3)
    begun = run_search(config, tmp_path / "run", gauge=gauge).config
    assert (begun.epochs, begun.early_stopping) == (18, True)
    run = run_search(dataclasses.replace(config, time_s=None, trials=12), tmp_path / "run", gauge=gauge)
    assert (run.config.epochs, run.config.early_stopping) == (18, True)
    assert {candidate.epochs for candidate in run.candidates()} == {2, 18}


@pytest.mark.parametrize(("epochs", "images", "expected"), [
    (None, 1_000, (10, False)), (None, 1_200, (18, True)), (None, 5_000, (9, True)), (None, 50_000, (3, False)),
    (8, 5_000, (8, False)), (9, 5_000, (9, True)), (20, 240, (20, False))])
def test_none_is_stopped_by_default_where_a_ninth_of_the_training_tells_nothing(epochs, images, expected):
    assert _course(SearchConfig(time_s=60, epochs=epochs), images) == expected
    whole, stops_early = _course(SearchConfig(early_stopping=True, epochs=epochs), images)
    assert stops_early and whole >= expected[0]
