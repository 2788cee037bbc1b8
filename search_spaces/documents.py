"""Documents that somebody else may have written, TOML, JSON and CSV: read within bounds, and refused in words."""

import contextlib
import csv
import io
import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from search_spaces.errors import InvalidInput, require

MOST_TOML_BYTES = 2**20  # of which Python's parser takes seconds
MOST_JSON_BYTES = 2**24  # which become some 100 MB of objects
MOST_CSV_BYTES = 2**25
_LONG_KEY = re.compile(r"""(?<![\w"'-])(?:[\w"'-]+[ \t]*\.[ \t]*){100}""")  # for which that parser takes hours

_FAILURES: tuple[type[Exception], ...] = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, MemoryError, EOFError, OSError)


@contextlib.contextmanager
def refused(rule: str, *errors: type[Exception]) -> Iterator[None]:
    """Raises `InvalidInput`, the rule and then the reason, for all that fails in a block that reads.

    Args:
        rule: the rule that the input breaks, and the input.
        errors: the exceptions of other libraries that mean so too.
    """
    try:
        yield
    except _FAILURES + errors as error:
        raise InvalidInput(f"{rule}: {_in_words(error)}") from None


def _in_words(error: Exception) -> str:
    match error:
        case InvalidInput():
            return str(error)
        case OSError():
            return error.strerror or str(error)
        case UnicodeDecodeError():
            return f"it is no UTF-8 text from byte {error.start} on"
        case json.JSONDecodeError():
            return f"{error.msg} (line {error.lineno}, column {error.colno})"
        case KeyError():
            return f"it lacks `{error.args[0]}`"
        case RecursionError():
            return "it is nested too deep"
        case MemoryError():
            return "it does not fit into the memory"
        case EOFError():
            return "it ends too early"
        case ValueError() if "integer string conversion" in str(error):
            return "it has a number of too many digits"
        case TypeError() | AttributeError() | IndexError():
            return "a value in it is not of the kind that is written there"
        case _:
            return str(error) or "it is damaged"


def read_toml(path: Path, errors: str = "strict") -> dict[str, Any]:
    """Returns the content of a TOML file; `errors` is for bytes that are no text, as in `bytes.decode`.

    Raises:
        OSError, ValueError, RecursionError: see `refused`.
    """
    text = read_text(path, MOST_TOML_BYTES, errors)
    require(not _LONG_KEY.search(text), "a key has at most 100 parts")
    return tomllib.loads(text)


def read_json(path: Path) -> Any:
    """Returns the content of a JSON file.

    Raises:
        OSError, ValueError, RecursionError: see `refused`.
    """
    return json.loads(read_text(path, MOST_JSON_BYTES))


def parse_table(text: str, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields the number of each line of a CSV text, and its cells by their columns, missing ones as empty.

    Raises:
        InvalidInput, csv.Error: see `refused`; it lacks some of the columns.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in columns if name not in (reader.fieldnames or ())]
    require(not missing, f"it lacks the columns {', '.join(missing)}")
    for line in reader:
        yield reader.line_num, {name: cell or "" for name, cell in line.items() if name is not None}


def read_text(path: Path, most_bytes: int, errors: str = "strict") -> str:
    """Returns the text of a file; raises `InvalidInput` if it has more than so many bytes, of which no more is read."""
    with path.open("rb") as file:
        return read_bytes(file, most_bytes).decode(errors=errors)


def read_bytes(file: io.BufferedIOBase, most_bytes: int) -> bytes:
    """Returns the content of an open file; raises `InvalidInput` if that is more than so many bytes."""
    content = file.read(most_bytes + 1)
    require(len(content) <= most_bytes, f"it has more than {most_bytes:,} bytes")
    return content
