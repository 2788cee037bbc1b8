import numpy as np
import pytest

from nas.measuring.meters import costs_within
from nas.measuring.survey import (
    PERCENTILES,
    SMALLEST,
    least_macs,
    members,
    percentile_latency_ms,
    require_feasible,
    survey,
)
from nas.problem.budgets import Budgets, is_feasible
from nas.problem.quantities import QUANTITIES, format_count
from search_spaces import SPACES, InvalidInput

TARGET = "onnxruntime"


def silent(what, done, total):
    pass


def test_members_are_distinct_and_of_the_seed(bound_space, all_members):
    drawn = [bound_space.decode(assignment).id for assignment in members(bound_space, 10, seed=1)]
    assert len(set(drawn)) == 10
    assert drawn == [bound_space.decode(assignment).id for assignment in members(bound_space, 10, seed=1)]
    assert drawn != [bound_space.decode(assignment).id for assignment in members(bound_space, 10, seed=2)]


def test_a_small_space_has_no_more_members_than_it_has(bound_space, all_members):
    drawn = {bound_space.decode(assignment).id for assignment in members(bound_space, 200, seed=0)}
    assert drawn == all_members.keys()


def test_more_members_than_anybody_can_wait_for_are_refused(bound_space):
    with pytest.raises(InvalidInput, match="at most 100000 members of a space are drawn, but got 1000000000"):
        members(bound_space, 10**9, 0)


def test_percentiles_are_those_of_the_measured_members(bound_space, all_members, gauge):
    found = survey(bound_space, {TARGET: gauge}, seed=0)
    assert set(found.values) == set(QUANTITIES)
    macs = [member.macs for member in all_members.values()]
    assert found.percentiles("macs") == pytest.approx(np.percentile(macs, PERCENTILES).tolist())
    assert found.percentiles("latency") == pytest.approx([value / 1e6 for value in found.percentiles("macs")])
    sizes = [4 * member.params + 1000 for member in all_members.values()]
    assert found.percentiles("size") == pytest.approx(np.percentile(sizes, PERCENTILES).tolist())


def test_without_a_gauge_only_what_follows_from_the_text_is_surveyed(bound_space):
    assert set(survey(bound_space, {}, seed=0, count=5).values) == {"macs", "params", "memory"}


def test_progress_is_told_for_each_member(bound_space, gauge):
    told = []
    survey(bound_space, {TARGET: gauge}, 0, 4, lambda what, done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_percentile_of_latency_has_three_digits(bound_space, all_members, gauge):
    exact = float(np.percentile([member.macs / 1e6 for member in all_members.values()], 30))
    found = percentile_latency_ms(bound_space, {TARGET: gauge}, TARGET, 30.0, 0, 200, silent)
    assert found == float(f"{exact:.3g}")


def test_the_members_of_least_macs_are_those_of_a_small_space(bound_space, all_members):
    found = [bound_space.decode(assignment).macs for assignment in least_macs(bound_space, seed=0)]
    assert found == sorted(member.macs for member in all_members.values())[:SMALLEST]


def test_the_least_of_a_large_space_are_smaller_than_what_chance_finds():
    space = SPACES["mobile"].bind(28, 1, 10)
    found = [space.decode(assignment).macs for assignment in least_macs(space, seed=0)]
    by_chance = min(space.decode(assignment).macs for assignment in members(space, 200, seed=5))
    assert found == sorted(found)
    assert found[0] < 0.8 * by_chance


@pytest.mark.parametrize("field", ["latency_ms", "macs", "params", "memory_bytes", "size_bytes"])
def test_a_budget_that_a_member_meets_exactly_is_feasible(field, bound_space, all_members, gauge):
    costs = [costs_within(member, Budgets(), {TARGET: gauge}, [TARGET]) for member in all_members.values()]
    least = min(getattr(cost, field) for cost in costs)
    limit = 1.02 * least if field == "latency_ms" else least
    budgets = Budgets(**{field: limit})
    member = require_feasible(bound_space, budgets, {TARGET: gauge}, seed=0)
    assert is_feasible(budgets.violations(costs_within(member, budgets, {TARGET: gauge}, [TARGET])))
    with pytest.raises(InvalidInput, match="must have a member within"):
        less = limit * 0.99 if field == "latency_ms" else limit - 1
        require_feasible(bound_space, Budgets(**{field: less}), {TARGET: gauge}, seed=0)


def test_nothing_is_timed_where_no_latency_is_limited(bound_space, gauge):
    require_feasible(bound_space, Budgets(macs=10**9), {TARGET: gauge}, seed=0)
    assert gauge.timed == []


def test_a_refusal_names_the_least_of_each_cost_that_was_reached(bound_space, all_members, gauge):
    least = min(member.params for member in all_members.values())
    with pytest.raises(InvalidInput) as refused:
        require_feasible(bound_space, Budgets(latency_ms=1e-4, params=least), {TARGET: gauge}, seed=0)
    assert f"params {format_count(least)}" in str(refused.value).partition("least found")[2]
    assert "latency 0.0" in str(refused.value).partition("least found")[2]
    assert "\n" not in str(refused.value)
