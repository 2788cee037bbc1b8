"""Early stopping in searches: what is trained, told and kept at each rung, and what happens in between."""

import os
from pathlib import Path

import numpy as np
import pytest

from evaluators.evaluator import Score
from evaluators.registry import EVALUATORS
from nas.engine.search import run_search
from nas.engine.successive_halving import Rungs, stopped
from nas.problem.candidate import distinct, front
from nas.run.monitor import Silent
from nas.trials.record import CONTINUES, LOST
from nas.trials.tally import tally
from search_spaces import Architecture, InvalidInput

RUNGS = (1, 3, 9)


class Curves:
    """An evaluator that goes on from its checkpoints, and notes each call: architecture, epochs before and after."""

    def __init__(self):
        self.calls = []

    def __call__(self, architecture, data, fidelity):
        before = int(fidelity.checkpoint["epochs"]) if fidelity.checkpoint else 0
        assert not fidelity.checkpoint or str(fidelity.checkpoint["id"][0]) == str(int(architecture.id[:6], 16))
        assert fidelity.recipe.epochs == 9
        self.calls.append((architecture.text, before, fidelity.epochs))
        checkpoint = {"epochs": np.array(fidelity.epochs), "id": np.array([int(architecture.id[:6], 16)])}
        return Score(self.accuracy(architecture, fidelity.epochs), 1000, {"id": checkpoint["id"]}, checkpoint)

    @staticmethod
    def accuracy(architecture, epochs):
        best, noise = int(architecture.id[:4], 16) % 1000 / 1000, int(architecture.id[4:8], 16) % 1000 / 1000
        return round((best + noise / epochs) / 2, 3)


@pytest.fixture
def curves(monkeypatch):
    made = Curves()
    monkeypatch.setitem(EVALUATORS, "curves", lambda context: made)
    return made


@pytest.fixture
def stopping(make_config):
    """Makes configurations with early stopping."""
    return lambda **changes: make_config(**({"evaluator": "curves", "epochs": 9, "early_stopping": True,
                                         "rungs": RUNGS[:-1], "trials": 12}
                                            | changes))


@pytest.fixture
def finished(stopping, gauge, curves, tmp_path):
    """A search with early stopping that has ended."""
    return run_search(stopping(), tmp_path / "run", gauge=gauge)


def test_trainings_go_on_from_their_last_rung_and_no_epoch_is_trained_twice(finished, curves):
    steps = {(0, 1), (1, 3), (3, 9)}
    assert {(before, after) for _, before, after in curves.calls} == steps
    assert len(set(curves.calls)) == len(curves.calls)
    assert len({text for text, *_ in curves.calls}) == 12
    assert sum(after == 9 for *_, after in curves.calls) < 12


def test_a_stopped_candidate_is_complete_with_what_it_had_at_its_last_rung(finished):
    candidates = finished.candidates()
    trials = {trial.number: trial for trial in finished.study().get_trials()}
    assert stopped(candidates)
    for one in stopped(candidates):
        accuracy = Curves.accuracy(Architecture.parse(one.architecture), one.epochs)
        assert trials[one.trial].state.name == "COMPLETE"
        assert trials[one.trial].values == [one.accuracy, one.latency_ms] == [accuracy, one.latency_ms]
        assert one.epochs in RUNGS[:-1] and not one.trained and one.feasible and not one.eligible
        assert one.reason == f"stopped after {one.epochs} of 9 epochs"
        assert [epochs for epochs, _ in one.accuracies] == list(RUNGS[:RUNGS.index(one.epochs) + 1])


def test_a_late_promotion_is_a_new_trial_of_the_same_choices(finished, gauge):
    candidates = {one.trial: one for one in finished.candidates()}
    trials = finished.study().get_trials()
    promoted = [one for one in candidates.values() if one.continues is not None and one.duplicate_of is None]
    assert promoted
    for one in promoted:
        before = candidates[one.continues]
        assert (one.architecture, one.costs) == (before.architecture, before.costs)
        assert trials[one.trial].params == trials[before.trial].params
        assert trials[one.trial].constraints == trials[before.trial].constraints
        assert before.reason and one.accuracies[:len(before.accuracies)] == before.accuracies
        assert one.epochs > before.epochs
    assert len(gauge.timed) == len({one.architecture for one in candidates.values()}) + sum(
        one.retimed for one in distinct(front(candidates.values())))  # a promotion measures nothing


