"""The runtimes that a network may be shipped on, by name. A new runtime is one file and one line here."""

import dataclasses
from importlib.util import find_spec

from evaluators.machine.files import at_home
from evaluators.runtimes.command import Command
from evaluators.runtimes.litert import LiteRt
from evaluators.runtimes.onnxruntime import OnnxRuntime
from evaluators.runtimes.openvino import OpenVino
from evaluators.runtimes.runtime import Argument, Arrays, Place, Runtime, Session, is_predicting, is_remote
from evaluators.runtimes.table import LatencyTable
from evaluators.runtimes.target import Options, Target, parse_options, split_target
from evaluators.runtimes.xla import Xla
from search_spaces.errors import InvalidInput, require, unknown

RUNTIMES: dict[str, Runtime] = {
    "onnxruntime": OnnxRuntime(), "litert": LiteRt(), "openvino": OpenVino(), "xla": Xla(), "command": Command(),
    "table": LatencyTable()}

__all__ = ["RUNTIMES", "Argument", "Arrays", "Options", "Place", "Runtime", "Session", "Target", "in_precision",
           "is_installed", "is_predicting", "is_remote", "parse_target", "require_installed", "require_usable",
           "runtime_of"]


def parse_target(text: str) -> Target:
    """Returns the target that a text names; `evaluators.runtimes.target` has the grammar.

    >>> parse_target("onnxruntime:batch=8,threads=2").text
    'onnxruntime:threads=2,batch=8'
    >>> parse_target("command[format=litert]:ssh pi ./bench.sh {model}").argument
    'ssh pi ./bench.sh {model}'

    Raises:
        InvalidInput: an unknown runtime, wrong options, or options that the runtime has no use for.
    """
    name, bracketed, rest = split_target(text)
    if name not in RUNTIMES:
        raise unknown("runtime", name, RUNTIMES)
    meaning = RUNTIMES[name].argument
    if meaning is Argument.NONE:
        require(bracketed is None, f"options of {name} follow a colon, but got '{text}'")
        target = Target(name, Options() if rest is None else parse_options(rest))
    else:
        argument = str(at_home(rest).absolute()) if meaning is Argument.PATH and rest else rest or ""
        target = Target(name, Options() if bracketed is None else parse_options(bracketed), argument)
    runtime_of(target)
    return target


def in_precision(text: str, precision: str) -> str:
    """Returns the canonical text of a target whose files have another precision; raises as `parse_target`.

    >>> in_precision("onnxruntime:threads=2", "int8")
    'onnxruntime:threads=2,precision=int8'
    """
    target = parse_target(text)
    target = dataclasses.replace(target, options=dataclasses.replace(target.options, precision=precision))
    runtime_of(target)
    return target.text


def runtime_of(target: Target) -> Runtime:
    """Returns the runtime of a target, bound to its options.

    Raises:
        InvalidInput: options that the runtime has no use for.
    """
    runtime = RUNTIMES[target.runtime]
    for name, value in target.options.given.items():
        if name not in runtime.options:
            require(name != "precision", f"`precision` of {target.runtime} is float32, but got precision={value}")
            raise unknown(f"option of {target.runtime}", name, runtime.options)
    return runtime.bound(target)


def is_installed(name: str) -> bool:
    """Tells whether the library that runs the files of a runtime is there."""
    return find_spec(RUNTIMES[name].module) is not None


def require_usable(target: Target) -> None:
    """Raises `InvalidInput` unless the library of a target is installed, and its table, if it has one, can be read."""
    require_installed(target.runtime)
    if is_predicting(runtime := runtime_of(target)):
        runtime.predictor()


def require_installed(name: str) -> Runtime:
    """Returns the runtime of a name; raises `InvalidInput` where its library is not there, with the way to get it."""
    if not is_installed(name):
        raise InvalidInput(f"the library of a runtime must be installed (pip install 'paretonas[{name}]'), but "
                           f"'{RUNTIMES[name].module}' is not")
    return RUNTIMES[name]
