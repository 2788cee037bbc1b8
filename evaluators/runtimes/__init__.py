"""The runtimes that a network may be shipped on, by name. A new runtime is one file and one line here."""

from importlib.util import find_spec

from evaluators.runtimes.litert import LiteRt
from evaluators.runtimes.onnxruntime import OnnxRuntime
from evaluators.runtimes.runtime import Arrays, Options, Runtime, Session, Target, parse_options
from evaluators.runtimes.xla import Xla
from search_spaces.errors import InvalidInput, unknown

RUNTIMES: dict[str, Runtime] = {"onnxruntime": OnnxRuntime(), "litert": LiteRt(), "xla": Xla()}

__all__ = ["RUNTIMES", "Arrays", "Options", "Runtime", "Session", "Target", "is_installed",
           "parse_target", "require_installed"]


def is_installed(name: str) -> bool:
    """Tells whether the library that runs the files of a runtime is there."""
    return find_spec(RUNTIMES[name].module) is not None


def require_installed(name: str) -> Runtime:
    """Returns the runtime of a name; raises `InvalidInput` where its library is not there, with the way to get it."""
    if not is_installed(name):
        raise InvalidInput(f"the library of a runtime must be installed (pip install 'paretonas[{name}]'), but "
                           f"'{RUNTIMES[name].module}' is not")
    return RUNTIMES[name]


def parse_target(text: str) -> Target:
    """Returns the target that a text names: a runtime and, after a colon, options.

    >>> parse_target("onnxruntime:batch=8,threads=2").text
    'onnxruntime:threads=2,batch=8'

    Raises:
        InvalidInput: an unknown runtime, or wrong options.
    """
    name, colon, options = text.partition(":")
    if name not in RUNTIMES:
        raise unknown("runtime", name, RUNTIMES)
    return Target(name, parse_options(options)) if colon else Target(name)
