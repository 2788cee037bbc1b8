"""The record of a trial: nothing of a candidate is lost on its way through the storage."""

import json
from datetime import datetime

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.latency import Latency
from nas.problem.candidate import Candidate, Outcome
from nas.problem.costs import Costs
from nas.trials.record import STATES, Start, attributes_of, candidate_of, start_attributes, start_of, write, write_lost
from search_spaces import Architecture

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
shares, counts, numbers = st.floats(0, 1), st.integers(0, 10**9), st.floats(0, 1e6)
latencies = st.builds(
    Latency, numbers, numbers, numbers, numbers, counts, numbers, numbers, numbers, shares,
    st.lists(texts, max_size=2).map(tuple), texts, numbers, numbers)
costs = st.builds(Costs, st.none() | counts, st.none() | counts, st.none() | counts, st.none() | counts,
                  st.dictionaries(texts, latencies, max_size=2))
parameters = st.dictionaries(texts, texts | counts | shares | st.booleans(), max_size=3)
proposed = {
    "trial": counts, "violations": st.dictionaries(texts, st.floats(-1, 1e6), max_size=2),
    "state": st.sampled_from(["waiting", "running", "lost", "failed", "complete"]), "assignment": parameters,
    "continues": st.none() | counts, "start": st.none() | texts, "outside": st.booleans(),
    "began": st.none() | st.datetimes(), "ended": st.none() | st.datetimes(), "reason": st.none() | texts}
evaluated = {
    "architecture": texts, "costs": costs, "accuracy": st.none() | shares, "total": counts, "epochs": counts,
    "trained": st.booleans(), "duplicate_of": st.none() | counts, "bracket": counts,
    "accuracies": st.lists(st.tuples(counts, shares), max_size=3).map(tuple), "taken_from": st.none() | texts,
    "compiled": st.none() | texts}
candidates = st.builds(Candidate, **proposed) | st.builds(Candidate, **proposed, **evaluated)


def stored(candidate):
    """Returns the trial of a candidate as Optuna has it: attributes went through JSON, and a lost trial has failed."""
    kinds = {kind: optuna.trial.TrialState[name] for name, kind in STATES.items()}
    state = kinds["failed" if candidate.state == "lost" else candidate.state]
    system = {f"constraints:{name}": value for name, value in candidate.violations.items()}
    return optuna.trial.FrozenTrial(
        candidate.trial, state, None, candidate.began, candidate.ended, dict(candidate.assignment), {},
        json.loads(json.dumps(attributes_of(candidate))), system, {}, 0)


@settings(deadline=None)
@given(candidates)
def test_a_candidate_comes_back_from_its_attributes_as_it_was(candidate):
    found = candidate_of(stored(candidate))
    assert vars(found) == vars(candidate)  # with the fields that are not compared


@given(candidates)
def test_every_attribute_is_among_those_of_earlier_versions(candidate):
    attributes = attributes_of(candidate)
    assert attributes.keys() <= {"candidate", "promoted", "start", "outside", "impossible", "lost"}
    assert attributes.get("candidate", {}).keys() <= {
        "architecture", "trained", "macs", "params", "memory_bytes", "size_bytes", "latencies", "reason", "bracket",
        "duplicate_of", "accuracy", "total", "epochs", "accuracies", "compiled", "taken_from"}


def test_a_trial_that_is_being_worked_on_tells_the_same_as_when_it_has_ended():
    study = optuna.create_study()
    trial = study.ask()
    trial.suggest_categorical("kernel", [3, 5])
    candidate = Candidate(0, "in+0", 0.5, 10, 3, True, Costs(1, 2, 3, 4, {"litert": Latency.exact(0.1)}),
                          {"latency": -0.5}, assignment=trial.params, accuracies=((1, 0.4), (3, 0.5)))
    write(trial, candidate)
    assert candidate_of(trial) == candidate
    study.tell(trial, 0.5)
    ended = candidate_of(study.trials[0])
    assert (ended.outcome, ended.architecture, ended.accuracies) == (Outcome.TRAINED, "in+0", ((1, 0.4), (3, 0.5)))
    assert isinstance(ended.began, datetime) and ended.began <= ended.ended


def test_a_trial_whose_worker_has_died_is_lost_whatever_it_was():
    study = optuna.create_study()
    write(study.ask(), Candidate(0, "in+0", costs=Costs(1)))
    write_lost(study, study.trials[0])
    study.tell(0, state=optuna.trial.TrialState.FAIL)
    assert candidate_of(study.trials[0]).outcome is Outcome.LOST


def test_a_latency_that_was_stored_before_there_were_several_targets_is_that_of_the_only_one():
    bare = {name: value for name, value in vars(Latency.exact(0.1)).items() if name != "clock"}
    trial = optuna.trial.create_trial(value=1.0, user_attrs={"candidate": {
        "architecture": "in+0", "trained": False, "macs": 1, "params": 2, "memory_bytes": 3, "latency": bare}})
    assert candidate_of(trial, "litert").costs == Costs(1, 2, 3, None, {"litert": Latency.exact(0.1)})


@pytest.mark.parametrize("outside", [True, False])
@pytest.mark.parametrize("training", [{}, {"accuracy": 0.0, "total": 9, "epochs": 3, "trained": True,
                                          "accuracies": ((1, 0.5), (3, 0.0)), "taken_from": "earlier"}])
def test_what_is_evaluated_first_comes_back_as_it_was_asked_for(outside, training, tmp_path):
    architecture = Architecture.parse("in_r12_c1+conv_k3_c8_s2_relu+head_c16_relu_n2")
    trained = Candidate(0, architecture.text, **training) if training else None
    start = Start(architecture, trained, tmp_path / "weights" if training else None)
    study = optuna.create_study()
    study.enqueue_trial({}, user_attrs=start_attributes(start, outside))
    waiting = study.trials[0]
    assert start_of(waiting) == start_of(study.ask()) == start
    found = candidate_of(waiting)
    assert (found.outcome, found.start, found.outside) == (Outcome.WAITING, architecture.text, outside)


@pytest.mark.parametrize(("fields", "outcome"), [
    ({"state": "waiting"}, "waiting"), ({"state": "running", "epochs": 1}, "running"), ({"state": "lost"}, "lost"),
    ({"state": "failed", "architecture": ""}, "impossible"), ({"state": "failed", "epochs": 1}, "failed"),
    ({}, "rejected"), ({"epochs": 1}, "stopped"), ({"epochs": 3, "trained": True}, "trained"),
    ({"epochs": 3, "trained": True, "taken_from": "earlier"}, "taken over"),
    ({"epochs": 3, "trained": True, "duplicate_of": 0}, "duplicate"),
    ({"state": "failed", "duplicate_of": 0}, "duplicate"),
])
def test_each_trial_has_one_outcome(fields, outcome):
    assert Candidate(**({"trial": 1, "architecture": "in+1", "state": "complete"} | fields)).outcome == outcome
