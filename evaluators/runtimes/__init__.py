"""The runtimes that a network may be shipped on, by name. A new runtime is one file and one line here."""

from evaluators.runtimes.onnxruntime import OnnxRuntime
from evaluators.runtimes.runtime import Arrays, Options, Runtime, Session, Target, parse_options
from evaluators.runtimes.xla import Xla
from search_spaces.errors import unknown

RUNTIMES: dict[str, Runtime] = {"onnxruntime": OnnxRuntime(), "xla": Xla()}

__all__ = ["RUNTIMES", "Arrays", "Options", "Runtime", "Session", "Target", "parse_target"]


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
