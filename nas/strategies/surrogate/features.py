"""The members of a space as a model sees them: features of the choices that matter, and of exact costs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nas.strategies.strategy import Key, choices_that_matter
from search_spaces.architecture import Architecture
from search_spaces.errors import InvalidInput
from search_spaces.search_space import Assignment, SearchSpace

EXACT = ("macs", "params", "memory")  # the quantities that follow from the text of an architecture
LISTED = 10_000  # combinations of choices up to which all members are listed
LEVELS = 6  # resolutions of a network, from the input's down, that are told apart
REFERENCE = 200  # random members by whose spread costs are scaled
LEAST_SPREAD = 1e-6  # of a logarithm among them; below it is rounding
COST_SCALE = 0.75  # the standard deviation of a cost among them, as a share of the distance between two choices

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Member:
    """An architecture of a space.

    Attributes:
        assignment: a value for every parameter.
        id: the id of the architecture.
        costs: the exact costs by the names of `EXACT`; memory only where it was asked for.
        choices: for each value of each parameter 1 where it is chosen and matters; then for each parameter of numbers
            the place of the chosen one in their order, from 0 to 1.
        logarithms: of multiply-adds, parameters and operations, in all and at each resolution.
    """

    assignment: Assignment
    id: str
    costs: Mapping[str, float]
    choices: Matrix = field(repr=False)
    logarithms: Matrix = field(repr=False)


class Members:
    """Makes the members of a space, and keeps those that are met again."""

    def __init__(self, space: SearchSpace, memory: bool) -> None:
        """Takes the space, and whether the memory is among the costs; finding that one takes time."""
        self.space = space
        self._memory = memory
        self._known: dict[Key, Member | None] = {}
        self._by_text: dict[str, Member | None] = {}
        self._drawn: dict[int, list[Member]] = {}
        pairs = [(name, value) for name, values in space.parameters.items() for value in values]
        self._columns = {pair: column for column, pair in enumerate(pairs)}
        numeric = {name: sorted(values, key=float) for name, values in space.parameters.items()
                   if not any(isinstance(value, str) for value in values)}
        self._places = {name: {value: place / (len(order) - 1) for place, value in enumerate(order)}
                        for name, order in numeric.items()}

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """The group `[D]` of each feature: the values of a parameter are one, each cost is its own."""
        index = {name: index for index, name in enumerate(self.space.parameters)}
        return np.array([*(index[name] for name, _ in self._columns), *(index[name] for name in self._places),
                         *(len(index) + np.arange(3 * (1 + LEVELS)))])

    @property
    def macs(self) -> int:
        """The feature that is the multiply-adds of a whole network."""
        return len(self._columns) + len(self._places)

    def features(self, members: Sequence[Member]) -> Matrix:
        """Returns the features of members `[M, D]`."""
        mean, spread = self._spread
        choices, logarithms = (np.concatenate(rows).reshape(len(members), -1) for rows in
                               ([member.choices for member in members], [member.logarithms for member in members]))
        return np.concatenate([choices, COST_SCALE * (logarithms - mean) / spread], axis=1)

    def of(self, assignment: Assignment) -> Member | None:
        """Returns the member of an assignment, or None where the choices make no network; it is kept."""
        active = choices_that_matter(self.space, assignment)
        if active not in self._known:
            self._known[active] = self._made(assignment)
        return self._known[active]

    def of_text(self, text: str) -> Member | None:
        """Returns the member of a canonical text, or None if the space lacks it."""
        if text not in self._by_text:
            assignment = self.space.encode(Architecture.parse(text))
            self._by_text[text] = self.of(assignment) if assignment else None
        return self._by_text[text]

    @cached_property
    def listed(self) -> list[Member] | None:
        """The members of the space, or None if they are more than `LISTED`."""
        assignments = self.space.enumerated(LISTED)
        return None if assignments is None else self.distinct(assignments)

    def drawn(self, count: int) -> list[Member]:
        """Returns random members, the same ones every time."""
        if count not in self._drawn:
            generator = np.random.default_rng(count)
            self._drawn[count] = self.distinct(self.space.sample(generator) for _ in range(count))
        return self._drawn[count]

    def distinct(self, assignments: Iterable[Assignment]) -> list[Member]:
        """Returns the members of assignments, each architecture once; they are not kept."""
        found = (self._made(assignment) for assignment in assignments)
        return list({member.id: member for member in found if member}.values())

    @cached_property
    def _spread(self) -> tuple[Matrix, Matrix]:
        """The mean and the standard deviation of the logarithms of costs; 1 where all are equal."""
        logarithms = np.stack([member.logarithms for member in self.drawn(REFERENCE)])
        spread = logarithms.std(axis=0)
        return logarithms.mean(axis=0), np.where(spread > LEAST_SPREAD, spread, 1.0)

    def _made(self, assignment: Assignment) -> Member | None:
        try:
            architecture = self.space.decode(assignment)
        except InvalidInput:
            return None
        active, values = self.space.active(assignment), np.zeros(len(self._columns))
        values[[self._columns[choice] for choice in active.items()]] = 1
        places = [place[active[name]] if name in active else 0.0 for name, place in self._places.items()]
        counts = np.zeros((3, 1 + LEVELS))
        level, resolution = 0, architecture.input.resolution
        for program in architecture.block_programs:
            if program.output_shape[0] != resolution:
                level, resolution = min(level + 1, LEVELS - 1), program.output_shape[0]
            counts[:, 1 + level] += program.macs, program.params, len(program.operations)
        counts[:, 0] = counts.sum(axis=1)
        costs = {"macs": counts[0, 0], "params": counts[1, 0]}
        if self._memory:
            costs["memory"] = float(architecture.memory_bytes)
        return Member(dict(assignment), architecture.id, costs, np.append(values, places), np.log1p(counts).ravel())
