"""Code that a run names, in the hands of the user who has begun with it, of another one, and of a script."""

import dataclasses
import shutil
import sys
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nas.api
from nas.engine.search import run_search
from nas.run.config import SearchConfig
from nas.run.directory import RunDirectory
from nas.run.trust import Code, code_of, given_in_python, remember, require_trusted
from nas.strategies.loading import load
from search_spaces.errors import InvalidInput

MODULE = '''
from pathlib import Path

from optuna.samplers import RandomSampler

Path(__file__).with_name("imported").touch()

def score(architecture, data, fidelity):
    return int(architecture.id, 16) % 1001 / 1000

def sampler(seed):
    return RandomSampler(seed)
'''
COMMAND = "command:touch started; echo 1 ms; echo 1 ms; true {model}"
CODE = {"evaluator": "own_code:score", "strategy": "own_code.sampler", "target": COMMAND}
RULE = "what a file names is run if you have begun it here, and else with `--trust`, but "


OBJECTIVES = ("accuracy", "macs")  # so that nothing is timed


@pytest.fixture(scope="module")
def made(inputs, tmp_path_factory):
    """A run of somebody else, which names code of each kind."""
    directory = tmp_path_factory.mktemp("made")
    (directory / "own_code.py").write_text(MODULE)
    config = SearchConfig(str(inputs / "space.toml"), str(inputs / "data.npz"), objectives=OBJECTIVES, trials=2, **CODE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setattr(sys, "path", [*sys.path])
        yield run_search(config, directory / "run", gauge={}).path
    sys.modules.pop("own_code", None)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current directory, in which a user has code; Python has not imported it."""
    path = tmp_path / "project"
    path.mkdir()
    (path / "own_code.py").write_text(MODULE)
    monkeypatch.chdir(path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    sys.modules.pop("own_code", None)
    yield path
    sys.modules.pop("own_code", None)


@pytest.fixture
def foreign(made, project):
    """The run of somebody else, handed over with its code."""
    shutil.copytree(made, project / "run")
    return RunDirectory(project / "run")


@pytest.fixture
def search(inputs, project):
    """Searches as a new process does, in the run directory `run`, and returns it."""
    def call(path="run", trials=2, trust=False, **changes):
        sys.modules.pop("own_code", None)
        config = SearchConfig(str(inputs / "space.toml"), str(inputs / "data.npz"), objectives=OBJECTIVES,
                              trials=trials, **CODE | changes)
        return run_search(config, project / path, gauge={}, trust=trust)
    return call


NO_CODE = {"evaluator": "training", "strategy": "random", "target": "onnxruntime"}


def has_run(project):
    return [name for name in ("imported", "started") if (project / name).exists()]


def test_who_has_begun_a_run_resumes_it_wherever_its_directory_is(search, project):
    run = search()
    assert len(search(trials=3).told()) == 3
    shutil.move(run.path, project.parent / "elsewhere")
    assert len(search(project.parent / "elsewhere", trials=4).told()) == 4


def test_a_run_of_another_says_in_one_line_what_it_would_run_and_runs_nothing(foreign, project, nas):
    before = (foreign.path / "run.toml").read_bytes()
    status, out, err = nas("search", "--run", "run")
    assert (status, out) == (2, "run: run\n")
    assert err == (f"nas: {RULE}'run' names evaluator 'own_code:score' of '{project}/own_code.py' and strategy "
                   f"'own_code.sampler' of '{project}/own_code.py' and command '{COMMAND.removeprefix('command:')}' "
                   f"run in '{project}'\n")
    assert not has_run(project)
    assert (foreign.path / "run.toml").read_bytes() == before


@pytest.mark.parametrize(("arguments", "named"), [
    (("export", "run"), "command 'touch started;"), (("correlate", "run"), "evaluator 'own_code:score' of ")])
def test_what_a_command_would_not_run_is_not_asked_for(arguments, named, foreign, project, nas):
    status, _, err = nas(*arguments)
    assert status == 2
    assert f"'run' names {named}" in err
    assert " and " not in err.partition("'run' names ")[2]
    assert not has_run(project)


@pytest.mark.parametrize("arguments", [
    ("pareto", "run"), ("pareto", "run", "--json", "--csv", "front.csv", "--png", "front.png"), ("show", "run"),
    ("show", "run", "--trial", "0"), ("report", "run", "--out", "report.html")])
def test_a_command_that_reads_asks_nothing_and_runs_nothing(arguments, foreign, project, nas):
    status, _, err = nas(*arguments)
    assert (status, err.partition(":")[0]) == (0, "the picture is empty" if "--png" in arguments else "")
    assert "own_code" not in sys.modules
    assert not has_run(project)


def test_a_search_that_starts_from_a_run_runs_nothing_of_it(foreign, search, project):
    with pytest.raises(InvalidInput, match="must have trained as this search does"):
        search("new", start=(str(foreign.path),), **NO_CODE)
    assert not has_run(project)


def test_what_is_trusted_once_is_known_from_then_on(foreign, search):
    with pytest.raises(InvalidInput, match=RULE):
        search(trials=3)
    assert len(search(trials=3, trust=True).told()) == 3
    assert len(search(trials=4).told()) == 4


def test_what_is_given_again_is_trusted(foreign, project, nas):
    again = {field: (f"--{field}", text) for field, text in CODE.items()}
    for field, others in (("target", ("evaluator", "strategy")), ("strategy", ("evaluator", "target")),
                          ("evaluator", ("strategy", "target"))):
        status, _, err = nas("search", "--run", "run", *again[others[0]], *again[others[1]])
        assert status == 2
        assert f"'run' names {'command' if field == 'target' else field} " in err
        assert " and " not in err.partition("'run' names ")[2]
    assert not has_run(project)
    for trust in ((*again["evaluator"], *again["strategy"], *again["target"]), (), ("--trust",)):
        status, _, err = nas("search", "--run", "run", *trust)
        assert (status, err) == (0, "")


def test_a_run_that_names_no_code_asks_nobody_and_nothing_is_remembered(project):
    require_trusted(project, "any", code_of(SearchConfig(strategy="random", target=("onnxruntime", "xla:threads=2"))))
    assert not (project.parent / "state").exists()


def test_a_copied_identity_runs_no_code_of_another_place(search, project, monkeypatch):
    run = search()
    handed = project.parent / "handed over"
    shutil.copytree(run.path, handed / "run")
    (handed / "own_code.py").write_text(MODULE)
    monkeypatch.chdir(handed)
    with pytest.raises(InvalidInput) as error:
        search(handed / "run", trials=3)
    assert f"evaluator 'own_code:score' of '{handed}/own_code.py'" in str(error.value)
    assert f"command 'touch started; echo 1 ms; echo 1 ms; true {{model}}' run in '{handed}'" in str(error.value)
    assert not has_run(handed)


def test_a_copied_identity_runs_no_other_code(search, project):
    run = search()
    text = (run.path / "run.toml").read_text()
    (run.path / "run.toml").write_text(text.replace("touch started", "touch other"))
    with pytest.raises(InvalidInput, match="names command 'touch other;"):
        search(target=COMMAND.replace("started", "other"))


def test_code_that_lies_in_the_run_came_along_with_it_and_is_asked_for_each_time(foreign, search, project, monkeypatch):
    shutil.copy("own_code.py", foreign.path)
    monkeypatch.chdir(foreign.path)
    search(trust=True)
    with pytest.raises(InvalidInput, match=f"evaluator 'own_code:score' of '{foreign.path}/own_code.py'"):
        search()


def test_nothing_beside_a_run_is_imported_in_the_place_of_a_library(project):
    load("optuna.samplers:RandomSampler", "a strategy", "a class")
    assert str(project) not in sys.path
    load("own_code:score", "an evaluator", "a function")
    assert sys.path[0] == str(project)


def test_a_script_gives_what_it_has_imported(foreign, search, project):
    config = dataclasses.replace(foreign.config, trials=3)
    with pytest.raises(InvalidInput) as error:
        nas.api.search(config, foreign.path, gauge={})
    assert all(f"{name} " in str(error.value) for name in ("evaluator", "strategy", "command"))
    sys.path.insert(0, str(project))
    import own_code

    own = dataclasses.replace(config, evaluator=own_code.score)
    with pytest.raises(InvalidInput, match="run' names command 'touch started;"):
        nas.api.search(own, foreign.path, gauge={})
    assert len(nas.api.search(own, foreign.path, gauge={}, trust=True).candidates()) == 3
    assert len(nas.api.search(config, foreign.path, gauge={}).candidates()) == 3


def test_what_is_remembered_is_in_a_directory_of_the_users_alone(project, monkeypatch):
    code = Code("target", "a command", str(project))
    remember(project / "run", "identity", [code])
    (folder,) = (project.parent / "state/paretonas").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("XDG_STATE_HOME", "state")  # a relative one counts as none
    monkeypatch.setenv("HOME", str(project.parent / "home"))
    remember(project / "run", "identity", [code])
    assert not (project / "state").exists()
    assert (project.parent / "home/.local/state/paretonas").is_dir()


def test_all_of_a_command_is_shown_in_one_line_however_long(project):
    command = f"echo {'1 ms;' * 99} rm -rf ~;\x1b[8m echo {'1 ms;' * 999}" + " {model}"
    with pytest.raises(InvalidInput) as error:
        require_trusted(project, "any", code_of(SearchConfig(target=f"command:{command}")))
    assert repr(command) in str(error.value)
    assert str(error.value).isprintable()


CODES = st.frozensets(st.builds(Code, st.sampled_from(["evaluator", "strategy", "target"]), st.text(max_size=3),
                                st.sampled_from(["/a", "/a/b.py", "/run/c.py", ""])), max_size=4)


@settings(max_examples=50, deadline=None)
@given(CODES, CODES, st.booleans(), st.sets(st.sampled_from(["evaluator", "strategy", "target"])))
def test_only_what_was_remembered_at_its_place_under_the_same_identity_is_known(before, now, same, given_anew):
    path, identity = Path("/run"), uuid.uuid4().hex
    remember(path, identity, before)
    known = {one for one in before if one.place not in ("", "/run/c.py")} if same else set()
    if any(one not in known and one.field not in given_anew for one in now):
        with pytest.raises(InvalidInput):
            require_trusted(path, identity if same else uuid.uuid4().hex, now, given_anew)
    else:
        require_trusted(path, identity if same else uuid.uuid4().hex, now, given_anew)


def test_code_of_a_search_is_what_is_not_built_in(project):
    assert code_of(SearchConfig()) == ()
    assert code_of(SearchConfig(evaluator="__main__:score")) == ()  # no other script has it
    (found,) = code_of(SearchConfig(strategy="optuna.samplers:TPESampler"))
    assert (found.field, Path(found.place).parts[-2:]) == ("strategy", ("optuna", "__init__.py"))
    (found,) = code_of(SearchConfig(evaluator="nowhere:score"))
    assert str(found) == "evaluator 'nowhere:score'"


def test_modules_of_python_itself_are_not_given_by_having_been_imported():
    assert given_in_python(SearchConfig(strategy="os:abort", evaluator="training")) == ()
    assert given_in_python(SearchConfig(strategy="hypothesis:given", evaluator="training")) == ("strategy",)
