"""Objects of the user's, named by a path: `module:name` or `module.name`."""

import importlib
import sys
from pathlib import Path
from typing import Any

from search_spaces.errors import InvalidInput


def is_path(text: str) -> bool:
    """Tells whether a text is a path of an object, and no bare name."""
    return ":" in text or "." in text


def load(path: str, what: str, kind: str) -> Any:
    """Returns the object that a path names.

    The current directory is searched first, as Python does for a script.

    Args:
        path: `module:name` or `module.name`.
        what: what a message is about, such as `an evaluator`.
        kind: what the object is to be, such as `a function`.

    Raises:
        InvalidInput: the module cannot be imported, or has no such name.
    """
    module_name, _, name = path.rpartition(":" if ":" in path else ".")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the module raises
        raise InvalidInput(f"{what} must name a module that can be imported, but got '{path}': "
                           f"{type(error).__name__}: {error}") from error
    try:
        return getattr(module, name)
    except AttributeError:
        raise InvalidInput(f"{what} must name {kind}, but '{module_name}' has no '{name}'") from None
