"""The time of each block of a network on a target, measured by leaving off all that comes after it.

A beginning of the network ends in a global pool and a dense layer, the simplest classifier; what a block takes is the
time of the beginning with it less that of the beginning without it. The first beginning has no block at all: it takes
what every run does. The last one is the whole network with its own end. So the times add up to that of the network,
whatever a runtime fuses, and any runtime that is timed on this machine can be asked.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.latency import Latency
from evaluators.machine.files import write_whole
from evaluators.runtimes import Place, parse_target, runtime_of
from nas.measuring.meters import CLOSE, Gauge, file_gauge
from search_spaces.architecture import Architecture
from search_spaces.blocks.plain import Classifier
from search_spaces.documents import read_json, refused
from search_spaces.errors import require

BLOCKS = "blocks.json"  # of a run: network -> target -> the latencies of its beginnings


@dataclass(frozen=True)
class BlockTimes:
    """The latencies of the beginnings of a network on a target, that without any block first, the network last."""

    target: str
    beginnings: tuple[Latency, ...]

    @property
    def least_ms(self) -> float:
        """The time of a run without any block."""
        return self.beginnings[0].median_ms

    @property
    def whole_ms(self) -> float:
        """The time of the whole network."""
        return self.beginnings[-1].median_ms

    @property
    def blocks_ms(self) -> list[tuple[float, float]]:
        """The time of each block, and half of the 95 % interval of that difference."""
        return [(after.median_ms - before.median_ms, math.hypot(*((one.high_ms - one.low_ms) / 2
                                                                  for one in (before, after))))
                for before, after in itertools.pairwise(self.beginnings)]

    @property
    def doubtful(self) -> tuple[Latency, ...]:
        """The latencies that have something to their doubt."""
        return tuple(one for one in self.beginnings if one.flags)


def beginnings(architecture: Architecture) -> list[Architecture]:
    """Returns the beginnings of a network, that without any block first, the whole network last."""
    end = Classifier(architecture.classes)
    return [*(Architecture(architecture.input, (*architecture.blocks[:count], end))
              for count in range(len(architecture.blocks))), architecture]


def time_blocks(architecture: Architecture, target: str, record: Path | None = None,
                progress: Callable[[str, int, int], None] = lambda what, done, total: None,
                gauge: Gauge | None = None) -> BlockTimes:
    """Returns the times of the blocks of a network on a target; recorded blocks are not timed again.

    Args:
        architecture: the network.
        target: the canonical text of the target.
        record: the file of a run that they are recorded in, if they are to be.
        progress: is told how far it has come.
        gauge: what times; by default files of the target's runtime in a process of its own.

    Raises:
        InvalidInput: a target that is not timed on this machine, or a record of something else.
        MeasurementFailed: a beginning cannot be timed.
    """
    require(runtime_of(parse_target(target)).place in (Place.HERE, Place.APART),
            f"blocks are timed on targets of this machine, but got '{target}'")
    if record is not None and (known := recorded_times(record, architecture, target)):
        return known
    if gauge is None:
        with file_gauge(parse_target(target)) as own:
            return time_blocks(architecture, target, record, progress, own)
    found: dict[str, Latency] = {}
    parts = beginnings(architecture)
    for index, part in enumerate(parts):
        progress(f"timing blocks on {target}", index, len(parts))
        if part.text not in found:  # a network may end in the simplest classifier itself
            found[part.text] = gauge.latency(part, CLOSE)
    times = BlockTimes(target, tuple(found[part.text] for part in parts))
    if record is not None:
        stored = read_blocks(record)
        stored.setdefault(architecture.text, {})[target] = [dataclasses.asdict(one) for one in times.beginnings]
        write_whole(record, (json.dumps(stored, indent=1) + "\n").encode())
    return times


def recorded_times(record: Path, architecture: Architecture, target: str) -> BlockTimes | None:
    """Returns the times of the blocks of a network on a target as they are recorded; None where they are not."""
    rows = read_blocks(record).get(architecture.text, {}).get(target)
    if rows is None:
        return None
    with refused(f"the record of blocks must be as a report has written it, but '{record}' is not"):
        times = BlockTimes(target, tuple(map(Latency.stored, rows)))
        require(len(times.beginnings) == len(architecture.blocks) + 1, "each block has a time")
        return times


def read_blocks(record: Path) -> dict[str, dict[str, Any]]:
    """Returns the content of a record of blocks, by network and target; none where there is no record yet."""
    if not record.exists():
        return {}
    with refused(f"the record of blocks must be as a report has written it, but '{record}' is not"):
        return {str(text): dict(of) for text, of in read_json(record).items()}