def test_the_front_is_of_those_who_were_trained_to_the_end(finished):
    candidates = finished.candidates()
    members = distinct(front(candidates))
    assert members and all(one.trained and one.epochs == 9 for one in members)
    assert {path.stem for path in (finished.path / "weights").iterdir()} == {
        Architecture.parse(one.architecture).id for one in members}
    assert {path.stem for path in (finished.path / "checkpoints").iterdir()} == {
        Architecture.parse(one.architecture).id for one in stopped(candidates)}


def test_a_search_counts_each_candidate_once_and_ends_when_nobody_is_left_to_promote(finished):
    counts = tally(finished.told())
    assert counts.tried == counts.trained + counts.stopped == 12
    assert counts.stopped == len(stopped(finished.candidates()))


def test_a_longer_search_goes_on_where_it_was(finished, stopping, gauge, curves, tmp_path):
    run_search(stopping(trials=20), finished.path, gauge=gauge)
    calls = curves.calls.copy()
    curves.calls.clear()
    undisturbed = run_search(stopping(trials=20), tmp_path / "undisturbed", gauge=gauge)
    assert set(curves.calls) == set(calls)
    assert len({text for text, *_ in calls}) == 20
    assert tally(undisturbed.told()).tried == 20


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, 40),
                                    lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!")])
def test_without_its_checkpoint_a_training_begins_anew_and_comes_to_the_same(
        damage, finished, stopping, gauge, curves):
    one = stopped(finished.candidates())[0]
    name = f"checkpoints/{Architecture.parse(one.architecture).id}.safetensors"
    damage(finished.path / name)
    study = finished.study()
    study.enqueue_trial(study.get_trials()[one.trial].params, user_attrs={CONTINUES: one.trial})
    curves.calls.clear()
    said = []
    monitor = Silent()
    monitor.say = said.append
    candidates = run_search(stopping(trials=13), finished.path, monitor, gauge).candidates()
    assert damage is Path.unlink or [line.partition(":")[0] for line in said] == [f"'{name}' is damaged"]
    continued = next(candidate for candidate in candidates if candidate.continues == one.trial)
    assert curves.calls[0] == (one.architecture, 0, 3 * one.epochs)
    assert continued.accuracy == Curves.accuracy(Architecture.parse(one.architecture), continued.epochs)


def test_a_promotion_that_two_workers_ask_for_is_carried_out_once(finished, stopping, gauge, curves):
    promoted = next(one for one in finished.candidates() if one.continues is not None)
    study = finished.study()
    study.enqueue_trial(study.get_trials()[promoted.trial].params, user_attrs={CONTINUES: promoted.continues})
    curves.calls.clear()
    run_search(stopping(trials=13), finished.path, gauge=gauge)
    second = [trial for trial in study.get_trials() if trial.user_attrs.get(CONTINUES) == promoted.continues][1]
    assert second.user_attrs[LOST] and second.state.name == "FAIL"
    assert not any(text == promoted.architecture for text, *_ in curves.calls)


def test_a_candidate_that_fails_after_a_rung_is_failed_and_not_taken_up_again(stopping, gauge, tmp_path, monkeypatch):
    def fails(architecture, data, fidelity):
        if fidelity.epochs == 3 and int(architecture.id, 16) % 2:
            raise FloatingPointError("the loss is not a number")
        return Curves.accuracy(architecture, fidelity.epochs)

    monkeypatch.setitem(EVALUATORS, "curves", lambda context: fails)
    candidates = run_search(stopping(trials=14), tmp_path / "run", gauge=gauge).candidates()
    failed = [one for one in candidates if one.state == "failed"]
    assert {(one.epochs, one.reason) for one in failed} == {(1, "FloatingPointError: the loss is not a number")}
    first = [one.architecture for one in failed if one.duplicate_of is None]
    assert len(first) == len(set(first))
    assert not {one.architecture for one in candidates if one.trained} & set(first)


