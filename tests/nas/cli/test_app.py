import csv
import json
import os
import runpy
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from PIL import Image

from evaluators.timing.meter import LatencyMeter
from nas import cli
from nas.report.records import COLUMNS

MINE = '''\
"""Prefers few parameters: a score of one's own, for a test."""

import os

from evaluators.evaluator import Score


def score(architecture, data, fidelity):
    """Returns a made-up accuracy."""
    correct = 1000 - architecture.params // 10 % 1000
    return Score(correct / 1000, 1000)
'''
NAS = Path(sysconfig.get_path("scripts")) / "nas"
ARCHITECTURE = "in_r12_c1+conv_k3_c8_s2_relu+mb_k3_e3_c8_s1_se0_relu+head_c16_relu_n2"
BUILTIN = ("--space", "space.toml", "--data", "data.npz", "--evaluator", "mine:score", "--latency", "50ms")


@pytest.fixture(scope="module")
def workplace(inputs, tmp_path_factory):
    """A directory of a user: a space, data, and an evaluator."""
    directory = tmp_path_factory.mktemp("workplace")
    for name in ("space.toml", "data.npz"):
        (directory / name).write_bytes((inputs / name).read_bytes())
    (directory / "mine.py").write_text(MINE)
    return directory


def in_a_process(*arguments, cwd, **environment):
    return subprocess.run([NAS, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False,
                          env=os.environ | environment)


@pytest.fixture(scope="module")
def run(workplace):
    """A search with the user's evaluator, on real timings."""
    done = in_a_process("search", *BUILTIN, "--trials", 3, "--run", "run", cwd=workplace)
    assert done.returncode == 0, done.stderr
    assert "3 trained" in done.stdout
    assert "Pareto front" in done.stdout
    return workplace / "run"


def content(directory):
    """Returns the files under a directory, except for those that imports and open data bases leave."""
    return {path: path.read_bytes() for path in directory.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and ".db-" not in path.name}


HEAVY = {"jax", "jaxlib", "flax", "optax", "onnx", "onnxruntime", "matplotlib", "scipy", "sqlalchemy", "alembic", "PIL",
         "pandas", "torch"}


def loaded_by(*commands):
    """Returns the modules that a process has loaded after some commands."""
    script = ("import sys\nfrom nas.cli import main\nfor command in sys.argv[1:]:\n"
              "    sys.argv = ['nas', *command.split()]\n    try:\n        main()\n    except SystemExit as ended:\n"
              "        assert not ended.code, command\n"
              "print(*sorted({name.partition('.')[0] for name in sys.modules}))")
    done = subprocess.run([sys.executable, "-c", script, *map(str, commands)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_help_imports_nothing_heavy():
    loaded = loaded_by("--help", "search --help-all")
    assert "typer" in loaded
    assert not loaded & {*HEAVY, "optuna", "numpy"}


def test_what_is_shown_needs_nothing_heavy(run):
    loaded = loaded_by("zoo", "show mobilenet_v3_small", f"show {run}", f"show {run} --trial 1", f"pareto {run}",
                       f"pareto {run} --json")
    assert "numpy" in loaded
    assert not loaded & HEAVY


SEARCHES = [
    (("--space", "mobil"), "unknown space 'mobil'; did you mean 'mobile'"),
    (("--space", "missing.toml"), "'missing.toml'"),
    (("--space", "even.toml"), "`kernel` must be odd, but got kernel=4"),
    (("--space", "option.toml"), "unknown option 'q5'"),
    (("--data", "fashion-mnst"), "did you mean 'fashion-mnist'"),
    (("--data", "missing.npz"), "missing.npz"),
    (("--data", "broken.npz"), "intact archive"),
    (("--data", "images"), "broken.png"),
    (("--target", "onnxruntim"), "unknown runtime 'onnxruntim'; did you mean 'onnxruntime'"),
    (("--target", "onnxruntime:core=1"), "unknown option of a target 'core'"),
    (("--target", "onnxruntime:threads=9999"), "`threads` must be at most"),
    (("--target", "table:missing.csv"), "a table of timed networks must be readable, but got "),
    (("--target", "table:mine.py"), "a table of timed networks must be a CSV file with the columns architecture"),
    (("--latency", "0.1"), "latency needs a unit: 0.1ms, 80us or 0.0001s, but got '0.1'"),
    (("--latency", "0.1min"), "unknown unit of latency 'min'"),
    (("--latency", "fast"), "latency is written like"),
    (("--latency", "-1ms"), "latency must be positive"),
    (("--latency", "0us"), "latency must be positive"),
    (("--latency", "p0"), "percentile must lie in (0, 100]"),
    (("--latency", "p101"), "percentile must lie in (0, 100]"),
    (("--latency", "0.0001ms"), "least found among its smallest is latency"),
    (("--macs", "20X"), "unknown unit of macs 'X'"),
    (("--macs", "5"), "least found among its smallest is macs"),
    (("--params", "many"), "params is written like"),
    (("--memory", "1000"), "memory needs a unit"),
    (("--size", "0B"), "size must be positive"),
    (("--time", "30"), "time needs a unit: 30m, 1.5h or 90s, but got '30'"),
    (("--time", "0m"), "time must be positive"),
    (("--patience", "0"), "`patience` must be at least 1"),
    (("--early-stopping", "--rungs", "1;3"), "rungs are written like 1,3, but got '1;3'"),
    (("--early-stopping", "--epochs", "3", "--rungs", "12"), "shorter than the training, but got 12 of "),
    (("--no-early-stopping", "--rungs", "1"), "`rungs` and `brackets` are of early stopping, but got them without it"),
    (("--early-stopping", "--brackets", "0"), "`brackets` must be at least 1"),
    (("--strategy", "tpee"), "unknown strategy 'tpee'; did you mean 'tpe'"),
    (("--strategy", "mine:score"), "a strategy must be made with `seed`, `problem` or nothing, but 'mine:score' could"),
    (("--strategy", "mine.os"), "a strategy must name a class or a function that makes one"),
    (("--strategy", "grid", "--space", "mobile"), "grid is for spaces of at most 10000 members, but got one of "),
    (("--evaluator", "trainin"), "unknown evaluator 'trainin'; did you mean 'training'"),
    (("--evaluator", "nowhere:score"), "No module named 'nowhere'"),
    (("--evaluator", "mine:scores"), "'mine' has no 'scores'"),
    (("--evaluator", "mine:os"), "is a module"),
    (("--evaluator", ":score"), "an evaluator must name a module"),
    (("--objectives", "speed"), "unknown objective 'speed'"),
    (("--objectives", "latency"), "must be accuracy, alone or with one of latency, macs, params"),
    (("--objectives", "accuracy,"), "`--objectives` takes names between commas, none empty, but got 'accuracy,'"),
    (("--start", ",filled"), "`--start` takes names between commas, none empty, but got ',filled'"),
    (("--storage", ""), "a value follows '--storage', but got ''"),
    (("--storage=",), "a value follows '--storage', but got ''"),
    (("--latency-from", "missing.json"), "a predictor must be as `save` has written it, but "),
    (("--latency-from", "mine.py"), "a predictor must be as `save` has written it, but "),
    (("--trials", "0"), "`trials` must be at least 1"),
    (("--trials", "few"), "Invalid value for '--trials'"),
    (("--epochs", "0"), "`epochs` must be at least 1"),
    (("--batch", "0"), "`batch` must be at least 1"),
    (("--augmentation", "zoom"), "unknown augmentation 'zoom'"),
    (("--compile", "block"), "unknown way to compile 'block'; did you mean 'blocks'?"),
    (("--seed", "-1"), "`seed` must not be negative"),
    (("--resolution", "0"), "`resolution` must be at least 1"),
    (("--trails", "5"), "No such option: --trails"),
    (("--space",), "requires an argument"),
    (("extra",), "unexpected extra argument"),
    (("--run", "mine.py"), "a run directory must be a directory, but got 'mine.py'"),
]


@pytest.mark.parametrize(("arguments", "rule"), SEARCHES, ids=[" ".join(arguments) for arguments, _ in SEARCHES])
def test_a_search_for_something_wrong_is_one_line_and_writes_nothing(
        arguments, rule, nas, workplace, tmp_path, monkeypatch):
    for path in workplace.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "even.toml").write_text('stages = ["conv_k4_c8_s2_relu", "head_c16_relu"]')
    (tmp_path / "option.toml").write_text('stages = ["conv_k3_c8_s2_q5_relu", "head_c16_relu"]')
    (tmp_path / "broken.npz").write_bytes((workplace / "data.npz").read_bytes()[:1000])
    for name in ("cat/a", "cat/b", "cat/c", "dog/a", "dog/b", "dog/c"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (12, 12)).save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "images" / "cat" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing else")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = content(tmp_path)
    given = {name: value for name, value in zip(BUILTIN[::2], BUILTIN[1::2], strict=True) if name not in arguments}
    status, _, err = nas("search", *[part for pair in given.items() for part in pair], *arguments)
    assert status == 2
    assert rule in err
    assert err.startswith("nas: ")
    assert err.count("\n") == 1
    assert content(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {
        path.relative_to(tmp_path).parts[0] for path in before}


OTHERS = [
    (("show", "in_r12_c1+conv_k4_c8_s2_relu+head_c16_relu_n2"), "`kernel` must be odd, but got kernel=4"),
    (("show", "in_r12_c1+conv_k3_c8_relu+head_c16_relu_n2"), "conv_k3_c8_relu"),
    (("show", "in_r12_c1+conv_k3_c8_s2_gelu+head_c16_relu_n2"), "gelu"),
    (("show", "in_r12_c1+cnv_k3_c8_s2_relu+head_c16_relu_n2"), "did you mean 'conv'"),
    (("show", "in_r12_c1++head_c16_relu_n2"), "joined by single '+' signs"),
    (("show", "in_r12_c1+conv_k3_c8_s2_relu"), "ends in a classifier"),
    (("show", "nowhere"), "unknown network 'nowhere'"),
    (("show",), "Missing argument"),
    (("show", "nowhere", "--trial", "1"), "a run directory holds run.toml, but 'nowhere' does not"),
    (("pareto", ""), "an argument has a value, but got ''"),
    (("pareto", "nowhere"), "a run directory holds run.toml, but 'nowhere' does not"),
    (("export", "nowhere"), "a run directory holds run.toml, but 'nowhere' does not"),
    (("certify", "nowhere"), "an export holds certificate.json, but 'nowhere' does not"),
    (("certify", "nowhere", "--apart", "soon"), "time is written like"),
    (("certify", "nowhere", "--times", "0"), "`times` must be at least 1, but got 0"),
    (("train", "nowhere"), "unknown network 'nowhere'"),
    (("train", "nowhere.safetensors"), "must be a readable safetensors file"),
    (("train", "resnet18", "--latency", "p30"), "latency is written like 0.1ms, 80us or 0.0001s, but got 'p30'"),
    (("train", "resnet18", "--macs", "1M"), "a network is trained if it meets its budgets, but got macs"),
    (("train", "resnet18", "--classes", "7"), "`classes` is for networks that are exported without data"),
    (("train", "resnet18", "--epochs", "-1"), "`epochs` must not be negative"),
    (("train", "resnet18", "--format", "onnx, ,flax"), "between commas, none empty, but got 'onnx, ,flax'"),
    (("train", "resnet18", "--out", "."), "an export goes to another directory than the current one"),
    (("space", "mobil"), "did you mean 'mobile'"),
    (("space", "mobile", "--latency", "1"), "latency needs a unit"),
    (("space", "mobile", "--latency", "p30"), "latency is written like 0.1ms, 80us or 0.0001s, but got 'p30'"),
    (("space", "mobile", "--data", "nowhere"), "nowhere"),
    (("space", "mobile", "--macs", "1k"), "least found among its smallest is macs"),
    (("serch",), "No such command 'serch'"),
]


@pytest.mark.parametrize(("arguments", "rule"), OTHERS, ids=[" ".join(arguments)[:60] for arguments, _ in OTHERS])
def test_anything_else_that_is_wrong_is_one_line_too(arguments, rule, nas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LatencyMeter, "measure", None)  # nothing is timed before
    status, _, err = nas(*arguments)
    assert status == 2
    assert rule in err
    assert err.startswith("nas: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


WITH_RUN = [
    (("show", "run", "--trial", "99"), "has no trial 99"),
    (("export", "run", "--trial", "99"), "has no trial 99"),
    (("export", "run", "--format", "tflite"), "unknown format 'tflite'; did you mean 'litert'?"),
    (("export", "run", "--epochs", "0"), "`epochs` must be at least 1"),
    (("export", "run", "--latency", "p30"), "latency is written like 0.1ms, 80us or 0.0001s, but got 'p30'"),
    (("export", "run", "--macs", "1"), "a trained candidate within"),
    (("export", "run", "--out", "."), "an export goes to another directory than the current one"),
    (("export", "run", "--out", "run"), "an export goes to a new or empty directory"),
    (("search", *BUILTIN, "--run", "run", "--space", "mobile"), "space.toml' there, 'mobile' here"),
    (("search", "--run", "run", "--latency", "40ms", "--seed", "3"), "latency_ms is 50.0 there, 40.0 here; seed is 0"),
    (("search", "--run", "run", "--latency", "p30"), "latency_ms is 50.0 there, None here; latency_percentile is None"),
]


@pytest.mark.parametrize(("arguments", "rule"), WITH_RUN, ids=[" ".join(arguments)[:60] for arguments, _ in WITH_RUN])
def test_what_does_not_fit_a_run_is_one_line_and_leaves_it_as_it_was(arguments, rule, nas, run, monkeypatch):
    monkeypatch.chdir(run.parent)
    before = content(run.parent)
    status, _, err = nas(*arguments)
    assert (status, err.count("\n")) == (2, 1)
    assert rule in err
    assert content(run.parent) == before


def test_the_front_as_json_has_a_row_for_every_trial(nas, run):
    status, out, err = nas("pareto", run, "--json")
    assert (status, err) == (0, "")
    rows = json.loads(out)
    assert all(list(row) == list(COLUMNS) for row in rows)
    trained = {row["architecture"]: row for row in rows if row["trained"]}
    assert len(trained) == 3
    for row in trained.values():
        assert row["accuracy"] == (1000 - row["params"] // 10 % 1000) / 1000
        assert row["accuracy_ci"][0] < row["accuracy"] < row["accuracy_ci"][1]
        assert 0 < row["latency_ci_ms"][0] <= row["latency_ms"] <= row["latency_ci_ms"][1] <= 50
        assert row["feasible"]
    best = max(rows, key=lambda row: (row["accuracy"], -row["latency_ms"]))
    assert best["on_front"]


def test_paths_may_begin_with_the_home_directory_wherever_they_stand(nas, run, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(run.parent))
    monkeypatch.chdir(tmp_path)
    assert nas("pareto", "~/run", f"--csv=~/{tmp_path.name}.csv", "--json")[0] == 0
    assert (run.parent / f"{tmp_path.name}.csv").is_file()
    assert "its smallest is macs" in nas("search", "--space", "~/space.toml", "--data=~/data.npz", "--macs", 5)[2]
    assert "a space file must be readable TOML, but got '~no.such.user/" in nas("space", "~no.such.user/space.toml")[2]
    assert list(tmp_path.iterdir()) == []


SCRIPT = """
from nas.api import search
from nas.run.config import SearchConfig

def score(architecture, data, fidelity):
    return 0.5

search(SearchConfig(space="space.toml", data="data.npz", evaluator=score, objectives=("accuracy", "macs"), trials=2),
       "of-a-script")
"""


def test_the_search_of_a_script_does_not_go_on_without_its_evaluator(workplace, nas, monkeypatch):
    monkeypatch.chdir(workplace)
    (workplace / "script.py").write_text(SCRIPT)
    runpy.run_path("script.py", run_name="__main__")
    before = content(workplace)
    status, out, err = nas("search", "--run", "of-a-script", "--trials", 3)
    assert (status, err.count("\n")) == (2, 1)
    assert "put it into a module" in err
    assert "space:" not in out  # nothing was prepared, let alone measured
    assert content(workplace) == before


def test_a_terminal_of_ascii_shows_what_it_can(run, tmp_path):
    for arguments in (("pareto", run), ("pareto", tmp_path / "näs")):
        done = in_a_process(*arguments, cwd=tmp_path, PYTHONIOENCODING="ascii", LC_ALL="C")
        assert "UnicodeEncodeError" not in done.stderr
        assert done.returncode == (0 if arguments[1] == run else 2)


@pytest.mark.parametrize(("option", "begins"), [("--csv", "trial,"), ("--png", "\ufffdPNG")])
def test_standard_output_takes_a_file_of_the_front_and_nothing_else(workplace, run, tmp_path, option, begins):
    done = subprocess.run([NAS, "pareto", run, option, "-"], cwd=tmp_path, capture_output=True, check=True)
    text = done.stdout.decode(errors="replace")
    assert text.startswith(begins)
    assert "accuracy" not in text.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_standard_output_takes_one_thing_only(nas, run, tmp_path):
    for options in (("--csv", "-", "--json"), ("--csv", "-", "--png", "-")):
        status, out, err = nas("pareto", run, *options)
        assert (status, out) == (2, "")
        assert "standard output takes one of" in err


def test_the_front_as_csv_and_png_are_files(nas, run, tmp_path):
    status, out, _ = nas("pareto", run, "--csv", tmp_path / "front.csv", "--png", tmp_path / "front.png")
    assert status == 0
    assert "Pareto front" in out
    with (tmp_path / "front.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == [str(row["trial"]) for row in json.loads(nas("pareto", run, "--json")[1])]
    with Image.open(tmp_path / "front.png") as image:
        assert image.size[0] > 1000
    assert {path.name for path in tmp_path.iterdir()} == {"front.csv", "front.png"}


def test_an_architecture_is_shown_by_its_text_and_by_its_run(nas, run):
    status, out, _ = nas("show", ARCHITECTURE)
    assert status == 0
    assert ARCHITECTURE in out.replace("\n", "")
    for text in ("convolution 3x3 depthwise", "12x12x1", "6x6x24"):
        assert text in out
    winner = nas("show", run)[1].splitlines()[0]
    rows = json.loads(nas("pareto", run, "--json")[1])
    best = max((row for row in rows if row["trained"]), key=lambda row: (row["accuracy"], -row["latency_ms"]))
    assert winner == best["architecture"]
    assert nas("show", run, "--trial", rows[0]["trial"])[1].splitlines()[0] == rows[0]["architecture"]


def test_a_text_longer_than_any_path_is_shown(nas):
    text = ARCHITECTURE.replace("+head", 40 * "+mb_k3_e3_c8_s1_se0.25_hswish" + "+head")
    status, out, err = nas("show", text)
    assert (status, err) == (0, "")
    assert out.startswith(text)


def test_a_space_is_described_and_its_budget_checked(nas, workplace, tmp_path):
    (tmp_path / "two.toml").write_text('stages = ["conv_k3/5_c8_s2_relu", "head_c16_relu"]')
    status, out, err = nas("space", tmp_path / "two.toml", "--data", workplace / "data.npz", "--latency", "50ms")
    assert (status, err) == (0, "")
    for text in ("2 architectures, 1 choice", "latency 50 ms: can be met, e.g. by in_r12_c1", "least", "p30", "most",
                 "percentiles of 2 random members"):
        assert text in out


def test_the_same_command_on_a_finished_search_trains_nothing(nas, run, monkeypatch):
    monkeypatch.chdir(run.parent)
    rows = nas("pareto", run, "--json")[1]
    assert nas("search", "--run", "run")[0] == 0  # the rest is in the run directory
    assert nas("pareto", run, "--json")[1] == rows


def test_what_fails_is_one_line_with_status_one_and_debug_shows_where(nas, workplace, monkeypatch, tmp_path):
    (tmp_path / "bad.py").write_text("def score(architecture, data, fidelity):\n    return undefined\n")
    monkeypatch.chdir(tmp_path)
    arguments = ["search", "--space", workplace / "space.toml", "--data", workplace / "data.npz",
                 "--evaluator", "bad:score", "--objectives", "accuracy,macs", "--run", "run"]
    status, _, err = nas(*arguments)
    assert status == 1
    assert err == ("nas: 5 candidates failed one after the other, the last with: NameError: name 'undefined' is not "
                   "defined\n")
    monkeypatch.setattr(sys, "argv", ["nas", "--debug", *map(str, arguments)])
    with pytest.raises(Exception, match="5 candidates failed"):
        cli.main()
