"""Timed networks in CSV files: the data of predictors, and all that is known of a device elsewhere.

    architecture,latency_ms
    in_r28_c1+conv_k3_c16_s2_relu6+head_c128_relu6_n10,0.0312

Files that we write have two further columns: the target, and the time of the reference model beside each network.
"""

import csv
import io
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from evaluators.machine.files import at_home
from evaluators.prediction.predictor import Measured, Row
from search_spaces.architecture import Architecture
from search_spaces.errors import InvalidInput, require

COLUMNS = ("architecture", "latency_ms")
REFERENCE, TARGET = "reference_ms", "target"  # further columns, of files that we write

_architecture = lru_cache(maxsize=4096)(Architecture.parse)  # files are read again as they grow


def read_rows(path: str | Path, target: str = "") -> list[Row]:
    """Returns the networks of a file and their latencies in ms, one for each line.

    Args:
        path: the file; columns but `COLUMNS`, `REFERENCE` and `TARGET` are ignored.
        target: what they are wanted of; rows that state another target are left out. By default all must be of one.

    Raises:
        InvalidInput: a file that cannot be read, lacks a column or has no rows, or a line with something that is no
            architecture or no latency; names the line.
    """
    parsed = list(_parsed(at_home(path)))
    stated = sorted({of for of, _ in parsed})
    require(bool(target) or len(stated) < 2, f"a table of timed networks is of one target, but '{path}' has rows of "
            f"{', '.join(of or 'none' for of in stated)}")
    found = [row for of, row in parsed if of == target or not (of and target)]
    require(bool(found), f"a table of timed networks has rows, but '{path}' has none"
            + (f" of {target}" if target and parsed else ""))
    return found


@dataclass(frozen=True)
class Timings:
    """A file that gets a line with each timing, so that none is lost. Several processes may write into one."""

    path: Path

    def rows(self, target: str) -> list[Row]:
        """Returns the timings on a target, in the order of time; raises as `read_rows`."""
        return [row for of, row in _parsed(self.path) if of == target] if self.path.exists() else []

    def add(self, target: str, *rows: Measured) -> None:
        """Writes timings on a target down."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            if not os.fstat(handle).st_size:
                writer.writerow((*COLUMNS, TARGET, REFERENCE))
            for architecture, latency_ms, reference_ms in (Row(*row) for row in rows):
                beside = f"{reference_ms:.6g}" if reference_ms else ""
                writer.writerow((architecture.text, f"{latency_ms:.6g}", target, beside))
            os.write(handle, text.getvalue().encode())  # at once, so that lines of processes do not mix
        finally:
            os.close(handle)


def _parsed(path: Path) -> Iterator[tuple[str, Row]]:
    """Yields the target, empty where none is stated, and the network with its latency of each line."""
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        require(not missing, f"a table of timed networks has the columns {' and '.join(COLUMNS)}, but '{path}' lacks "
                f"{' and '.join(missing)}")
        for line in reader:
            try:
                reference = line.get(REFERENCE)
                yield line.get(TARGET) or "", Row(_architecture(line["architecture"] or ""),
                                                  _latency_ms(line["latency_ms"]),
                                                  _latency_ms(reference) if reference else 0.0)
            except InvalidInput as error:
                raise InvalidInput(f"{error} (line {reader.line_num} of '{path}')") from None
    except OSError as error:
        raise InvalidInput(f"a table of timed networks must be readable, but got '{path}': {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"a table of timed networks must be a CSV file, but got '{path}': {error}") from None


def _latency_ms(text: str | None) -> float:
    try:
        latency_ms = float(text or "")
    except ValueError:
        raise InvalidInput(f"a latency is a number of milliseconds, but got '{text or ''}'") from None
    require(0 < latency_ms < math.inf, f"a latency must be positive and finite, but got {latency_ms:g} ms")
    return latency_ms
