"""Code that files name, and whether this user has begun with it on this machine.

A run names an evaluator and a strategy, which are imported, and commands, which a shell runs; certificates and
predictors name commands. Such files travel, so that what they name is run only if it is known, if it is given anew, or
if the user says so. What was begun or trusted is remembered in the user's own state directory, outside of the file,
under an identity that the file has from its beginning.

An identity can be copied, and a name can mean anything. So code is known by its place too: an evaluator or a strategy
by the file of its module, a command by the directory in which it is run. A copied identity then runs nothing but what
the user has begun with at that very place. What lies within the directory of a run came along with it and is not known.
"""

import hashlib
import json
import sys
from collections.abc import Collection, Iterable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from evaluators.machine.disk_cache import Storage
from evaluators.machine.ownership import STATE, directory_of
from evaluators.registry import EVALUATORS
from evaluators.runtimes import is_remote, parse_target, runtime_of
from nas.run.config import SearchConfig
from nas.strategies import STRATEGIES
from nas.strategies.loading import module_of, place_of
from search_spaces.errors import InvalidInput

SCRIPT = "__main__"
EVALUATOR, STRATEGY, TARGET = "evaluator", "strategy", "target"
LIMIT_BYTES = 10**7  # of all that is remembered: some ten thousand runs, those that were not asked for longest go first

Trust = bool | Collection[str]  # whether code is trusted that is not known, or of which fields it was given anew


@dataclass(frozen=True)
class Code:
    """A piece of code that a file names.

    Attributes:
        field: the field of a configuration that names it.
        text: the path of an evaluator or a strategy, or a command.
        place: the file of the module, or the directory in which the command is run; empty where there is none.
    """

    field: str
    text: str
    place: str

    def __str__(self) -> str:
        what, at = ("command", "run in") if self.field == TARGET else (self.field, "of")
        return f"{what} {self.text!r}" + (f" {at} {self.place!r}" if self.place else "")

    def lies_in(self, path: Path) -> bool:
        """Tells whether it lies in a directory."""
        return Path(self.place).resolve().is_relative_to(path.resolve())


def code_of(config: SearchConfig) -> tuple[Code, ...]:
    """Returns the code that a search runs."""
    return (*evaluator_of(config), *_imported(STRATEGY, config.strategy, STRATEGIES), *commands_of(config.targets))


def evaluator_of(config: SearchConfig) -> tuple[Code, ...]:
    """Returns the evaluator of a configuration, if it is code of the user's."""
    return _imported(EVALUATOR, config.evaluator, EVALUATORS)


def commands_of(targets: Iterable[str]) -> tuple[Code, ...]:
    """Returns the commands of targets."""
    parsed = dict.fromkeys(map(parse_target, targets))
    return tuple(Code(TARGET, target.argument, str(Path.cwd())) for target in parsed if is_remote(runtime_of(target)))


def given_in_python(config: SearchConfig) -> tuple[str, ...]:
    """Returns the fields of a configuration whose code this process has imported, so that it was given as an object.

    Python's own modules are imported anyway and say nothing.
    """
    modules = {field: module_of(getattr(config, field)) for field in (EVALUATOR, STRATEGY)}
    return tuple(field for field, module in modules.items()
                 if module in sys.modules and module.partition(".")[0] not in sys.stdlib_module_names)


def require_trusted(path: Path, identity: str, code: Collection[Code], trust: Trust = False) -> None:
    """Raises `InvalidInput` for code that is neither known nor trusted; trusted code is known from then on.

    Args:
        path: the directory or file that names it.
        identity: that of the directory or file.
        code: what it names.
        trust: whether code is trusted that is not known, or the fields of which it was given anew.
    """
    known = _remembered(identity)
    trusted = (EVALUATOR, STRATEGY, TARGET) if trust is True else trust or ()
    unknown = [one for one in code if one.field not in trusted and (one not in known or one.lies_in(path))]
    if unknown:  # all of it is shown, however long it is
        raise InvalidInput("what a file names is run if you have begun it here, and else with `--trust`, but "
                           f"'{path}' names", f" {' and '.join(map(str, unknown))}")
    remember(path, identity, code)


def remember(path: Path, identity: str, code: Collection[Code]) -> None:
    """Makes code known that a directory or file names and this user has begun with here, unless it lies in that."""
    known = _remembered(identity)
    if new := {one for one in code if one.place and not one.lies_in(path)} - known:
        _storage().write(identity, json.dumps(sorted(map(astuple, known | new))).encode())


def identity_of(*facts: Any) -> str:
    """Returns the identity of a directory or file that some facts tell apart from all others."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _imported(field: str, path: str, own: Collection[str]) -> tuple[Code, ...]:
    """Returns the code of a path, if it is neither one of our own names nor of the script that runs, which is there."""
    return () if path in own or module_of(path) == SCRIPT else (Code(field, path, place_of(path)),)


def _remembered(identity: str) -> set[Code]:
    try:
        return {Code(*one) for one in json.loads(_storage().read(identity) or b"[]")}
    except (ValueError, TypeError):  # not as it was written
        return set()


def _storage() -> Storage:
    return Storage(directory_of(STATE) / "trusted", LIMIT_BYTES)
