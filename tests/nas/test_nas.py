"""Folders of a user that have modules of our names: searches, their processes and scripts find our own, and theirs."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

OURS = Path(__file__).parents[2]
NAS = Path(sysconfig.get_path("scripts")) / "nas"
SCORE = '''\
def score(architecture, data, fidelity):
    """Returns a made-up accuracy."""
    return 1 / (1 + architecture.params)
'''
FOREIGN = "raise AssertionError('a module of the user was imported')\n"
SEARCH = ("search", "--space", "space.toml", "--data", "data.npz", "--start", "none", "--trials", 2, "--run", "run")
COMMANDS = {"console script": (NAS, *SEARCH, "--objectives", "accuracy,macs"),
            "module, which times, two workers": (sys.executable, "-m", "nas.cli", *SEARCH, "--workers", 2)}


@pytest.fixture
def here(inputs, tmp_path):
    """A directory with a space, data, and modules and folders of the names of our packages."""
    for name in ("space.toml", "data.npz"):
        (tmp_path / name).write_bytes((inputs / name).read_bytes())
    for name in ("search_spaces", "experiments"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(FOREIGN)
    (tmp_path / "evaluators.py").write_text(SCORE)
    return tmp_path


def done(*command, cwd):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_search_and_its_processes_find_our_packages_and_the_evaluator_of_the_user(command, here):
    found = done(*command, "--evaluator", "evaluators:score", cwd=here)
    assert found.returncode == 0, found.stderr
    assert "2 trained" in found.stdout


@pytest.mark.parametrize(("files", "path"), [
    ({"evaluators/__init__.py": "from evaluators_of_mine import score\n", "evaluators_of_mine.py": SCORE},
     "evaluators:score"),
    ({"evaluators/mine.py": SCORE}, "evaluators.mine:score"),
    ({"evaluators/__init__.py": "", "evaluators/mine.py": "from .common import score\n",
      "evaluators/common.py": SCORE}, "evaluators.mine.score"),
    ({}, "search_spaces.architecture:identify"),  # of ours, where the user has none
])
def test_a_module_of_the_user_is_found_before_ours(files, path, tmp_path):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    script = ("import nas\nimport evaluators.registry\nfrom nas.run.config import evaluator_named\n"
              f"print(evaluator_named({path!r})(None))")
    found = done(sys.executable, "-c", script, cwd=tmp_path)
    assert found.stdout.startswith(f"<function {path.rpartition(':')[2].rpartition('.')[2]}"), found.stderr


def test_a_script_beside_modules_of_our_names_imports_ours_with_nas_and_keeps_its_own(here):
    (here / "script.py").write_text(
        "from evaluators import score\nfrom nas import SearchConfig\nfrom evaluators.latency import Latency\n"
        "import evaluators, search_spaces.errors\nprint(score.__code__.co_filename, evaluators.__file__)")
    found = done(sys.executable, "script.py", cwd=here)
    assert found.stdout.split() == [str(here / "evaluators.py"), str(OURS / "evaluators/__init__.py")], found.stderr


def test_a_script_imports_experiments_of_its_own(here):
    (here / "experiments" / "__init__.py").write_text("")
    (here / "script.py").write_text("import nas, experiments\nprint(experiments.__file__)")
    found = done(sys.executable, "script.py", cwd=here)
    assert found.stdout.split() == [str(here / "experiments/__init__.py")], found.stderr
