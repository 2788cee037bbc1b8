"""The floor plan: the tree with a line for each file, and the figures that it is held to.

    python -m experiments.floor_plan                 # this checkout
    python -m experiments.floor_plan PATH --figures  # another one, such as an older commit, without its tree

Rooms are the folders of a package and the files that stand beside them; an import between two rooms counts once, that
inside a function too. First lines of docstrings are to name a thing or what a function does to one: those that begin
with, or come to, `what`, `who`, `those that` or `one that` are counted. Complexity is McCabe's, as ruff counts it.
"""

import argparse
import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

STACK = ("search_spaces", "evaluators", "nas", "experiments")
LINES_OF_A_FILE, LINES_OF_A_FUNCTION, COMPLEXITY = 400, 60, 15
VAGUE = re.compile(r"\b(what|who|whoever|those (that|which|who)|ones? that)\b", re.IGNORECASE)
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def sources(root: Path) -> dict[str, ast.Module]:
    """Returns the syntax tree of each module of the packages, by its name with dots."""
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"):
            ast.parse(path.read_text(encoding="utf-8"))
            for package in STACK for path in sorted((root / package).rglob("*.py"))}


def room(module: str) -> str:
    """Returns the package of a module and the folder or file of it that the module stands in."""
    return ".".join(module.split(".")[:2])


def imported(module: str, modules: dict[str, ast.Module]) -> Iterator[str]:
    """Yields the modules of the stack that a module imports, wherever it does."""
    for node in ast.walk(modules[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module


def figures(root: Path) -> dict[str, object]:
    """Returns the figures of a checkout by their names."""
    modules = sources(root)
    edges = {(module, other) for module in modules for other in imported(module, modules) if other != module}
    found: dict[str, object] = {"modules": len(modules)}
    for package in ("evaluators", "nas"):
        rooms = {(room(one), room(other)) for one, other in edges
                 if one.startswith(f"{package}.") and other.startswith(f"{package}.") and room(one) != room(other)}
        found[f"rooms of {package}"] = len({room(module) for module in modules if module.startswith(f"{package}.")})
        found[f"imports between rooms of {package}"] = len(rooms)
        found[f"circles of rooms of {package}"] = _circle(rooms)
    named = [node for tree in modules.values() for node in ast.walk(tree) if isinstance(node, DOCUMENTED)]
    first_lines = [text.partition("\n")[0] for node in named if (text := ast.get_docstring(node))]
    vague = sum(bool(VAGUE.search(line)) for line in first_lines)
    found["first lines of docstrings without a noun"] = f"{vague} of {len(first_lines)}, {vague / len(first_lines):.1%}"
    files = [*(path for package in STACK for path in (root / package).rglob("*.py")), *(root / "tests").rglob("*.py")]
    found[f"files over {LINES_OF_A_FILE} lines"] = [
        f"{path.relative_to(root)} {count}" for path in files
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > LINES_OF_A_FILE]
    found[f"functions over {LINES_OF_A_FUNCTION} lines"] = [
        f"{name}:{node.name} {length}" for name, tree in modules.items() for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and (length := (node.end_lineno or 0) - node.lineno + 1)
        > LINES_OF_A_FUNCTION]
    found[f"functions of complexity over {COMPLEXITY}"] = _complex(root)
    return found


def _circle(rooms: set[tuple[str, str]]) -> object:
    graph: dict[str, set[str]] = {}
    for one, other in rooms:
        graph.setdefault(one, set()).add(other)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " -> ".join(error.args[1])
    return 0


def _complex(root: Path) -> list[str]:
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "C901", "--output-format", "json", "--config",
         f"lint.mccabe.max-complexity = {COMPLEXITY}", *(str(root / package) for package in STACK)],
        capture_output=True, text=True, check=False)
    return [found["message"] for found in json.loads(checked.stdout)]


def main() -> None:
    """Prints the tree and the figures of a checkout."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--figures", action="store_true", help="without the tree")
    arguments = parser.parse_args()
    if not arguments.figures:
        for module, tree in sources(arguments.root).items():
            print(f"{module:48} {(ast.get_docstring(tree) or '').partition(chr(10))[0]}")
    for name, value in figures(arguments.root).items():
        print(f"{name}: {', '.join(value) or 0}" if isinstance(value, list) else f"{name}: {value}")


if __name__ == "__main__":
    main()
