"""Every module has its tests where its path says, or a line in `tests/README.md` that says where and why."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
REPOSITORY = TESTS.parent
PACKAGES = ("search_spaces", "evaluators", "nas", "experiments")


def _has_code(path: Path) -> bool:
    return path.name != "__init__.py" or len(ast.parse(path.read_text(encoding="utf-8")).body) > 1


def _place(module: Path) -> Path:
    """Returns where the tests of a module belong."""
    folder = TESTS / module.parent
    return folder / f"test_{folder.name if module.name == '__init__.py' else module.stem}.py"


def _rows() -> list[tuple[list[str], list[str], str]]:
    """Returns the modules, tests and reasons of each line of the list."""
    lines = (TESTS / "README.md").read_text(encoding="utf-8").split("|---|---|---|\n")[1].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(re.findall("`(.*?)`", modules), re.findall("`(.*?)`", tests), why) for modules, tests, why in cells]


MODULES = [path.relative_to(REPOSITORY) for package in PACKAGES for path in sorted((REPOSITORY / package).rglob("*.py"))
           if _has_code(path)]
ELSEWHERE = [module for module in MODULES if not _place(module).exists()]


def test_every_module_has_its_tests_in_place_or_listed():
    listed = [pattern for patterns, _, _ in _rows() for pattern in patterns]
    missing = [str(module) for module in ELSEWHERE
               if not any(module.parent == Path(pattern).parent and module.match(pattern) for pattern in listed)]
    assert not missing, f"these modules need tests in their place or a line in tests/README.md: {missing}"


@pytest.mark.parametrize(("modules", "tests", "why"), _rows(), ids=lambda cell: cell[0] if cell else "none")
def test_a_line_of_the_list_is_about_modules_and_tests_that_are_there(modules, tests, why):
    for pattern in modules:
        assert any(module.parent == Path(pattern).parent and module.match(pattern) for module in ELSEWHERE), pattern
    assert all((TESTS / name).is_file() for name in tests)
    assert why
