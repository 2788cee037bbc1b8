"""The documents of targets and runtimes: their code runs, and their tables are those of the registry."""

import dataclasses
import re
import sys
import types
from pathlib import Path

import pytest

from evaluators.runtimes import RUNTIMES, Options, parse_target
from nas.testing import check_runtime

DOCUMENTS = Path(__file__).parents[3] / "docs"
TARGETS = (DOCUMENTS / "targets.md").read_text(encoding="utf-8")
ADDING = (DOCUMENTS / "adding-a-runtime.md").read_text(encoding="utf-8")


def test_the_runtime_of_the_document_is_short_and_keeps_the_contract(monkeypatch):
    code = re.search(r"```python\n(.*?)```", ADDING, re.DOTALL)[1]
    assert len(code.splitlines()) <= 50
    module = types.ModuleType("documented_runtime")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(code, module.__dict__)
    check_runtime(module.Interpreter())


@pytest.mark.parametrize("name", RUNTIMES)
def test_the_table_of_runtimes_has_their_options(name):
    row = re.search(rf"^\| `{name}` \| (.*?) \| (.*?) \|", TARGETS, re.MULTILINE)
    assert f"`{RUNTIMES[name].suffix}`" in row[1]
    assert tuple(re.sub(r" \(.*\)", "", row[2]).split(", ")) == RUNTIMES[name].options


def test_the_table_of_options_has_all_of_them():
    table = TARGETS[TARGETS.index("| option |"):]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [each.name for each in dataclasses.fields(Options)]


def test_the_targets_of_the_document_can_be_parsed():
    written = [line for block in re.findall(r"```\n(.*?)```", TARGETS, re.DOTALL) for line in block.splitlines()]
    assert len(written) == 8
    for text in written:
        assert parse_target(text).text == parse_target(parse_target(text).text).text
