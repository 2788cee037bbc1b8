"""The costs of the members of a space, and whether budgets can be met at all, before anything is trained."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from nas.measuring.meters import CAREFUL, ROUGH, Gauges, costs_within
from nas.problem.budgets import Budgets, is_feasible
from nas.problem.costs import Costs
from nas.problem.quantities import QUANTITIES, format_latency_ms, limitable
from search_spaces.architecture import Architecture
from search_spaces.errors import InvalidInput, require
from search_spaces.search_space import Assignment, SearchSpace

PERCENTILES = (0, 10, 30, 50, 70, 100)
SAMPLE = 200
SMALLEST = 20
MOST_MEMBERS = 100_000
NEIGHBOURS_TIMED = 40

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Survey:
    """Costs of random members of a space: for each name of `limitable` a value per member, in the unit of storage."""

    values: dict[str, list[float]]

    def percentiles(self, name: str) -> list[float]:
        """Returns the `PERCENTILES` of a quantity."""
        return [float(value) for value in np.percentile(self.values[name], PERCENTILES)]


def members(space: SearchSpace, count: int, seed: int) -> list[Assignment]:
    """Returns assignments of random members, no two of one architecture, as far as the space has so many.

    Choices that make no network, as where a layer is left without a pixel, are passed over.

    Raises:
        InvalidInput: all choices that were drawn make no network, or more are asked for than anybody can wait for.
    """
    require(count <= MOST_MEMBERS, f"at most {MOST_MEMBERS} members of a space are drawn, but got {count}")
    generator = np.random.default_rng((seed, 2))
    found: dict[str, Assignment] = {}
    drawn = set()
    reason: InvalidInput | None = None
    for _ in range(20 * count):
        assignment = space.sample(generator)
        if (values := tuple(assignment.values())) not in drawn:
            drawn.add(values)
            try:
                found.setdefault(space.decode(assignment).id, assignment)
            except InvalidInput as error:
                reason = error
        if len(found) == count:
            break
    if not found:
        raise InvalidInput(f"a space must have a member that is a network, but: {reason}")
    return list(found.values())


def survey(space: SearchSpace, gauges: Gauges, seed: int, count: int = SAMPLE,
           progress: Progress = lambda what, done, total: None) -> Survey:
    """Returns the costs of random members on each target; without gauges only counts."""
    values: dict[str, list[float]] = {}
    sample = members(space, count, seed)
    for index, assignment in enumerate(sample):
        architecture = space.decode(assignment)
        costs = costs_within(architecture, Budgets(), gauges, tuple(gauges), (ROUGH,))
        for name, quantity, target in limitable(tuple(gauges)):
            if (value := costs.value(quantity, target)) is not None:
                values.setdefault(name, []).append(value)
        progress("measuring members of the space", index + 1, len(sample))
    return Survey(values)


def require_feasible(space: SearchSpace, budgets: Budgets, gauges: Gauges, seed: int,
                     progress: Progress = lambda what, done, total: None) -> Architecture:
    """Returns a small member that meets the budgets.

    The members of least MACs among random ones and their descendants are measured, then the neighbours of the best.

    Raises:
        InvalidInput: none of them meets the budgets; says the least that was found of every cost that is limited.
    """
    found: dict[str, float] = {}

    def first_within(assignments: Iterable[Assignment], total: int) -> Architecture | None:
        for index, assignment in enumerate(assignments):
            architecture = space.decode(assignment)
            costs = costs_within(architecture, budgets, gauges, budgets.timed, (ROUGH, CAREFUL))
            violations = budgets.violations(costs)
            if is_feasible(violations):
                return architecture
            _note_least(found, budgets, costs)
            progress("looking for a member within the budgets", index + 1, total)
        return None

    smallest = least_macs(space, seed)
    near = [neighbour for assignment in smallest[:2] for neighbour in space.neighbours(assignment)]
    near.sort(key=lambda assignment: space.decode(assignment).macs)
    within = first_within(smallest, SMALLEST) or first_within(near[:NEIGHBOURS_TIMED], NEIGHBOURS_TIMED)
    if within:
        return within
    least = ", ".join(f"{name} {budgets.limits[name].format(value)}" for name, value in found.items())
    raise InvalidInput(f"the space must have a member within {budgets}, but the least found among its smallest is "
                       f"{least}")


def least_macs(space: SearchSpace, seed: int) -> list[Assignment]:
    """Returns the `SMALLEST` members of least MACs among random ones and a descent from the least of them."""
    pool = members(space, SAMPLE, seed)

    def macs(assignment: Assignment) -> float:
        try:
            return space.decode(assignment).macs
        except InvalidInput:  # these choices make no network
            return math.inf

    current = min(pool, key=macs)
    for name, values in space.parameters.items():
        current = min(({**current, name: value} for value in values), key=macs)
        pool.append(current)
    unique = {space.decode(assignment).id: assignment for assignment in pool}
    return sorted(unique.values(), key=macs)[:SMALLEST]


def percentile_latency_ms(space: SearchSpace, gauges: Gauges, target: str, percentile: float, seed: int, count: int,
                          progress: Progress) -> float:
    """Returns a percentile of the latencies of random members on a target, in ms, to three significant digits."""
    measured = survey(space, {target: gauges[target]}, seed, count, progress).values["latency"]
    return float(format_latency_ms(float(np.percentile(measured, percentile))).removesuffix(" ms"))


def _note_least(found: dict[str, float], budgets: Budgets, costs: Costs) -> None:
    """Notes the best value of each limited cost: the least, or the largest where the limit is a lower one."""
    for name, limit in budgets.limits.items():
        value = costs.value(limit.quantity, limit.target)
        if value is not None:
            better = max if QUANTITIES[limit.quantity].lower else min
            found[name] = better(found.get(name, value), value)
