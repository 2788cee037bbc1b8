"""The documents of targets and runtimes: their code runs, and their tables are those of the registry."""

import dataclasses
import os
import re
import shlex
import sys
import types
from pathlib import Path

import pytest

from evaluators.latency import Precision
from evaluators.runtimes import RUNTIMES, Options, parse_target, runtime_of
from evaluators.timing.meter import measure_once
from search_spaces import Architecture

DOCUMENTS = Path(__file__).parents[3] / "docs"
TARGETS = (DOCUMENTS / "targets.md").read_text(encoding="utf-8")
ADDING = (DOCUMENTS / "adding-a-runtime.md").read_text(encoding="utf-8")


def blocks(document, language):
    """Returns the fenced blocks of a language."""
    return [text for name, text in re.findall(r"^```(\w*)\n(.*?)^```$", document, re.DOTALL | re.MULTILINE)
            if name == language]


def test_the_runtime_of_the_document_is_short_and_keeps_the_contract(monkeypatch):
    code, check = blocks(ADDING, "python")
    assert len(code.splitlines()) <= 50
    module = types.ModuleType("documented_runtime")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(code, module.__dict__)
    exec(check, module.__dict__)


@pytest.mark.parametrize("name", RUNTIMES)
def test_the_table_of_runtimes_has_their_options(name):
    row = re.search(rf"^\| `{name}` \| (.*?) \| (.*?) \|", TARGETS, re.MULTILINE)
    assert f"`{RUNTIMES[name].suffix}`" in row[1]
    assert tuple(re.sub(r" \(.*\)", "", row[2]).split(", ")) == RUNTIMES[name].options


def test_the_table_of_options_has_all_of_them():
    table = TARGETS[TARGETS.index("| option |"):]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [each.name for each in dataclasses.fields(Options)]


def test_the_targets_of_the_document_can_be_parsed():
    written = [line for block in blocks(TARGETS, "") for line in block.splitlines()]
    assert len(written) == 8
    for text in written:
        assert parse_target(text).text == parse_target(parse_target(text).text).text


def test_the_script_of_the_document_times_files_as_its_command_says(tmp_path, monkeypatch, random_arrays):
    (script,), (*_, command) = blocks(TARGETS, "python"), blocks(TARGETS, "sh")
    (tmp_path / "bench.py").write_text(script)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    arguments = shlex.split(command)
    target = parse_target(arguments[arguments.index("--target") + 1])
    architecture = Architecture.parse("in_r8_c1+conv_k3_c8_s2_relu+head_c8_relu_n3")
    runtime_of(target).write(architecture, random_arrays(architecture.program, 0), tmp_path / "a model.onnx", {})
    latency = measure_once(target, tmp_path / "a model.onnx", (8, 8, 1), Precision(0.5, 0.05, 0.1))
    assert 0 < latency.low_ms <= latency.median_ms <= latency.high_ms
    assert latency.runs == 30
