"""Networks as data: layers, blocks, architectures, and spaces of them. Imports numpy only."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search_spaces.architecture import Architecture
    from search_spaces.blocks import BLOCKS
    from search_spaces.errors import InvalidInput
    from search_spaces.ready import SPACES, load_space
    from search_spaces.space import Space

__all__ = ["BLOCKS", "SPACES", "Architecture", "InvalidInput", "Space", "load_space"]

_HOME = {"Architecture": "search_spaces.architecture", "BLOCKS": "search_spaces.blocks",
         "InvalidInput": "search_spaces.errors", "SPACES": "search_spaces.ready", "Space": "search_spaces.space",
         "load_space": "search_spaces.ready"}


def __getattr__(name: str) -> Any:
    """Imports a public name from its module when it is used, so that the errors and the command line cost nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'search_spaces' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)
