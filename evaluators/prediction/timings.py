"""Timed networks in CSV files: the data of predictors, and all that is known of a device elsewhere.

    architecture,latency_ms
    in_r28_c1+conv_k3_c16_s2_relu6+head_c128_relu6_n10,0.0312

Files that we write have two further columns: the target, and the time of the reference model beside each network.
"""

import csv
import errno
import fcntl
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from evaluators.machine.files import at_home
from evaluators.prediction.rows import Measured, Row, require_physical
from search_spaces.architecture import Architecture
from search_spaces.documents import MOST_CSV_BYTES, parse_table, read_text, refused
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
            fcntl.flock(handle, fcntl.LOCK_EX)  # until it is closed: one process writes the header
            if not os.fstat(handle).st_size:
                writer.writerow((*COLUMNS, TARGET, REFERENCE))
            for architecture, latency_ms, reference_ms in (Row(*row) for row in rows):
                beside = f"{reference_ms:.6g}" if reference_ms else ""
                writer.writerow((architecture.text, f"{latency_ms:.6g}", target, beside))
            _append(handle, text.getvalue().encode())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None
        finally:
            os.close(handle)


def intact_lines(content: bytes) -> tuple[bytes, list[int]]:
    """Returns the lines of a file of ours that can be read, and the numbers of the others, counted from 1.

    The last line is none of them without its end. A header is written where it cannot be read.
    """
    header, *lines = content.splitlines(keepends=True) or [b""]
    broken, ours = [], (*COLUMNS, TARGET, REFERENCE)
    if not set(COLUMNS) <= set(header.decode(errors="replace").rstrip("\n").split(",")) <= set(ours):
        header, broken = ",".join(ours).encode() + b"\n", [1]
    intact = [header]
    for number, line in enumerate(lines, 2):
        if line.endswith(b"\n") and _is_intact(header, line):
            intact.append(line)
        else:
            broken.append(number)
    return b"".join(intact), broken


def _is_intact(header: bytes, line: bytes) -> bool:
    try:
        return len(list(_rows_of(parse_table((header + line).decode(), COLUMNS), Path()))) == 1
    except (InvalidInput, ValueError, LookupError, csv.Error):
        return False


def _append(handle: int, content: bytes) -> None:
    """Appends lines to a file at once, so that those of processes do not mix; what has no room leaves no part."""
    before = os.fstat(handle).st_size
    if os.write(handle, content) < len(content):
        os.ftruncate(handle, before)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _parsed(path: Path) -> Iterator[tuple[str, Row]]:
    """Yields the target, empty where none is stated, and the network with its latency of each line."""
    with refused(f"a table of timed networks must be a CSV file with the columns {' and '.join(COLUMNS)}, but got "
                 f"'{path}'", csv.Error):
        lines = list(parse_table(read_text(path, MOST_CSV_BYTES), COLUMNS))
    yield from _rows_of(lines, path)


def _rows_of(lines: Iterable[tuple[int, Mapping[str, str]]], path: Path) -> Iterator[tuple[str, Row]]:
    for number, line in lines:
        where, reference = f"(line {number} of '{path}')", line.get(REFERENCE)
        try:
            architecture = _architecture(line["architecture"])
        except InvalidInput as error:
            raise InvalidInput(f"{error} {where}") from None
        yield line.get(TARGET, ""), Row(architecture, _latency_ms(line["latency_ms"], where),
                                        _latency_ms(reference, where) if reference else 0.0)


def _latency_ms(text: str | None, where: str) -> float:
    try:
        latency_ms = float(text or "")
    except ValueError:
        raise InvalidInput(f"a latency is a number of milliseconds, but got '{text or ''}' {where}") from None
    require_physical(latency_ms, where)
    return latency_ms
