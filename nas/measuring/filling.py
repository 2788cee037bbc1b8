"""Networks that fill a budget: the widest within it, where only their widths differ."""

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
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
LONGER = 3  # times as many, where none of them fills the budget but some come near, or none is narrow enough
NEAR = 0.5  # of the budget
GUESSES = 3  # networks that are measured where the budget is likely to end, before the widths are halved
LEAST_GROWTH = 0.5  # the power of the multiply-adds by which costs are guessed to grow at least

Filling = tuple[Architecture, float]  # a network, and the largest share of a budget that it uses


def filled(scaled: Callable[[float], Architecture], budgets: Budgets, gauges: Gauges,
           widths: Sequence[float] = WIDTHS, precisions: Sequence[Precision] = (ROUGH, CAREFUL), share: float = 1.0
           ) -> Filling | None:
    """Returns the widest network within a share of the budgets, and the largest share of a budget that it uses.

    Costs are taken to grow with the width, so that few networks are measured: first where the costs of those before say
    that the budget is likely to end.

    Args:
        scaled: gives the network of a width multiplier; raises `InvalidInput` where there is none.
        budgets: what it must meet.
        gauges: what measures, for each target.
        widths: the multipliers, in ascending order.
        precisions: how exact latencies are to be, as `costs_within` takes them.
        share: of each limit that it may use.
    """
    network = cache(lambda place: _scaled(scaled, widths[place]))

    def macs(place: int) -> int:
        return one.macs if (one := network(place)) else 0

    best, low, high = None, 0, len(widths)
    known: list[tuple[float, float]] = []  # multiply-adds of what was measured, and the share of a budget that it uses
    while low < high:
        place = (low + high) // 2
        if 0 < len(known) <= GUESSES:
            place = max(low, bisect_right(range(high), _macs_within(known, share), low, key=macs) - 1)
        at = next((one for one in range(place, high) if network(one)), None)  # groups may not divide some widths
        if at is None or (tried := network(at)) is None:
            high = place
            continue
        violations = budgets.violations(costs_within(tried, budgets, gauges, budgets.timed, precisions))
        used = 1 + max(violations.values())
        known.append((tried.macs, used))
        if used <= share:
            best, low = (tried, used), at + 1
        else:
            high = place
    return best


def _scaled(scaled: Callable[[float], Architecture], width: float) -> Architecture | None:
    """Returns the network of a width; None where it is too narrow to be one, as where groups do not divide channels."""
    try:
        return scaled(width)
    except InvalidInput:
        return None


def _macs_within(known: Sequence[tuple[float, float]], share: float) -> float:
    """Returns the multiply-adds of a network that is likely to use a share of a budget.

    Costs are taken to be a power of the multiply-adds, through the two of `known` that use nearest to the share. Where
    different quantities were exceeded, that is a guess like any other.
    """
    (macs, used), *others = sorted(known, key=lambda one: abs(math.log(one[1] / share)))
    growth = 1.0
    if others and others[0][0] != macs:
        growth = max(math.log(others[0][1] / used) / math.log(others[0][0] / macs), LEAST_GROWTH)
    return macs * (share / used) ** (1 / growth)


def made_by_hand(resolution: int, channels: int, classes: int, budgets: Budgets, gauges: Gauges, progress: Progress,
                 shares: Sequence[float] = ()) -> dict[str, Filling]:
    """Returns published networks by name, put to the images of a search and widened until they fill its budgets.

    Of the patterns of each the one of most multiply-adds within the budgets has its name and comes first; the others
    come last, in case fewer multiply-adds do better. The first network comes again at its shortest for each of `shares`
    of the budgets, where it can be as narrow. Of a budget that none fills they use what the widest can.
    """
    found, others = dict[str, Filling](), dict[str, Filling]()
    wanted = [*((family, family, SHORTENED, 1.0) for family in BY_HAND),
              *((f"{BY_HAND[0]} at {share:.0%}", BY_HAND[0], (SHORTEST,), share) for share in shares)]
    for done, (name, family, ways, share) in enumerate(wanted):
        progress("filling the budget with published networks", done, len(wanted))
        fillings = {pattern.name: filled(pattern.scaled, budgets, gauges, share=share)
                    for pattern in patterns(family, resolution, channels, classes) if pattern.name.endswith(ways)}
        forms = {pattern: filling for pattern, filling in fillings.items() if filling}
        if forms:
            found[name] = max(forms.values(), key=lambda filling: filling[0].macs)
            others |= {pattern: filling for pattern, filling in forms.items() if filling[0] != found[name][0]}
    return found | others


def filled_members(space: SearchSpace, budgets: Budgets, gauges: Gauges, seed: int, count: int, progress: Progress,
                   shares: Sequence[float] = (), limit_s: float = math.inf) -> list[Architecture]:
    """Returns members of a space with a choice of width that fill a budget: of some, those of most multiply-adds.

    Among networks of one latency, multiply-adds tell as much of the accuracy as a brief training does. In place of the
    last ones is one member for each of `shares` of the budgets. There may be fewer than `count`, and none where the
    widths of the space do not reach `FULL` of the budget. Where none of the members does, but some come near, or none
    is narrow enough, more are drawn. After `limit_s` seconds no more are.
    """
    found: dict[Architecture, None] = {}
    end_s = time.monotonic()
    for place, (share, wanted) in enumerate(((1.0, count - len(shares)), *((share, 1) for share in shares))):
        drawn: dict[Architecture, float] = {}
        most, attempts = 0.0, ATTEMPTS * wanted
        end_s += limit_s * wanted / count
        fillings = islice(random_fillings(space, budgets, gauges, seed, share, place), LONGER * attempts)
        for done, filling in enumerate(fillings, 1):
            drawn.update([filling] if filling else [])
            most = max(drawn.values(), default=0.0) / share
            progress("filling the budget with members of the space", done, max(done, attempts))
            near = NEAR <= most < FULL or not drawn
            if time.monotonic() >= end_s or (done >= attempts and not near):
                break
        full = [network for network, used in drawn.items() if used >= FULL * share]
        found |= dict.fromkeys(sorted(full, key=lambda network: -network.macs)[:wanted])
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
