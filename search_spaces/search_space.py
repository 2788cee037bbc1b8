"""SearchSpace: the protocol of a set of architectures that can be searched."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from search_spaces.architecture import Architecture

Value = int | float | str
Assignment = dict[str, Value]


class Trial(Protocol):
    """The part of an Optuna trial that a space needs."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Returns the chosen value of `choices`."""
        ...


class SearchSpace(Protocol):
    """A set of architectures as a search needs it: a `Space`, or the networks of a table."""

    def __hash__(self) -> int:
        ...

    @property
    def text(self) -> str:
        """The text that identifies the space."""
        ...

    @property
    def parameters(self) -> Mapping[str, tuple[Value, ...]]:
        """The choices by name: always the same ones, whatever was chosen for the others."""
        ...

    @property
    def size(self) -> int:
        """The number of architectures."""
        ...

    def suggest(self, trial: Trial) -> Assignment:
        """Returns a value for every parameter, asked of an Optuna trial."""
        ...

    def sample(self, generator: np.random.Generator) -> Assignment:
        """Returns a uniformly random value for every parameter."""
        ...

    def decode(self, assignment: Mapping[str, Value]) -> Architecture:
        """Returns the architecture of an assignment; raises `InvalidInput` where the choices make no network."""
        ...

    def nearest(self, assignment: Assignment, seen: Iterable[str]) -> Architecture:
        """Returns the architecture of a proposal; a space that lacks it may give another one, near and not seen yet.

        Args:
            assignment: a value for every parameter.
            seen: the ids of the architectures that were met.

        Raises:
            InvalidInput: the choices make no network, and there is none to take its place.
        """
        ...

    def encode(self, architecture: Architecture) -> Assignment | None:
        """Returns an assignment that decodes to the architecture, or None if there is none."""
        ...

    def active(self, assignment: Mapping[str, Value]) -> Assignment:
        """Returns the choices that matter under the others; equal ones make equal architectures."""
        ...

    def neighbours(self, assignment: Assignment) -> Iterator[Assignment]:
        """Yields the assignments that differ in one parameter and decode to another architecture."""
        ...

    def enumerated(self, limit: int) -> list[Assignment] | None:
        """Returns an assignment for every member, or None if there are more than `limit`."""
        ...
