"""The stack: imports point down only. Read from the sources.

Between packages, and between the rooms of a package, imports inside functions count too. Between the files of a room
they do not: a registry may load an entry that lies above it when it is asked for it.
"""

import ast
import functools
import importlib
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
STACK = ("search_spaces", "evaluators", "nas", "experiments")
# Files of search_spaces from the bottom up; what is not listed are ready spaces and networks, above all of these.
ORDER = ("search_spaces.errors", "search_spaces.markup", "search_spaces.documents", "search_spaces.numbers",
         "search_spaces.layers", "search_spaces.program", "search_spaces.notation", "search_spaces.blocks.conventions",
         "search_spaces.blocks.", "search_spaces.blocks", "search_spaces.architecture", "search_spaces.search_space",
         "search_spaces.stage", "search_spaces.space")
# Rooms of the other packages from the bottom up: folders, and files that stand beside them. Above all of them are the
# names that the package itself gives.
ROOMS = {
    "evaluators": ("machine", "datasets", "latency", "recipe", "evaluator", "networks", "training",
                   "prediction", "runtimes", "timing", "benchmarks", "registry", ""),
    "nas": ("problem", "trials", "strategies", "run", "measuring", "engine", "export", "report", "api", "cli",
            "testing", ""),
}


def _modules() -> dict[str, Path]:
    found = {}
    for package in STACK:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _nodes(tree: ast.Module, deferred: bool) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = [tree]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            if not isinstance(child, ast.expr) and (
                    deferred or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)):
                yield child
                waiting.append(child)


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports(module: str, deferred: bool) -> set[str]:
    """Returns what a module imports: modules of the stack by their full names, others as they are written."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in _nodes(_tree(path), deferred):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[:len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            names = {f"{source}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else source for name in names}
    return found


IMPORTS = {module: _imports(module, deferred=True) for module in MODULES}
IMPORTS_ON_LOADING = {module: _imports(module, deferred=False) for module in MODULES}


def _top(name: str) -> str:
    return name.partition(".")[0]


def _rank(module: str) -> int:
    if module == "search_spaces":
        return len(ORDER) + 1
    if module in ORDER:
        return ORDER.index(module)
    return ORDER.index("search_spaces.blocks.") if module.startswith("search_spaces.blocks.") else len(ORDER)


def _room(module: str) -> str:
    return module.partition(".")[2].partition(".")[0]


def test_the_packages_of_the_stack_are_found():
    assert {_top(module) for module in MODULES} == set(STACK)
    assert set(ORDER) - {"search_spaces.blocks."} <= MODULES.keys()
    assert "search_spaces.layers" in IMPORTS["search_spaces.architecture"]
    assert "search_spaces.blocks.plain" in IMPORTS["search_spaces.blocks"]


@pytest.mark.parametrize("module", MODULES)
def test_a_package_imports_only_itself_and_packages_below(module):
    allowed = STACK[:STACK.index(_top(module)) + 1]
    above = {name for name in IMPORTS[module] if _top(name) in STACK and _top(name) not in allowed}
    assert not above, f"{module} imports {sorted(above)}, which lie above it"


@pytest.mark.parametrize("package", STACK)
def test_the_files_of_a_package_import_one_another_in_one_direction(package):
    graph = {module: {name for name in names if name in MODULES and _top(name) == package}
             for module, names in IMPORTS_ON_LOADING.items() if _top(module) == package}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the files of the cycle


@pytest.mark.parametrize("module", [module for module in MODULES if _top(module) == "search_spaces"])
def test_the_files_of_search_spaces_import_only_files_below_them(module):
    own = {name for name in IMPORTS[module] if name in MODULES and _top(name) == "search_spaces"}
    if _rank(module) in (ORDER.index("search_spaces.blocks."), len(ORDER)):  # families of blocks, ready spaces
        above = {name for name in own if _rank(name) > _rank(module)}
    else:
        above = {name for name in own if _rank(name) >= _rank(module)}
    assert not above, f"{module} imports {sorted(above)}, which do not lie below it"


@pytest.mark.parametrize("package", ROOMS)
def test_every_room_has_its_place_in_the_order(package):
    assert {_room(module) for module in MODULES if _top(module) == package} == set(ROOMS[package])


@pytest.mark.parametrize("module", [module for module in MODULES if _top(module) in ROOMS])
def test_a_room_imports_only_itself_and_rooms_below(module):
    order = ROOMS[_top(module)]
    own = {name for name in IMPORTS[module] if name in MODULES and _top(name) == _top(module)}
    above = {name for name in own if order.index(_room(name)) > order.index(_room(module))}
    assert not above, f"{module} imports {sorted(above)}, which lie above it"


@pytest.mark.parametrize("module", [module for module in MODULES if _top(module) == "search_spaces"])
def test_search_spaces_needs_numpy_only(module):
    others = {_top(name) for name in IMPORTS[module]} - sys.stdlib_module_names - {"search_spaces", "numpy"}
    assert not others


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_imported_from_the_tests(module):
    assert "tests" not in {_top(name) for name in IMPORTS[module]}


def _imported_by(statement: str) -> set[str]:
    """Returns the top-level modules that a fresh interpreter has loaded after a statement."""
    script = f"{statement}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_search_spaces_loads_neither_jax_nor_optuna():
    loaded = _imported_by("import search_spaces")
    assert "search_spaces" in loaded
    assert not loaded & {"jax", "jaxlib", "flax", "optax", "optuna", "onnx", "evaluators", "nas"}


@pytest.mark.parametrize("package", ["evaluators", "nas"])
def test_importing_a_package_loads_nothing_heavy(package):
    assert not _imported_by(f"import {package}") & {"jax", "jaxlib", "flax", "optax", "optuna", "onnx", "scipy"}


@pytest.mark.parametrize("package", ["evaluators", "nas"])
def test_a_package_gives_every_name_that_it_lists(package):
    module = importlib.import_module(package)
    assert all(getattr(module, name) is not None for name in module.__all__)


def test_the_command_line_imports_jax_only_inside_functions():
    loaded = _imported_by("import nas.cli")
    assert "nas" in loaded
    assert not loaded & {"jax", "jaxlib", "flax", "optax"}
