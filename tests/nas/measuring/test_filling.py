import pytest

from nas.measuring.filling import WIDTHS, filled
from nas.problem.budgets import Budgets
from search_spaces.zoo.handmade import patterns


@pytest.fixture
def pattern():
    return next(iter(patterns("mobilenet_v1", 28, 1, 10)))


@pytest.mark.parametrize("limit", [100_000, 1_000_000, 1_234_567])
def test_the_widest_network_within_the_budget_is_found_among_all(pattern, limit):
    expected = max((network for network in map(pattern.scaled, WIDTHS) if network.macs <= limit),
                   key=lambda network: network.macs)
    assert filled(pattern.scaled, Budgets(macs=limit), {}) == expected


def test_there_is_none_where_the_narrowest_network_exceeds_the_budget(pattern):
    assert filled(pattern.scaled, Budgets(macs=pattern.scaled(WIDTHS[0]).macs - 1), {}) is None


def test_few_networks_are_measured(pattern):
    asked = []

    def scaled(width):
        asked.append(width)
        return pattern.scaled(width)

    filled(scaled, Budgets(macs=1_000_000), {})
    assert len(asked) <= 6
