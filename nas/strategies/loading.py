"""Strategies by name, or by the path of the user's own, and whether they fit a problem."""

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nas.problem.candidate import directions
from nas.strategies import STRATEGIES, Problem
from search_spaces.errors import InvalidInput, require

if TYPE_CHECKING:
    from nas.strategies.reseeding import Reseeded
    from nas.strategies.strategy import Maker, Strategy

OURS = ("search_spaces", "evaluators", "nas")
REHEARSED = 12  # trials; after 10, Optuna's samplers begin to use what they were told


def strategy_of(name: str) -> "Maker":
    """Returns the maker of the strategy of a name or a path; see `maker_of`.

    Raises:
        InvalidInput: the path names neither a class nor a function.
    """
    if name in STRATEGIES:
        return STRATEGIES[name]
    make = load(name, "a strategy", "a class or a function")
    require(inspect.isclass(make) or inspect.isroutine(make), "a strategy must name a class or a function that makes "
            f"one, but '{name}' is {make!r}")
    return maker_of(make, name)


def maker_of(make: Callable[..., Any], name: str) -> "Maker":
    """Returns the maker of a strategy of the user's, from a class, or from a function that returns one.

    Of `seed` and `problem` it is given what it takes. What it makes may be an Optuna sampler: one is made for each
    trial anew, so what it learns it must read from the study.

    Args:
        make: the class or the function.
        name: what errors call it.
    """
    def made(problem: Problem) -> "Strategy | Reseeded":
        from optuna.samplers import BaseSampler

        from nas.strategies.reseeding import Reseeded

        found = _called(make, name, problem.seed, problem)
        if isinstance(found, BaseSampler):
            return Reseeded(partial(_called, make, name))
        is_strategy = isinstance(found, Reseeded) or (hasattr(found, "propose") and hasattr(found, "continues_stopped"))
        require(is_strategy, "a strategy must be an Optuna sampler, or have `propose` and `continues_stopped`, but "
                f"'{name}' is a {type(found).__name__}")
        return cast("Strategy", found)
    return made


def _called(make: Callable[..., Any], name: str, seed: int, problem: Problem) -> Any:
    given = {"seed": seed, "problem": problem}
    try:
        return make(**{name: given[name] for name in given.keys() & inspect.signature(make).parameters.keys()})
    except Exception as error:  # whatever it raises
        raise InvalidInput(f"a strategy must be made with `seed`, `problem` or nothing, but '{name}' could not be: "
                           f"{type(error).__name__}: {error}") from error


def require_able(name: str, problem: Problem) -> None:
    """Raises `InvalidInput` unless a strategy can search for a problem's objectives under its budgets.

    What one of the user's is able to do shows in a few trials whose values are made up.
    """
    import optuna

    from nas.strategies.strategy import sampler_of

    strategy = strategy_of(name)(problem)
    if name in STRATEGIES:
        return
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    count, limits = len(problem.objectives), problem.budgets.limits
    study = optuna.create_study(directions=directions(problem.objectives), sampler=sampler_of(strategy, problem))
    generator = np.random.default_rng(problem.seed)
    try:
        for _ in range(REHEARSED):
            trial = study.ask()
            problem.space.suggest(trial)
            for limit in limits:
                trial.set_constraint(limit, generator.uniform(-1, 1))
            study.tell(trial, generator.uniform(size=count).tolist())
    except Exception as error:  # whatever it raises
        asked = f"{' and '.join(problem.objectives)}{' under constraints' if limits else ''}"
        raise InvalidInput(f"a strategy must be able to search for {asked}, but '{name}' is not: "
                           f"{type(error).__name__}: {error}") from error


def is_path(text: str) -> bool:
    """Tells whether a text is a path of an object, and no bare name."""
    return ":" in text or "." in text


def module_of(path: str) -> str:
    """Returns the name of the module in a path of an object."""
    return path.rpartition(":" if ":" in path else ".")[0]


def place_of(path: str) -> str:
    """Returns the file of the module that a path names, or its folder; empty where there is none. Imports nothing."""
    return _place(_found(module_of(path).partition(".")[0]))


def load(path: str, what: str, kind: str) -> Any:
    """Returns the object that a path names.

    The current directory is searched first, as Python does for a script, and before our own packages too. Nothing else
    is imported from there if the module is elsewhere: the directory may be that of a run which somebody else has made.

    Args:
        path: `module:name` or `module.name`.
        what: what a message is about, such as `an evaluator`.
        kind: what the object is to be, such as `a function`.

    Raises:
        InvalidInput: the module cannot be imported, or has no such name.
    """
    module_name = module_of(path)
    name, here = path[len(module_name) + 1:], str(Path.cwd())
    try:
        if here not in sys.path and _is_of(here, module_name.partition(".")[0]):
            sys.path.insert(0, here)
        module = _import(module_name)
    except Exception as error:  # whatever the module raises
        kind_of_error = "" if isinstance(error, ModuleNotFoundError) else f"{type(error).__name__}: "
        raise InvalidInput(f"{what} must name a module that can be imported, but got '{path}': {kind_of_error}{error}"
                           ) from error
    found, of_script = getattr(module, name, None), module_name == "__main__"
    if found is None or (of_script and getattr(found, "__module__", None) != module_name):  # it may be another script
        advice = "; of a script or notebook it is not found again: put it into a module"
        raise InvalidInput(f"{what} must name {kind}, but '{module_name}' has no '{name}'"
                           + (advice if of_script else ""))
    return found


def _import(module_name: str) -> ModuleType:
    """Imports a module; one of the user's that has the name of a package of ours under another name."""
    top, dot, rest = module_name.partition(".")
    found = _found(top)
    if top not in OURS or found is None or found.origin == importlib.import_module(top).__file__:
        return importlib.import_module(module_name)
    name = f"own_{top}"
    if name not in sys.modules:
        spec = spec_from_file_location(name, found.origin) if found.origin else ModuleSpec(name, None, is_package=True)
        assert spec is not None, "a file of Python has a loader"
        spec.submodule_search_locations = found.submodule_search_locations
        module = sys.modules[name] = module_from_spec(spec)
        try:
            if spec.loader is not None:
                spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return importlib.import_module(f"{name}{dot}{rest}")


def _found(top: str) -> ModuleSpec | None:
    """Returns the spec by which a top-level module is or would be imported; of one of ours, the user's before it."""
    places = [str(Path.cwd()), *sys.path]
    if top in OURS:
        return next((spec for place in places if (spec := PathFinder.find_spec(top, [place])) is not None), None)
    if not top or top in sys.modules:
        return getattr(sys.modules.get(top), "__spec__", None)
    found = PathFinder.find_spec(top, places)
    return found if found or os.sep in top else find_spec(top)  # other finders know names only


def _is_of(directory: str, top: str) -> bool:
    """Tells whether a top-level module is imported from a directory."""
    return bool(top) and _place(PathFinder.find_spec(top, [directory])) == _place(_found(top)) != ""


def _place(spec: ModuleSpec | None) -> str:
    """Returns the file of a module, or else its folders; empty for neither."""
    if spec is None:
        return ""
    return (spec.origin if spec.has_location else os.pathsep.join(spec.submodule_search_locations or ())) or ""
