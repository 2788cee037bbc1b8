"""Hardware-aware neural architecture search: the engine, its Python interface and the command line."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.api import Run, search
    from nas.export.train import train
    from nas.problem.budgets import Budgets
    from nas.run.config import SearchConfig

__version__ = "0.1.0"
__all__ = ["Budgets", "Run", "SearchConfig", "search", "train"]

_HOME = {"Budgets": "nas.problem.budgets", "Run": "nas.api", "SearchConfig": "nas.run.config", "search": "nas.api",
         "train": "nas.export.train"}


def __getattr__(name: str) -> Any:
    """Imports what is asked for when it is asked for, so that `import nas` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'nas' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)
