"""The command that repeats a search."""

import dataclasses
import shlex
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from nas.problem.budgets import NONE, for_each_target
from nas.problem.quantities import QUANTITIES
from nas.run.config import NOTHING, SearchConfig

JOINED = ("objectives", "start", "rungs")  # settings whose values stand in one option, with commas between them
SEVERAL = ("target", "latency_from")  # and those whose option is given once for each
UNITS = {"latency_p95_ms": "ms", "memory_bytes": "B", "size_bytes": "B"}
LIMITS = {quantity.field: name for name, quantity in QUANTITIES.items()}


def command_of(config: SearchConfig) -> str:
    """Returns the command that begins a search of a configuration; what is by default is left out.

    >>> command_of(SearchConfig(latency_percentile=30.0, time_s=240, seed=1))
    'nas search --latency p30 --time 240s --seed 1'
    """
    like = SearchConfig(space=config.space, data=config.data)  # of which more follows
    words = ["nas", "search"]
    for field in dataclasses.fields(config):
        value, by_default = getattr(config, field.name), getattr(SearchConfig(), field.name)
        if field.name == "start":
            by_default = like.start
        if field.name == "early_stopping":
            by_default = None if config.time_s is not None else False  # by time it depends on the images
        if field.name == "trials" and value == like.trials and config.time_s is None and config.patience is None:
            continue
        if field.name == "latency_ms":
            words += _latencies(config)
        elif field.name != "latency_percentile" and value != by_default and value is not None:
            words += _option(field.name, value, len(config.targets))
    return shlex.join(words)


def _latencies(config: SearchConfig) -> Iterator[str]:
    """Yields the limits of the latency on each target, in milliseconds or as percentiles."""
    limits = list(zip(config.latencies_ms, config.percentiles, strict=True))
    for latency_ms, percentile in limits if limits != [(None, None)] * len(limits) else ():
        yield "--latency"
        yield f"{_plain(latency_ms)}ms" if latency_ms is not None else (
            f"p{_plain(percentile)}" if percentile is not None else NONE)


def _option(name: str, value: Any, targets: int) -> Iterator[str]:
    if name in LIMITS:
        each = for_each_target(name, value, targets) if QUANTITIES[LIMITS[name]].of_target else (value,)
        for one in each:
            yield f"--{LIMITS[name].replace('_', '-')}"
            yield NONE if one is None else f"{_plain(one)}{UNITS.get(name, '')}"
    elif name == "time_s":
        yield from ("--time", f"{_plain(value)}s")
    elif name in JOINED:
        yield from (f"--{name}", ",".join(map(str, value)) or NOTHING)
    elif name in SEVERAL:
        for one in (value,) if isinstance(value, str) else value:
            yield from (f"--{name.replace('_', '-')}", one)
    elif isinstance(value, bool):
        yield f"--{'' if value else 'no-'}{name.replace('_', '-')}"
    else:
        yield from (f"--{name.replace('_', '-')}", str(value))


def _plain(value: float) -> str:
    """Returns a number without an exponent."""
    text = f"{Decimal(repr(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
