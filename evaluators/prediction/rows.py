"""Measured networks: the rows that a predictor is learned from."""

from collections.abc import Iterable
from typing import NamedTuple

from search_spaces.architecture import Architecture
from search_spaces.errors import require

SHORTEST_MS, LONGEST_MS = 1e-6, 86_400_000.0  # that any network takes on any device


class Row(NamedTuple):
    """A measured network; wherever rows are taken, pairs of the first two are too."""

    architecture: Architecture
    latency_ms: float
    reference_ms: float = 0.0  # of the reference model beside it (`Latency.quiet_reference_ms`); 0 if there was none


Measured = Row | tuple[Architecture, float]


def checked(rows: Iterable[Measured]) -> tuple[Row, ...]:
    """Returns rows; raises `InvalidInput` with the number of one whose time nothing takes."""
    found = tuple(Row(row[0], *map(float, row[1:])) for row in rows)
    for number, (architecture, latency_ms, reference_ms) in enumerate(found, 1):
        for time_ms in (latency_ms, *([reference_ms] if reference_ms else [])):
            require_physical(time_ms, f"in row {number}, '{architecture}'")
    return found


def require_physical(time_ms: float, where: str) -> None:
    """Raises `InvalidInput` for a time in ms that no run of a network takes; `where` says of which it is."""
    require(SHORTEST_MS <= time_ms <= LONGEST_MS,
            f"a network takes from a nanosecond to a day, but got {time_ms:g} ms {where}")
