"""The members of a space as a model sees them: features of the choices that matter, and exact costs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from search_spaces.architecture import Architecture
from search_spaces.errors import InvalidInput
from search_spaces.space import Assignment, SearchSpace, Value

EXACT = ("macs", "params", "memory")  # the quantities that follow from the text of an architecture
LOG_SCALE = 0.5  # a cost e times as large is as far away as half of a choice

Matrix = NDArray[np.float64]
Key = tuple[tuple[str, Value], ...]


@dataclass(frozen=True, eq=False)
class Member:
    """An architecture of a space.

    Attributes:
        assignment: a value for every parameter.
        id: the id of the architecture.
        costs: the exact costs by the names of `EXACT`, as far as they were asked for.
        features: what a model is told `[D]`.
    """

    assignment: Assignment
    id: str
    costs: Mapping[str, float]
    features: Matrix = field(repr=False)


class Members:
    """Makes and keeps the members of a space.

    A parameter of numbers is a feature from 0 to 1 in their order, one of words a feature for each word. A choice that
    does not matter under the others is 0 in all of them, and so are choices that are absent everywhere. Two more
    features are the logarithms of multiply-adds and parameters.
    """

    def __init__(self, space: SearchSpace, memory: bool) -> None:
        """Takes the space, and whether the memory is among the costs; that one takes time."""
        self.space = space
        self._memory = memory
        self._known: dict[Key, Member | None] = {}
        self._by_text: dict[str, Member | None] = {}
        self._columns: dict[tuple[str, Value], tuple[int, float]] = {}
        groups: list[int] = []
        for group, (name, values) in enumerate(space.parameters.items()):
            if len(values) > 2 and not any(isinstance(value, str) for value in values):
                order = sorted(values, key=float)
                steps = {value: (len(groups), 0.25 + 0.75 * place / (len(values) - 1))
                         for place, value in enumerate(order)}
                groups.append(group)
            else:
                steps = {value: (len(groups) + place, 1.0) for place, value in enumerate(values)}
                groups += [group] * len(values)
            self._columns |= {(name, value): step for value, step in steps.items()}
        self._width = len(groups)
        self.groups = np.array([*groups, len(space.parameters), len(space.parameters) + 1])

    def of(self, assignment: Assignment) -> Member | None:
        """Returns the member of an assignment, or None where the choices make no network."""
        active = tuple(self.space.active(assignment).items())
        if active not in self._known:
            try:
                self._known[active] = self._made(assignment, active, self.space.decode(assignment))
            except InvalidInput:
                self._known[active] = None
        return self._known[active]

    def of_text(self, text: str) -> Member | None:
        """Returns the member of a canonical text, or None if the space lacks it."""
        if text not in self._by_text:
            assignment = self.space.encode(Architecture.parse(text))
            self._by_text[text] = self.of(assignment) if assignment else None
        return self._by_text[text]

    @lru_cache(maxsize=1)  # noqa: B019 - these live as long as the process in any case
    def listed(self, limit: int) -> list[Member] | None:
        """Returns all members, or None if they are more than `limit`."""
        assignments = self.space.enumerated(limit)
        return None if assignments is None else self.distinct(assignments)

    @lru_cache(maxsize=1)  # noqa: B019
    def drawn(self, count: int) -> list[Member]:
        """Returns random members, the same ones every time."""
        generator = np.random.default_rng(count)
        return self.distinct(self.space.sample(generator) for _ in range(count))

    def distinct(self, assignments: Iterable[Assignment]) -> list[Member]:
        """Returns the members of assignments, each architecture once."""
        found = (self.of(assignment) for assignment in assignments)
        return list({member.id: member for member in found if member}.values())

    def _made(self, assignment: Assignment, active: Key, architecture: Architecture) -> Member:
        features = np.zeros(self._width + 2)
        for choice in active:
            column, value = self._columns[choice]
            features[column] = value
        costs = {"macs": float(architecture.macs), "params": float(architecture.params)}
        features[-2:] = LOG_SCALE * np.log([costs["macs"] + 1, costs["params"] + 1])
        if self._memory:
            costs["memory"] = float(architecture.memory_bytes)
        return Member(dict(assignment), architecture.id, costs, features)


@lru_cache(maxsize=8)
def members_of(space: SearchSpace, memory: bool) -> Members:
    """Returns the members of a space; kept, since a sampler lives for one trial only."""
    return Members(space, memory)
