import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from evaluators.latency import Latency
from nas.problem.candidate import OBJECTIVES, Candidate, accuracy_interval, distinct, front, winner
from nas.problem.costs import Costs
from nas.problem.pareto import dominates
from search_spaces.errors import InvalidInput


def candidate(trial=0, accuracy=0.9, latency_ms=0.1, macs=10, **changes):
    given_values = {
        "trial": trial, "architecture": f"in+{trial}", "accuracy": accuracy, "epochs": 3,
        "trained": True, "violations": {"latency": -0.1}, "state": "complete",
        "costs": Costs(macs, 20, 30, 40, {} if latency_ms is None else {"": Latency.exact(latency_ms)})}
    return Candidate(**(given_values | changes))


many = st.lists(st.builds(
    candidate, accuracy=st.sampled_from([None, 0.5, 0.7, 0.9]), latency_ms=st.sampled_from([None, 0.1, 0.2, 0.3]),
    macs=st.integers(10, 13), trained=st.booleans(),
    violations=st.sampled_from([{}, {"latency": 0.0}, {"latency": 0.2, "macs": -0.5}]),
    state=st.sampled_from(["complete", "complete", "failed", "running"])), max_size=12).map(
        lambda found: [dataclasses.replace(one, trial=trial) for trial, one in enumerate(found)])


@pytest.mark.parametrize(("changes", "feasible", "eligible"), [
    ({}, True, True),
    ({"violations": {}}, True, True),
    ({"violations": {"latency": 0.0}}, True, True),
    ({"violations": {"latency": -0.5, "macs": 1e-9}}, False, False),
    ({"trained": False}, True, False),
    ({"state": "failed"}, False, False),
    ({"state": "running", "violations": {}}, False, False),
])
def test_feasible_is_within_every_budget_and_eligible_is_fully_trained_too(changes, feasible, eligible):
    found = candidate(**changes)
    assert (found.feasible, found.eligible) == (feasible, eligible)


def test_the_winner_is_the_most_accurate_eligible_candidate():
    best = candidate(2, 0.95, 0.2)
    rejected = [
        candidate(0, 0.99, violations={"latency": 0.01}), candidate(1, 0.98, trained=False),
        candidate(3, 0.97, state="failed"), candidate(4, 0.94)]
    assert winner([*rejected, best]) is best
    assert winner(rejected[:3]) is None
    assert winner([]) is None


def test_ties_go_to_the_faster_then_to_the_earlier_candidate():
    slow, fast, again = candidate(0, 0.9, 0.2), candidate(3, 0.9, 0.1), candidate(1, 0.9, 0.1)
    unknown = candidate(2, 0.9, None)
    assert winner([slow, fast, unknown]) is fast
    assert winner([slow, fast, unknown, again]) is again


def test_ties_go_to_the_candidate_that_is_best_in_the_other_objective_of_the_search():
    fast, small, again = candidate(0, 0.9, 0.1, 20), candidate(1, 0.9, 0.2, 10), candidate(2, 0.9, 0.1, 10)
    assert winner([fast, small], ("accuracy", "macs")) is small
    assert winner([fast, small, again], ("accuracy", "macs")) is again
    assert winner([fast, small]) is fast


def test_the_front_goes_from_fast_to_accurate():
    found = [candidate(0, 0.9, 0.3), candidate(1, 0.8, 0.1), candidate(2, 0.85, 0.35), candidate(3, 0.85, 0.2)]
    assert [one.trial for one in front(found)] == [1, 3, 0]


def test_the_front_of_accuracy_alone_is_the_most_accurate_with_all_ties():
    found = [candidate(0, 0.9, 0.3), candidate(1, 0.8, 0.1), candidate(2, 0.9, 0.2)]
    assert [one.trial for one in front(found, ["accuracy"])] == [2, 0]


def test_trials_of_the_same_values_are_all_on_the_front_and_one_is_listed():
    found = [candidate(0, 0.8, 0.1), candidate(1, 0.9, 0.2), candidate(2, 0.8, 0.1, architecture="in+0")]
    assert [one.trial for one in front(found)] == [0, 2, 1]
    assert [one.trial for one in distinct(front(found))] == [0, 1]


def test_an_unknown_objective_is_refused():
    with pytest.raises(InvalidInput, match="did you mean 'accuracy'"):
        front([], ["acuracy"])


@given(many, st.sampled_from([("accuracy",), *(("accuracy", name) for name in list(OBJECTIVES)[1:])]))
def test_the_front_holds_the_winner_and_exactly_what_no_eligible_candidate_dominates(found, objectives):
    eligible = [one for one in found if one.state == "complete" and one.trained and one.accuracy is not None
                and all(violation <= 0 for violation in one.violations.values())]
    points = {one.trial: (-one.accuracy, math.inf if one.latency_ms is None else one.latency_ms) for one in eligible}
    expected = {trial for trial, point in points.items()
                if not any(dominates(other, point) for other in points.values())}
    members = front(found)
    assert {one.trial for one in members} == expected
    best = winner(found)
    assert (best is None) == (not eligible)
    assert best is None or best in members
    assert best is None or winner(found, objectives) in front(found, objectives)


@given(many, st.randoms())
def test_the_order_of_the_candidates_does_not_matter(found, random):
    shuffled = random.sample(found, len(found))
    assert front(shuffled) == front(found)
    assert winner(shuffled) == winner(found)


@given(st.integers(1, 5000).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_the_interval_of_an_accuracy_is_wilsons(counts):
    correct, count = counts
    expected = binomtest(correct, count).proportion_ci(0.95, method="wilson")
    assert accuracy_interval(correct, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_interval_has_width_even_where_all_is_right_or_wrong():
    low, high = accuracy_interval(100, 100)
    assert (0.96 < low < 0.97, high) == (True, 1.0)
    assert accuracy_interval(0, 100)[0] == 0.0
