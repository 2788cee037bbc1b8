"""The strategies by name: each is made once for a search, from its problem. A new one is one line here.

The module of a strategy is imported when one is made: many commands need no more than the names.
"""

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nas.problem.problem import Problem

if TYPE_CHECKING:
    from nas.strategies.strategy import Maker, Strategy, sampler_of


def _made(module: str, name: str, problem: Problem) -> Any:
    """Returns the strategy of a problem, from a module here."""
    return getattr(import_module(f"nas.strategies.{module}"), name)(problem)


def _of(module: str, name: str) -> "Maker":
    """Returns the maker of a strategy, which says where it is."""
    return partial(_made, module, name)


STRATEGIES: "dict[str, Maker]" = {
    "random": _of("optuna_samplers", "random"), "qmc": _of("optuna_samplers", "qmc"), "grid": _of("grid", "Grid"),
    "tpe": _of("optuna_samplers", "tpe"), "nsga2": _of("optuna_samplers", "nsga2"),
    "nsga3": _of("optuna_samplers", "nsga3"), "gp": _of("optuna_samplers", "gp"),
    "evolution": _of("neighbourhood", "evolution"), "local-search": _of("neighbourhood", "local_search"),
    "surrogate": _of("surrogate.strategy", "Surrogate"),
}

__all__ = ["STRATEGIES", "Maker", "Problem", "Strategy", "sampler_of"]


def __getattr__(name: str) -> Any:
    """Imports the names of strategies when they are asked for."""
    if name in __all__:
        return getattr(import_module("nas.strategies.strategy"), name)
    raise AttributeError(f"module 'nas.strategies' has no attribute '{name}'")
