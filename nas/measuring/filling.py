"""Networks that fill a budget: the widest within it, where only their widths differ."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

import numpy as np

from evaluators.latency import Precision
from nas.measuring.meters import CAREFUL, ROUGH, Gauges, costs_within
from nas.measuring.survey import Progress
from nas.problem.budgets import Budgets
from search_spaces.architecture import Architecture
from search_spaces.errors import InvalidInput
from search_spaces.search_space import Assignment, SearchSpace
from search_spaces.zoo.handmade import patterns

STEPS_AN_OCTAVE = 8
WIDTHS = tuple(2 ** (step / STEPS_AN_OCTAVE) for step in range(-4 * STEPS_AN_OCTAVE, 2 * STEPS_AN_OCTAVE + 1))
WIDTH = "width"  # the choice of a space that multiplies its channels
BY_HAND = ("mobilenet_v1", "efficientnet_lite0", "mobilenext")  # which a search tries
SHORTEST = "1 layer a stage, no tail"
SHORTENED = "2 layers a stage, no tail", SHORTEST  # the patterns of each that it tries
SHARES = (0.5, 0.25)  # of the budgets, that the first of them fills at its shortest where a search wants a front
FILLING = 8  # members that a search begins with
LESS = (2 / 3, 1 / 2, 1 / 3)  # of the budgets, that the last of them fill where it wants a front
FULL = 0.9  # the least share of a budget that a network uses which fills it
ATTEMPTS = 6  # random members for each that is kept
LONGER = 3  # times as many, where none of them fills the budget but some come near
NEAR = 0.5  # of the budget

Filling = tuple[Architecture, float]  # a network, and the largest share of a budget that it uses


def filled(scaled: Callable[[float], Architecture], budgets: Budgets, gauges: Gauges,
           widths: Sequence[float] = WIDTHS, precisions: Sequence[Precision] = (ROUGH, CAREFUL), share: float = 1.0
           ) -> Filling | None:
    """Returns the widest network within a share of the budgets, and the largest share of a budget that it uses.

    Costs are taken to grow with the width, so that few networks are measured.

    Args:
        scaled: gives the network of a width multiplier; raises `InvalidInput` where there is none.
        budgets: what it must meet.
        gauges: what measures, for each target.
        widths: the multipliers, in ascending order.
        precisions: how exact latencies are to be, as `costs_within` takes them.
        share: of each limit that it may use.
    """
    best, low, high = None, 0, len(widths)
    while low < high:
        middle = (low + high) // 2
        try:
            network = scaled(widths[middle])
        except InvalidInput:  # too narrow to be a network, as where groups do not divide the channels
            low = middle + 1
            continue
        violations = budgets.violations(costs_within(network, budgets, gauges, budgets.timed, precisions))
        used = 1 + max(violations.values())
        if used <= share:
            best, low = (network, used), middle + 1
        else:
            high = middle
    return best


def made_by_hand(resolution: int, channels: int, classes: int, budgets: Budgets, gauges: Gauges, progress: Progress,
                 shares: Sequence[float] = ()) -> dict[str, Architecture]:
    """Returns published networks by name, put to the images of a search and widened until they fill its budgets.

    Of the patterns of each the one of most multiply-adds within the budgets has its name and comes first; the others
    come last, in case fewer multiply-adds do better. The first network comes again at its shortest for each of `shares`
    of the budgets, where it can be as narrow.
    """
    found, others = dict[str, Architecture](), dict[str, Architecture]()
    wanted = [*((family, family, SHORTENED, 1.0) for family in BY_HAND),
              *((f"{BY_HAND[0]} at {share:.0%}", BY_HAND[0], (SHORTEST,), share) for share in shares)]
    for done, (name, family, ways, share) in enumerate(wanted):
        progress("filling the budget with published networks", done, len(wanted))
        fillings = {pattern.name: filled(pattern.scaled, budgets, gauges, share=share)
                    for pattern in patterns(family, resolution, channels, classes) if pattern.name.endswith(ways)}
        networks = {pattern: filling[0] for pattern, filling in fillings.items() if filling}
        if networks:
            found[name] = max(networks.values(), key=lambda network: network.macs)
            others |= {pattern: network for pattern, network in networks.items() if network != found[name]}
    return found | others


def filled_members(space: SearchSpace, budgets: Budgets, gauges: Gauges, seed: int, count: int, progress: Progress,
                   shares: Sequence[float] = ()) -> list[Architecture]:
    """Returns members of a space with a choice of width that fill a budget: of some, those of most multiply-adds.

    Among networks of one latency, multiply-adds tell as much of the accuracy as a brief training does. In place of the
    last ones is one member for each of `shares` of the budgets. There may be fewer than `count`, and none where the
    widths of the space do not reach `FULL` of the budget. Where none of the members does, but some come near, more are
    drawn.
    """
    found: dict[Architecture, None] = {}
    for place, (share, wanted) in enumerate(((1.0, count - len(shares)), *((share, 1) for share in shares))):
        drawn: dict[Architecture, float] = {}
        most, attempts = 0.0, ATTEMPTS * wanted
        fillings = islice(random_fillings(space, budgets, gauges, seed, share, place), LONGER * attempts)
        for done, filling in enumerate(fillings, 1):
            drawn.update([filling] if filling else [])
            most = max(drawn.values(), default=0.0) / share
            progress("filling the budget with members of the space", done, max(done, attempts))
            if done >= attempts and not NEAR <= most < FULL:
                break
        if most >= FULL:
            found |= dict.fromkeys(sorted(drawn, key=lambda network: -network.macs)[:wanted])
    return list(found)


def random_fillings(space: SearchSpace, budgets: Budgets, gauges: Gauges, seed: int, share: float = 1.0,
                    place: int = 0) -> Iterator[Filling | None]:
    """Yields random members of a space, `filled` over its widths, without end; none where it has no such choice.

    Those of another place are others.
    """
    widths = sorted(map(float, space.parameters.get(WIDTH, ())))
    generator = np.random.default_rng((seed, 3, place) if place else (seed, 3))
    while widths:
        yield filled(partial(_of_width, space, space.sample(generator)), budgets, gauges, widths, share=share)


def _of_width(space: SearchSpace, assignment: Assignment, width: float) -> Architecture:
    return space.decode(assignment | {WIDTH: width})
