from itertools import islice

import numpy as np
import pytest

from evaluators.latency import Latency
from nas.measuring.filling import (
    ATTEMPTS,
    BY_HAND,
    FULL,
    LESS,
    SHARES,
    WIDTHS,
    filled,
    filled_members,
    made_by_hand,
    random_fillings,
)
from nas.measuring.meters import CAREFUL
from nas.problem.budgets import Budgets
from search_spaces import SPACES, Architecture
from search_spaces.zoo.handmade import patterns

LIMIT = 1_234_567


def silent(what, done, total):
    pass


@pytest.fixture
def pattern():
    return next(iter(patterns("mobilenet_v1", 28, 1, 10)))


@pytest.mark.parametrize("limit", [100_000, 1_000_000, LIMIT])
def test_the_widest_network_within_the_budget_is_found_among_all(pattern, limit):
    expected = max((network for network in map(pattern.scaled, WIDTHS) if network.macs <= limit),
                   key=lambda network: network.macs)
    network, share = filled(pattern.scaled, Budgets(macs=limit), {})
    assert network == expected
    assert share == pytest.approx(expected.macs / limit)


@pytest.mark.parametrize("limit", range(20_000, 400_000, 20_000))
def test_widths_that_groups_do_not_divide_are_passed_over(limit):
    widths, text = [0.5, 0.75, 1, 1.25, 1.5, 2], "in_r28_c1+conv_k3_c{}_s2_relu+conv_k3_c{}_s2_relu_g32+fc_n10"

    def scaled(width):
        return Architecture.parse(text.format(int(64 * width), int(64 * width)))

    fitting = [network for width in (0.5, 1, 1.5, 2) if (network := scaled(width)).macs <= limit]
    found = filled(scaled, Budgets(macs=limit), {}, widths)
    assert (found and found[0]) == (fitting[-1] if fitting else None)


def test_there_is_none_where_the_narrowest_network_exceeds_the_budget(pattern):
    assert filled(pattern.scaled, Budgets(macs=pattern.scaled(WIDTHS[0]).macs - 1), {}) is None


@pytest.mark.parametrize("latency_ms", [
    lambda macs: macs / 1e6, lambda macs: 0.05 + macs / 1e7, lambda macs: (macs / 1e6) ** 0.5],
    ids=["proportional", "with a fixed part", "a root"])
@pytest.mark.parametrize("name", BY_HAND)
def test_the_widest_network_by_latency_is_found_among_all_with_fewer_timings_than_halving(name, latency_ms):
    class Timed:
        timed = 0

        def size_bytes(self, architecture):
            return 4 * architecture.params

        def latency(self, architecture, precision):
            self.timed += 1
            found_ms = latency_ms(architecture.macs)
            return Latency(found_ms, (1 - precision.half_width) * found_ms, (1 + precision.half_width) * found_ms,
                           found_ms, 10, 0.0, 0.1, 0.1, 0.0)

    gauge, limits_ms, halvings = Timed(), np.geomspace(0.06, 5, 12), 0
    for pattern in patterns(name, 28, 1, 10):
        networks = [pattern.scaled(width) for width in WIDTHS]
        for limit_ms in limits_ms:
            found = filled(pattern.scaled, Budgets(latency_ms=limit_ms), {"onnxruntime": gauge}, precisions=(CAREFUL,))
            within = [one for one in networks if gauge.latency(one, CAREFUL).high_ms <= limit_ms]
            gauge.timed -= len(networks)
            assert (found and found[0].macs) == (within[-1].macs if within else None)
            halvings += np.log2(len(WIDTHS))
    assert gauge.timed < 0.7 * halvings


def test_the_latency_that_a_meter_gives_is_filled_too(pattern, gauge):
    (target, limit_ms) = ("onnxruntime", gauge.latency(pattern.scaled(0.5), None).median_ms * 1.1)
    network, share = filled(pattern.scaled, Budgets(latency_ms=limit_ms), {target: gauge})
    assert gauge.latency(network, None).high_ms <= limit_ms
    assert 0.8 < share <= 1


def test_every_family_that_fits_the_budget_is_made_by_hand():
    found = made_by_hand(28, 1, 10, Budgets(macs=LIMIT), {}, silent)
    assert list(found)[:3] == list(BY_HAND)
    assert all(0.5 * LIMIT < network.macs <= LIMIT for network, _ in found.values())
    assert all(used == network.macs / LIMIT for network, used in found.values())
    assert made_by_hand(28, 1, 10, Budgets(macs=1000), {}, silent) == {}


def test_of_the_patterns_of_a_family_the_one_of_most_multiply_adds_comes_first_and_the_other_last(gauge):
    limit_ms = gauge.latency(next(iter(patterns("mobilenet_v1", 28, 1, 10))).scaled(0.5), None).median_ms
    budgets, gauges = Budgets(latency_ms=limit_ms), {"onnxruntime": gauge}
    ways = {pattern.name: filled(pattern.scaled, budgets, gauges) for pattern in patterns("mobilenet_v1", 28, 1, 10)}
    full = {name.partition(", ")[2]: filling[0] for name, filling in ways.items() if filling}
    less, most = sorted((full["1 layer a stage, no tail"], full["2 layers a stage, no tail"]), key=lambda one: one.macs)
    found = made_by_hand(28, 1, 10, budgets, gauges, silent)
    assert found["mobilenet_v1"][0] == most
    last = [network for name, (network, _) in found.items() if name.startswith("mobilenet_v1, ")]
    assert last == [less] and set(list(found)[:3]) == set(BY_HAND)


