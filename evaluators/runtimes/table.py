"""A device that is not here at all, known by a table of networks that somebody has timed on it.

`table:phone.csv` names a CSV file with the columns `architecture` and `latency_ms`; `table[batch=8,format=litert]:...`
has options. Latencies are predicted from its rows, and never said to be measured.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Self

from evaluators.latency import Latency, Source
from evaluators.prediction.predictor import Predictor, fit
from evaluators.prediction.timings import read_rows
from evaluators.runtimes.remote import Elsewhere, require_writable_format
from evaluators.runtimes.runtime import Argument, Place
from evaluators.runtimes.target import Target
from search_spaces.architecture import Architecture
from search_spaces.errors import InvalidInput, require

UNBOUND = Target("table")
LEVEL = 0.95  # of intervals, as of measured ones


@dataclass(frozen=True)
class LatencyTable(Elsewhere):
    """A device of which a table of timed networks is known."""

    place: ClassVar[Place] = Place.NOWHERE
    argument: ClassVar[Argument] = Argument.PATH
    target: Target = UNBOUND
    options: tuple[str, ...] = ("batch", "precision", "format")

    def bound(self, target: Target) -> Self:
        """Returns the runtime of a target's table; raises `InvalidInput` without a table, or for an unknown format."""
        require(bool(target.argument), f"a table is given as table:FILE.csv, but got '{target}'")
        require_writable_format(target.options, "a table's")
        return type(self)(target)

    def predictor(self) -> Predictor:
        """Returns the predictor that the table gives; raises `InvalidInput` where that cannot be read or is none."""
        path = Path(self.target.argument)
        try:
            return _learned(path, path.stat().st_mtime_ns)
        except OSError as error:
            raise InvalidInput(f"a table of timed networks must be readable, but got '{path}': {error.strerror}"
                               ) from None

    def latency(self, architecture: Architecture) -> Latency:
        """Returns the latency that is predicted for a network; raises as `predictor`."""
        predictor = self.predictor()
        return predicted_latency(predictor, architecture, flags=(f"predicted from the {len(predictor.rows)} rows of "
                                                                 f"'{self.target.argument}', not timed",))


def predicted_latency(predictor: Predictor, architecture: Architecture, source: Source = Source.PREDICTED,
                      reference_ms: float = 0.0, flags: tuple[str, ...] = ()) -> Latency:
    """Returns the prediction for a network as a latency that was not measured.

    Args:
        predictor: what predicts.
        architecture: the network.
        source: why it was not measured.
        reference_ms: the time of the reference model now; by default the machine is as fast as it was.
        flags: what makes the prediction doubtful, in words.
    """
    prediction, = predictor.predict([architecture], reference_ms)
    return Latency.predicted(prediction.median_ms, prediction.interval_ms(LEVEL), source, flags)


@lru_cache(maxsize=8)
def _learned(path: Path, modified_ns: int) -> Predictor:
    return fit(read_rows(path))
