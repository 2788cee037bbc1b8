"""Hardware-aware neural architecture search: the engine, its Python interface and the command line."""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from nas.api import Run, search
    from nas.export.compress import compress
    from nas.export.train import train
    from nas.problem.budgets import Budgets
    from nas.run.config import SearchConfig

__version__ = "0.1.0"
__all__ = ["Budgets", "Run", "SearchConfig", "compress", "search", "train"]

_HOME = {"Budgets": "nas.problem.budgets", "Run": "nas.api", "SearchConfig": "nas.run.config",
         "compress": "nas.export.compress", "search": "nas.api", "train": "nas.export.train"}


class _Beside:
    """Finds the packages of the stack by their place beside this one, whatever has their name on the import path.

    A folder in which a search is started, or from which a script runs, may have an `evaluators.py` of its own.
    """

    PATHS: ClassVar = {name: str(Path(__file__).parents[1] / name / "__init__.py")
                       for name in ("search_spaces", "evaluators")}

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Returns the spec of a package of the stack, and none for any other module."""
        return spec_from_file_location(name, cls.PATHS[name]) if name in cls.PATHS else None


def _find_beside() -> None:
    """Takes precedence; what was imported under these names before stays with the modules that imported it."""
    sys.meta_path.insert(0, _Beside)
    others = {name for name, path in _Beside.PATHS.items()
              if getattr(sys.modules.get(name), "__file__", None) != path}
    for name in [name for name in sys.modules if name.partition(".")[0] in others]:
        del sys.modules[name]


_find_beside()


def __getattr__(name: str) -> Any:
    """Imports a public name from its module when it is used, so that `import nas` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'nas' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)