def test_the_first_family_is_made_for_shares_of_the_budget_too_where_it_can_be_as_narrow():
    whole, half, quarter = (BY_HAND[0], *(f"{BY_HAND[0]} at {share:.0%}" for share in SHARES))
    found = made_by_hand(28, 1, 10, Budgets(macs=LIMIT, params=10**9), {}, silent, SHARES)
    assert set(list(found)[:5]) == {*BY_HAND, half, quarter}
    macs = {name: network.macs for name, (network, _) in found.items()}
    assert LIMIT / 8 < macs[quarter] <= LIMIT / 4 < macs[half] <= LIMIT / 2 < macs[whole] <= LIMIT
    least = next(iter(patterns(BY_HAND[0], 28, 1, 10))).scaled(WIDTHS[0]).macs
    assert half not in made_by_hand(28, 1, 10, Budgets(macs=least), {}, silent, SHARES)


def test_members_fill_the_budget_and_are_those_of_the_seed():
    space = SPACES["fitted"].bind(28, 1, 10)
    found = filled_members(space, Budgets(macs=LIMIT), {}, seed=0, count=5, progress=silent)
    assert len(found) == len(set(found)) == 5
    assert all(0.9 * LIMIT <= network.macs <= LIMIT and network in space for network in found)
    assert found == filled_members(space, Budgets(macs=LIMIT), {}, seed=0, count=5, progress=silent)
    assert found != filled_members(space, Budgets(macs=LIMIT), {}, seed=1, count=5, progress=silent)


def test_of_the_members_that_fill_a_budget_those_of_most_multiply_adds_are_kept():
    space, budgets = SPACES["fitted"].bind(28, 1, 10), Budgets(memory_bytes=60_000)
    drawn = dict(filter(None, islice(random_fillings(space, budgets, {}, 0), 5 * ATTEMPTS)))
    full = {network for network, used in drawn.items() if used >= FULL}
    found = filled_members(space, budgets, {}, seed=0, count=5, progress=silent)
    assert set(found) < full < set(drawn)
    assert min(network.macs for network in found) > max(network.macs for network in full - set(found))


def test_where_a_front_is_wanted_the_last_members_fill_shares_of_the_budget():
    space = SPACES["fitted"].bind(28, 1, 10)
    found = filled_members(space, Budgets(macs=LIMIT), {}, seed=1, count=5, progress=silent, shares=LESS)
    assert found[:2] == filled_members(space, Budgets(macs=LIMIT), {}, seed=1, count=2, progress=silent)
    assert len({network.text for network in found}) == 5
    for network, share in zip(found[2:], LESS, strict=True):
        assert 0.9 * share * LIMIT <= network.macs <= share * LIMIT


def test_more_members_are_drawn_where_none_fills_the_budget_but_some_come_near():
    space, drawn = SPACES["fitted"].bind(28, 1, 10), []
    few = [filling[1] for filling in islice(random_fillings(space, Budgets(macs=LIMIT), {}, 13), ATTEMPTS) if filling]
    assert 0.5 < max(few) < 0.9
    found = filled_members(space, Budgets(macs=LIMIT), {}, 13, 1, lambda what, done, total: drawn.append(done))
    assert len(found) == 1 and ATTEMPTS < len(drawn) <= 3 * ATTEMPTS


def test_more_members_are_drawn_where_none_is_narrow_enough():
    space, drawn, tight = SPACES["fitted"].bind(28, 1, 10), [], Budgets(macs=LIMIT // 4)
    assert not any(islice(random_fillings(space, tight, {}, 9), ATTEMPTS))
    found = filled_members(space, tight, {}, 9, 1, lambda what, done, total: drawn.append(done))
    assert len(found) == 1 and ATTEMPTS < len(drawn) <= 3 * ATTEMPTS


def test_a_budget_out_of_reach_of_the_widths_is_filled_by_no_member_and_no_more_are_drawn():
    space, drawn = SPACES["fitted"].bind(28, 1, 10), []
    largest = max(space.decode(space.sample(np.random.default_rng(seed))).macs for seed in range(200))
    assert filled_members(space, Budgets(macs=100 * largest), {}, 0, 2, lambda *given: drawn.append(given)) == []
    assert len(drawn) == 2 * ATTEMPTS


def test_no_more_members_are_drawn_when_the_time_is_over():
    space, drawn = SPACES["fitted"].bind(28, 1, 10), []
    filled_members(space, Budgets(macs=LIMIT), {}, 0, 2, lambda what, done, total: drawn.append(done), LESS[:1],
                   limit_s=0)
    assert drawn == [1, 1]


def test_a_space_without_a_choice_of_width_has_no_members_to_fill_it(bound_space):
    narrow = type(bound_space)((), bound_space.input, bound_space.stages)
    assert filled_members(narrow, Budgets(macs=LIMIT), {}, seed=0, count=2, progress=silent) == []