@pytest.mark.parametrize("strategy", ["random", "surrogate"])
def test_starts_that_the_space_lacks_are_promoted_too(strategy, stopping, gauge, curves, tmp_path):
    starts = [f"in_r12_c1+conv_k3_c8_s2_relu+mb_k7_e{expansion}_c8_s1_se{ratio}_relu+head_c16_relu_n2"
              for expansion in range(1, 7) for ratio in (0, 0.25)]
    run = run_search(stopping(start=starts, strategy=strategy), tmp_path / "run", gauge=gauge)
    candidates = run.candidates()
    assert {one.architecture for one in candidates} == {Architecture.parse(start).text for start in starts}
    assert any(one.continues is not None and one.trained for one in candidates)
    assert all(trial.params == {} for trial in run.study().get_trials())


@pytest.mark.parametrize("workers", [1, 3])
def test_what_the_surrogate_proposes_again_goes_on_and_the_best_third_has_gone_on_in_the_end(
        workers, make_config, tmp_path):
    config = make_config(data="table:learning-curves", objectives=("accuracy", "macs"), strategy="surrogate",
                         trials=24, early_stopping=True, rungs=RUNGS[:-1], workers=workers)
    run = run_search(config, tmp_path / "run")
    candidates = run.candidates()
    assert not any(one.duplicate_of is not None for one in candidates)
    assert len({one.architecture for one in candidates}) == tally(run.told()).tried == 24
    continued = [one.continues for one in candidates if one.continues is not None]
    assert len(continued) == len(set(continued))
    by_trial = {one.trial: one for one in candidates}
    whole = min(one.ended for one in candidates if one.trained)  # from then on the strategy chooses who goes on
    for one in candidates:
        before = by_trial[one.continues].epochs if one.continues is not None else 0
        assert one.epochs == min(rung for rung in RUNGS if rung > before) or one.began < whole
    assert workers > 1 or sum(one.began < whole for one in candidates) == 1
    assert Rungs(RUNGS, objectives=config.objectives, reference=(-0.1, None)).promotable(candidates) is None
    first = next(one.trial for one in candidates if one.trained)
    assert any(one.continues is None for one in candidates[first:])  # it does not begin all and then train the best


@pytest.mark.parametrize(("changes", "rule"), [
    ({"rungs": (1, 12)}, "rungs are increasing numbers of epochs, shorter than the training, but got 1,12 of 9"),
    ({"epochs": 1, "rungs": ()}, "early stopping needs trainings of more than one epoch, but got 1"),
    ({"brackets": 4}, "`brackets` must lie between 1 and 3"),
    ({"early_stopping": False}, "`rungs` and `brackets` are of early stopping, but got them without it"),
])
def test_rungs_that_cannot_be_are_refused_before_anything_is_written(
        changes, rule, stopping, gauge, curves, tmp_path):
    with pytest.raises(InvalidInput) as error:
        run_search(stopping(**changes), tmp_path / "run", gauge=gauge)
    assert str(error.value).startswith(rule)
    assert not (tmp_path / "run").exists()


def test_candidates_are_compared_after_a_ninth_of_their_training_where_nothing_else_is_said(
        stopping, gauge, curves, tmp_path):
    run_search(stopping(rungs=()), tmp_path / "run", gauge=gauge)
    assert {(before, after) for _, before, after in curves.calls} == {(0, 1), (1, 9)}


def test_every_strategy_stops_early_on_the_table_of_learning_curves(strategy, make_config, tmp_path):
    brackets = 3 if strategy == "tpe" else 1
    config = make_config(data="table:learning-curves", objectives=("accuracy", "macs"), strategy=strategy, trials=16,
                         early_stopping=True, rungs=RUNGS[:-1], brackets=brackets, epochs=3)
    candidates = run_search(config, tmp_path / "run").candidates()
    assert {one.epochs for one in candidates} == set(RUNGS)  # those of the table, not of the configuration
    assert {one.bracket for one in candidates} == set(range(brackets))
    assert all(one.trained for one in front(candidates, config.objectives))
