"""Networks that fill a budget: of those that differ in width only, the widest one within it."""

from collections.abc import Callable, Sequence

from evaluators.latency import Precision
from nas.measuring.meters import CAREFUL, ROUGH, Gauges, costs_within
from nas.problem.budgets import Budgets, is_feasible
from search_spaces.architecture import Architecture
from search_spaces.errors import InvalidInput

STEPS_AN_OCTAVE = 8
WIDTHS = tuple(2 ** (step / STEPS_AN_OCTAVE) for step in range(-4 * STEPS_AN_OCTAVE, 2 * STEPS_AN_OCTAVE + 1))


def filled(scaled: Callable[[float], Architecture], budgets: Budgets, gauges: Gauges,
           precisions: Sequence[Precision] = (ROUGH, CAREFUL)) -> Architecture | None:
    """Returns the widest network within the budgets, of those from a sixteenth to four times the width.

    Costs are taken to grow with the width, so that six networks are measured instead of all.

    Args:
        scaled: gives the network of a width multiplier; raises `InvalidInput` where there is none.
        budgets: what it must meet.
        gauges: what measures, for each target.
        precisions: how exact latencies are to be, as `costs_within` takes them.
    """
    best, low, high = None, 0, len(WIDTHS)
    while low < high:
        middle = (low + high) // 2
        try:
            network = scaled(WIDTHS[middle])
        except InvalidInput:  # too narrow to be a network, as where groups do not divide the channels
            low = middle + 1
            continue
        costs = costs_within(network, budgets, gauges, budgets.timed, precisions)
        if is_feasible(budgets.violations(costs)):
            best, low = network, middle + 1
        else:
            high = middle
    return best
