import datetime
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.latency import Latency
from evaluators.registry import EVALUATORS
from nas.engine.search import run_search
from nas.engine.termination import Termination, front_rests, reference_point, seconds_spent
from nas.problem.budgets import Budgets
from nas.problem.candidate import Candidate
from nas.problem.costs import Costs
from nas.trials.tally import Tally
from tests.nas.conftest import Lines

OBJECTIVES = ("accuracy", "latency")
NOON = datetime.datetime(2026, 1, 1, 12)


def candidate(trial, accuracy, latency_ms, **changes):
    costs = Costs(1, 1, 1, 1, {"onnxruntime": Latency.exact(latency_ms)})
    return Candidate(**({"trial": trial, "architecture": f"in+{trial}", "accuracy": accuracy, "epochs": 3,
                         "trained": True, "costs": costs, "violations": {}, "state": "complete"} | changes))


points = st.lists(st.tuples(st.floats(0.2, 1), st.floats(0.1, 0.9)), min_size=1, max_size=8)


@given(points, st.integers(1, 5), st.sampled_from([(-0.1, 1.0), (-0.1, None)]))
def test_a_front_rests_after_so_many_candidates_that_add_nothing(found, patience, reference):
    candidates = [candidate(trial, *point) for trial, point in enumerate(found)]
    repeated = [candidate(100 + trial, *found[-1]) for trial in range(patience)]
    assert front_rests(candidates + repeated, patience, OBJECTIVES, reference)
    assert not front_rests(candidates, len(candidates), OBJECTIVES, reference)


@given(points, st.integers(1, 5))
def test_a_front_moves_with_a_candidate_that_is_better_than_all(found, patience):
    candidates = [candidate(trial, accuracy / 2, latency_ms) for trial, (accuracy, latency_ms) in enumerate(found)]
    better = candidate(99, 0.6, 0.05)
    last = [candidate(100 + trial, 0.1, 0.9) for trial in range(patience)]
    assert not front_rests([*candidates, better, *last[1:]], patience, OBJECTIVES, (-0.1, 1.0))
    assert front_rests([*candidates, better, *last], patience, OBJECTIVES, (-0.1, 1.0))


@pytest.mark.parametrize("changes", [
    {"trained": False, "epochs": 0, "accuracy": None}, {"duplicate_of": 0}, {"state": "failed", "trained": False}])
def test_only_candidates_that_were_trained_try_the_patience(changes):
    others = [replace(candidate(trial, 0.5, 0.5), **changes) for trial in range(1, 9)]
    assert not front_rests([candidate(0, 0.5, 0.5), *others], 1, OBJECTIVES, (-0.1, 1.0))


def test_a_candidate_that_was_stopped_and_went_on_tries_the_patience_once():
    begun = [replace(candidate(trial, 0.4, 0.6), trained=False, epochs=1) for trial in range(1, 4)]
    went_on = [replace(candidate(trial + 3, 0.4, 0.6), continues=trial) for trial in range(1, 4)]
    assert not front_rests([candidate(0, 0.5, 0.5), *begun, *went_on], 4, OBJECTIVES, (-0.1, 1.0))
    assert front_rests([candidate(0, 0.5, 0.5), *begun, *went_on], 3, OBJECTIVES, (-0.1, 1.0))


def test_candidates_that_were_stopped_try_the_patience_too():
    others = [replace(candidate(trial, 0.9, 0.1), trained=False, epochs=1) for trial in range(1, 4)]
    assert front_rests([candidate(0, 0.5, 0.5), *others], 3, OBJECTIVES, (-0.1, 1.0))


def test_a_candidate_over_its_budget_moves_no_front():
    over = candidate(1, 0.9, 0.1, violations={"latency": 0.5})
    assert front_rests([candidate(0, 0.5, 0.5), over], 1, OBJECTIVES, (-0.1, 1.0))


def test_a_front_ends_at_the_accuracy_of_guessing_and_at_the_budget():
    assert reference_point(OBJECTIVES, Budgets(latency_ms=0.09), 0.1) == (-0.1, 0.09)
    assert reference_point(("accuracy",), Budgets(latency_ms=0.09), 0.25) == (-0.25,)
    assert reference_point(OBJECTIVES, Budgets(macs=5), 0.1) == (-0.1, None)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=6))
def test_the_time_spent_is_that_in_which_a_trial_was_running(spans):
    def trial(begin, length, state="complete"):
        return Candidate(0, state=state, began=NOON + datetime.timedelta(0, begin),
                         ended=NOON + datetime.timedelta(0, begin + length))

    seconds = {second for begin, length in spans for second in range(begin, begin + length)}
    lost = trial(0, 1000, "lost")
    assert seconds_spent([*(trial(*span) for span in spans), lost]) == len(seconds)


def test_what_was_asked_for_needs_no_words_and_what_cut_it_short_does():
    few, many = Tally(trained=2, rejected=3), Tally(trained=20, rejected=1000)
    used_up = {"time_s": 60, "began_s": time.monotonic() - 61}
    assert Termination(20).reached(few, []) is None
    assert Termination(20).reached(many, []) == ""
    assert Termination(20).reached(Tally(trained=5, stopped=15), []) == ""
    assert Termination(20).reached(Tally(trained=20), [], continuing=True) is None
    assert Termination(20, **used_up).reached(many, []) == ""
    assert "its 1 min were used up: 2 candidates" in Termination(None, **used_up).reached(few, [])
    assert "1000 rejected proposals, 50 for each" in Termination(None).reached(replace(many, trained=19), [])


def test_a_search_ends_when_its_time_is_used_up_and_goes_on_when_there_is_more(
        make_config, gauge, evaluator, tmp_path):
    run = run_search(make_config(trials=3), tmp_path / "run", gauge=gauge)
    spent_s = seconds_spent(run.told())
    lines = Lines()
    run_search(make_config(trials=9, time_s=spent_s / 2), run.path, lines, gauge)
    assert len(evaluator.trained) == 3
    assert lines.lines[0].endswith("were used up: 3 candidates were trained")
    longer = run_search(make_config(trials=5, time_s=spent_s + 3600), run.path, lines, gauge)
    assert len(evaluator.trained) == 5
    assert len(lines.lines) == 1
    assert longer.config.time_s == spent_s + 3600


def test_a_search_without_patience_left_keeps_what_it_found(make_config, gauge, tmp_path, monkeypatch):
    monkeypatch.setitem(EVALUATORS, "hash", lambda context: lambda architecture, data, fidelity: 0.75)
    lines = Lines()
    config = make_config(trials=None, patience=3, objectives=("accuracy",))
    found = run_search(config, tmp_path / "run", lines, gauge).candidates()
    assert sum(c.trained for c in found if c.duplicate_of is None) == 4  # the first, and three that are no better
    assert lines.lines[-1].startswith("ended as the front did not move for 3 trained candidates: 4 candidates")
