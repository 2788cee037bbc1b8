"""Pages against the code: commands and Python blocks are run, or parsed as the command line and Python parse them.

Commands that read a run or the zoo are run on a small run, all others are parsed by their real parser. Python blocks
are run; those after `<!-- parsed: REASON -->` are not, but each call of ours is held against the signature.
"""

import ast
import contextlib
import importlib
import inspect
import io
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import types
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from docs.site.reference import all_commands
from evaluators.networks.checkpoint import save_network
from evaluators.networks.weights import initial_arrays
from nas import cli
from nas.cli.app import app
from nas.engine.search import run_search
from nas.run.config import SearchConfig
from search_spaces import Architecture

REPOSITORY = Path(__file__).parents[2]
PAGES = {path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8") for path in sorted(
    [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / "experiments").rglob("*.md")])}
FENCE = re.compile(r"^(<!-- parsed: .+ -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OTHERS = {"--strict": ("docs/decisions/0013-a-site-by-zensical.md",)}  # of other programs, by pages
ELSEWHERE = {  # pages whose Python blocks other tests run, with more than they themselves say
    "docs/adding-a-block.md": "test_documents.py", "docs/adding-a-runtime.md": "evaluators/runtimes/test_runtimes.py",
    "docs/choosing-a-strategy.md": "nas/strategies/test_loading.py",
    "docs/files.md": "nas/export/test_files_document.py", "docs/targets.md": "evaluators/runtimes/test_runtimes.py"}
RUN = ("nas pareto", "nas show", "nas report", "nas zoo")
LONG = {"--live", "--time-blocks", "--dashboard"}  # options with which these measure, or serve until they are ended
COMMANDS = dict(all_commands(typer.main.get_command(app)))
EXTRAS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
NETWORK = "in_r28_c1+conv_k3_c8_s2_relu6+head_c16_relu6_n10"


def lines() -> Iterator[tuple[str, str]]:
    """Yields each line that is a command, with its page; a backslash at its end joins the next one."""
    for page, text in PAGES.items():
        for _, language, block in FENCE.findall(text):
            if language in ("", "sh", "bash", "console", "shell"):
                for line in block.replace("\\\n", " ").splitlines():
                    if re.match(r"(\$ )?(\S*/)?(nas|python|make|pip) ", line):
                        yield page, re.sub(r"^(\$ )?(\S*/)?", "", line)


LINES = list(lines())
OURS = [(page, line) for page, line in LINES if line.startswith("nas ")]
BLOCKS = [(page, number, marker, block) for page, text in PAGES.items() for number, (marker, language, block)
          in enumerate(FENCE.findall(text)) if language == "python" and page not in ELSEWHERE]


def command_of(words: list[str]) -> tuple[str, list[str]]:
    """Returns the full name of a command, and its arguments."""
    for length in (3, 2):
        if " ".join(words[:length]) in COMMANDS:
            return " ".join(words[:length]), words[length:]
    raise AssertionError(f"no such command: {words}")


def is_run(line: str) -> bool:
    words = shlex.split(line, comments=True)
    return command_of(words)[0] in RUN and not LONG & set(words)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A directory with what pages take for granted: runs, an export, and a space."""
    directory = tmp_path_factory.mktemp("pages")
    config = SearchConfig(space="learning-curves", data="table:learning-curves", objectives=("accuracy", "macs"),
                          strategy="random", trials=6)
    run = run_search(config, directory / "runs/a").path
    for name in ("b", "photos", "first"):
        shutil.copytree(run, directory / "runs" / name)
    network = Architecture.parse(NETWORK)
    (run / "export").mkdir()
    save_network(network, initial_arrays(network.program, 0), run / "export/model.safetensors", {})
    (space,) = (block for _, language, block in FENCE.findall(PAGES["docs/writing-a-space.md"]) if language == "toml")
    (directory / "space.toml").write_text(space, encoding="utf-8")
    return directory


@pytest.mark.parametrize(("page", "line"), [pair for pair in OURS if not is_run(pair[1])])
def test_a_command_has_options_and_values_that_it_takes(page, line):
    name, arguments = command_of(shlex.split(line, comments=True))
    COMMANDS[name].make_context(name, arguments)


@pytest.mark.parametrize(("page", "line"), [pair for pair in OURS if is_run(pair[1])])
def test_a_command_that_reads_ends_well(page, line, workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(sys, "argv", shlex.split(line, comments=True))
    with contextlib.redirect_stdout(io.StringIO()) as output, pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert output.getvalue() or "--png" in line or "--svg" in line


def test_other_commands_are_there():
    targets = re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    for page, line in LINES:
        words = shlex.split(line, comments=True)
        if words[:2] == ["python", "-m"] and words[2].startswith(("experiments", "docs")):
            source = Path(find_spec(words[2]).origin).read_text(encoding="utf-8")
            options = {word for word in words[3:] if word.startswith("--")}
            assert all(f'"{option}"' in source or "arguments(" in source or "COMPARISON" in source
                       for option in options), (page, line)
        elif words[0] == "make":
            assert words[1] in targets, (page, line)
        elif words[0] == "pip":
            for extra in re.findall(r"\[(.*?)\]", line):
                assert set(extra.split(",")) <= EXTRAS.keys(), (page, line)


@pytest.mark.parametrize("page", PAGES)
def test_an_option_that_a_page_names_is_one_of_its_command(page):
    prose = FENCE.sub("", PAGES[page])
    every = {option for command in COMMANDS.values() for parameter in command.params
             for option in [*parameter.opts, *parameter.secondary_opts]}
    for code in re.findall(r"`([^`]+)`", prose):
        named = re.match(r"nas ([a-z]+(?:-[a-z]+)*)(?: [a-z]+)?", code)
        if named:
            name, _ = command_of(code.split())
            own = {option for parameter in COMMANDS[name].params
                   for option in [*parameter.opts, *parameter.secondary_opts]}
            wrong = set(re.findall(r"(?<=\s)--[a-z][a-z-]*", code)) - own - {"--help", "--help-all", "--debug"}
            assert not wrong, f"`{code}`"
        elif code.startswith("--"):
            option = re.match(r"--[a-z-]+", code)[0]
            assert option in every | {"--help", "--help-all", "--debug"} or page in OTHERS.get(option, ()), f"`{code}`"


@pytest.mark.parametrize("block", [block for *_, block in BLOCKS], ids=[f"{page}-{at}" for page, at, _, _ in BLOCKS])
def test_the_calls_of_a_python_block_fit_what_they_call(block):
    tree, names = ast.parse(block), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name.partition(".")[0]: importlib.import_module(alias.name)
                      for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and find_spec(node.module.partition(".")[0]):
            module = importlib.import_module(node.module)
            names |= {alias.asname or alias.name: getattr(module, alias.name) for alias in node.names}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = names.get(call.func.id) if isinstance(call.func, ast.Name) else None
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
            called = getattr(names.get(call.func.value.id), call.func.attr, None)
        if called is not None and getattr(called, "__module__", "").startswith(("nas", "evaluators", "search_spaces")):
            inspect.signature(called).bind(*call.args, **{given.arg: given for given in call.keywords})


@pytest.mark.parametrize("page", sorted({page for page, _, marker, _ in BLOCKS if not marker}))
def test_the_python_blocks_of_a_page_run_one_after_the_other(page, workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # where classes of a page look for themselves
    module.images = np.zeros((2, 28, 28, 1), np.float32)
    with contextlib.redirect_stdout(io.StringIO()):
        for name, _, marker, block in BLOCKS:
            if name == page and not marker:
                exec(compile(block, page, "exec"), module.__dict__)


def test_pages_of_other_tests_are_named_there():
    for page, test in ELSEWHERE.items():
        assert page.rpartition("/")[2] in (REPOSITORY / "tests" / test).read_text(encoding="utf-8")
        assert "```python" in PAGES[page]


@pytest.mark.slow
def test_the_tutorial_leads_from_photos_to_a_certified_file(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="needs the extra `litert`")
    generator = np.random.default_rng(0)
    for label, name in enumerate(("daisy", "dandelion")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(60):
            pixels = generator.integers(0, 128, (40, 50, 3)) + 100 * label
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / name / f"{number:04}.png")
    shorter = {"--time 10m": "--trials 2 --epochs 1", "--epochs 30": "--epochs 1 --finals off",
               "--times 3": "--times 1", "--resolution 48": "--resolution 16", "p30": "50ms"}
    ends = []
    for line in (line for page, line in OURS if page == "docs/tutorial.md" and "on_phone" not in line):
        for long, short in shorter.items():
            line = line.replace(long, short)
        done = subprocess.run([sys.executable, "-m", "nas.cli", *shlex.split(line, comments=True)[1:]], cwd=tmp_path,
                              check=False, capture_output=True, text=True)
        ends.append((line, done.returncode, done.stderr))
    assert [status for _, status, _ in ends] == [0] * 6, ends
    assert (tmp_path / "runs/photos/export/model.tflite").is_file()
    assert (tmp_path / "runs/photos/report.html").is_file()
