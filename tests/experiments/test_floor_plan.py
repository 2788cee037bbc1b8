import ast
from pathlib import Path

import pytest

from experiments.floor_plan import figures, imported, room

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found():
    return figures(REPOSITORY)


@pytest.mark.parametrize(("package", "most"), [("evaluators", 25), ("nas", 45)])
def test_few_imports_lie_between_rooms_and_none_runs_in_a_circle(found, package, most):
    assert found[f"imports between rooms of {package}"] <= most
    assert found[f"circles of rooms of {package}"] == 0


def test_nearly_all_first_lines_of_docstrings_name_something(found):
    _, _, share = found["first lines of docstrings without a noun"].partition(", ")
    assert float(share.removesuffix("%")) <= 5


@pytest.mark.parametrize("name", ["functions over 60 lines", "functions of complexity over 15"])
def test_nothing_is_too_long_to_be_read_at_once(found, name):
    assert found[name] == []


def test_what_is_too_long_would_be_found(tmp_path):
    for package in ("search_spaces", "evaluators", "nas", "experiments"):
        (tmp_path / package).mkdir()
    branches = "".join(f"    if x == {number}:\n        x += 1\n" for number in range(40))
    content = f"""\"\"\"What is here.\"\"\"\nimport evaluators.other\n\ndef f(x):\n{branches}\n"""
    (tmp_path / "nas/long.py").write_text(content + 400 * "\n")
    (tmp_path / "nas/other.py").write_text("from nas.long import f\n")
    (tmp_path / "evaluators/other.py").write_text('"""A thing."""\n')
    found = figures(tmp_path)
    assert found["files over 400 lines"] == ["nas/long.py 485"]
    assert found["functions over 60 lines"] == ["nas.long:f 81"]
    assert len(found["functions of complexity over 15"]) == 1
    assert found["first lines of docstrings without a noun"] == "1 of 2, 50.0%"
    assert found["imports between rooms of nas"] == 1


def test_an_import_inside_a_function_counts():
    modules = {"nas.a": ast.parse("def f():\n    from nas import b\n    from nas.c import d\n"), "nas": ast.parse(""),
               "nas.b": ast.parse(""), "nas.c": ast.parse("")}
    assert set(imported("nas.a", modules)) == {"nas.b", "nas.c"}
    assert room("nas.cli.search") == "nas.cli"
