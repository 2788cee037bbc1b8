"""Targets, on which latency counts: a runtime, the options under which it runs, and the text form of both.

    target   = runtime [":" options]
             | runtime ["[" options "]"] ":" argument     where the runtime takes a text of its own, such as a command
    options  = name "=" value {"," name "=" value}
    cores    = span {"+" span};  span = number ["-" number]
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from search_spaces.errors import InvalidInput, require, unknown
from search_spaces.numbers import is_whole

PRECISIONS = FLOAT32, INT8, FLOAT16, INT8_WEIGHTS = "float32", "int8", "float16", "int8-weights"
STORED = FLOAT16, INT8_WEIGHTS  # of weights as they are stored; files compute in float32
UNITS = {"s": 1e3, "ms": 1.0, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ns": 1e-6}  # and the milliseconds of each
MOST_CORES = 4096
WRITTEN = re.compile(r"([^:\[]*)(?:\[([^]]*)\])?(?::(.*))?", re.DOTALL)


def _number(name: str, text: str) -> int:
    require(is_whole(text), f"`{name}` takes whole numbers below 1e9, but got '{text}'")
    return int(text)


def _word(name: str, text: str) -> str:
    return text


def _cores(name: str, text: str) -> tuple[int, ...]:
    cores: list[int] = []
    for span in text.split("+"):
        first, dash, last = span.partition("-")
        ends = _number(name, first), _number(name, last if dash else first)
        require(ends[0] <= ends[1], f"`{name}` takes cores and spans such as 0-1+3, but got '{text}'")
        require(ends[1] < MOST_CORES, f"`{name}` takes numbers of cores below {MOST_CORES}, but got '{text}'")
        cores += range(ends[0], ends[1] + 1)
    return tuple(cores)


def option(default: Any, what: str, read: Callable[[str, str], Any]) -> Any:
    """Returns the field of an option: its default, its meaning, and how its text is read."""
    return field(default=default, metadata={"what": what, "read": read})


@dataclass(frozen=True)
class Options:
    """The options under which a model file runs. A runtime's `options` name those that it heeds; it refuses others."""

    threads: int = option(1, "threads that share one run", _number)
    batch: int = option(1, "images in one run", _number)
    precision: str = option(FLOAT32, "float32, int8, float16 or int8-weights", _word)
    cores: tuple[int, ...] = option((), "cores to run on; by default the last ones, one for each thread", _cores)
    format: str = option("onnx", "kind of model file that a command is given", _word)
    unit: str = option("", "unit of bare numbers that a command prints", _word)
    timeout_s: int = option(120, "seconds after which a command is given up", _number)

    def __post_init__(self) -> None:
        for name in ("threads", "batch", "timeout_s"):
            value = getattr(self, name)
            require(value >= 1, f"`{name}` must be at least 1, but got {name}={value}")
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        if self.unit and self.unit not in UNITS:
            raise unknown("unit of time", self.unit, UNITS)
        object.__setattr__(self, "cores", tuple(sorted(set(self.cores))))
        require(not self.cores or len(self.cores) >= self.threads, f"`threads` must be at most the cores, "
                f"{len(self.cores)}, but got {self.threads}")

    @property
    def given(self) -> dict[str, str]:
        """The texts of the options that are not at their defaults, by name, in the order of their fields."""
        return {each.name: spans(value) if each.name == "cores" else str(value)
                for each in dataclasses.fields(self) if (value := getattr(self, each.name)) != each.default}


@dataclass(frozen=True)
class Target:
    """A runtime, the options under which latency counts, and the text of its own that some runtimes take."""

    runtime: str
    options: Options = Options()
    argument: str = ""

    @property
    def text(self) -> str:
        """The canonical text: options in the order of their fields, defaults left out."""
        options = ",".join(f"{name}={value}" for name, value in self.options.given.items())
        if self.argument:
            return f"{self.runtime}{f'[{options}]' if options else ''}:{self.argument}"
        return f"{self.runtime}:{options}" if options else self.runtime

    def __str__(self) -> str:
        return self.text


def split_target(text: str) -> tuple[str, str | None, str | None]:
    """Returns the runtime's name, the text in brackets after it, and the text after the colon."""
    written = WRITTEN.fullmatch(text)
    require(written is not None, f"a target is written runtime:options, or runtime[options]:argument, but got '{text}'")
    assert written is not None
    return written[1], written[2], written[3]


def parse_options(text: str) -> Options:
    """Returns the options that a text such as `threads=2,batch=8` gives.

    Raises:
        InvalidInput: an unknown or repeated option, or a value that it does not take.
    """
    known = {each.name: each.metadata["read"] for each in dataclasses.fields(Options)}
    values: dict[str, Any] = {}
    for part in text.split(","):
        name, sign, value = part.partition("=")
        if not sign:
            raise InvalidInput(f"an option of a target is written name=value, but got '{part}' in '{text}'")
        if name not in known:
            raise unknown("option of a target", name, known)
        if name in values:
            raise InvalidInput(f"an option is given once, but '{text}' gives `{name}` again")
        values[name] = known[name](name, value)
    return Options(**values)


def spans(cores: Sequence[int]) -> str:
    """Returns the text of sorted cores, with neighbours as spans.

    >>> spans((0, 1, 3))
    '0-1+3'
    """
    found: list[list[int]] = []
    for core in cores:
        if found and core == found[-1][1] + 1:
            found[-1][1] = core
        else:
            found.append([core, core])
    return "+".join(str(first) if first == last else f"{first}-{last}" for first, last in found)
