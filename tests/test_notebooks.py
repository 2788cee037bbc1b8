"""The notebooks of docs/, run from the first cell to the last."""

import ast
import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs").glob("*.ipynb"))


def shown_by(source, names):
    """Runs a cell, and returns the value of its last expression, which a notebook shows."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if last else None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_and_each_cell_shows_something(path, monkeypatch, tmp_path):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert all(cell.get("outputs", []) == [] for cell in cells), "outputs are made by the reader"
    names = {"__name__": "__main__"}
    for cell in cells:
        if cell["cell_type"] == "code":
            shown = shown_by("".join(cell["source"]), names)._repr_html_()
            assert "<table" in shown
            assert len(shown) < 100_000


def test_there_is_a_notebook():
    assert [path.name for path in NOTEBOOKS] == ["first-search.ipynb"]
