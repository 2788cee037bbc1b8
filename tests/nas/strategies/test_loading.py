import json
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.engine.search import run_search
from nas.problem.budgets import Budgets
from nas.run.config import SearchConfig
from nas.strategies import STRATEGIES, Problem, sampler_of
from nas.strategies.loading import place_of, require_able, strategy_of
from nas.testing import check_strategy
from search_spaces.errors import InvalidInput
from search_spaces.space import Space

REPOSITORY = Path(__file__).parents[3]
SPACE = Space.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3/5_e3/6_c8_s1_se0/0.25_relu+head_c16_relu_n2")
MINE = '''
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

class Seeded(RandomSampler):
    def __init__(self, seed):
        super().__init__(seed=seed)

def eager(seed, problem):
    return TPESampler(seed=seed, n_startup_trials=len(problem.objectives))

class SingleMinded(RandomSampler):
    def sample_relative(self, study, trial, search_space):
        study.direction
        return {}

class Unbound(RandomSampler):
    def sample_relative(self, study, trial, search_space):
        if any(other.constraints for other in study.trials):
            raise NotImplementedError("constraints")
        return {}

class Outside(RandomSampler):
    def sample_independent(self, study, trial, name, distribution):
        return "elsewhere"

class Complete(RandomSampler):
    """Takes it that each trial has all parameters."""
    def sample_relative(self, study, trial, search_space):
        for other in study.trials[:-1]:
            assert other.params.keys() == search_space.keys()
        return {}

class Late(RandomSampler):
    def sample_relative(self, study, trial, search_space):
        assert sum(other.state.is_finished() for other in study.trials) <= 10, "too many"
        return {}

class Demanding(RandomSampler):
    def __init__(self, friends):
        super().__init__()

def careless(seed):
    return seed

def idle():
    return RandomSampler()

class Plain:
    pass

class Fixed:
    """Proposes the same member each time."""
    continues_stopped = False

    def __init__(self, problem):
        self.member = problem.space.enumerated(100)[0]

    def propose(self, history, running, generator):
        return self.member

class Short(Fixed):
    def propose(self, history, running, generator):
        return dict(list(self.member.items())[1:])

class Elsewhere(Fixed):
    def propose(self, history, running, generator):
        return {name: "elsewhere" for name in self.member}

class Undecided:
    def propose(self, history, running, generator):
        return {}

made = RandomSampler()
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current directory with samplers in `own_samplers.py` and, below, in a package."""
    (tmp_path / "own_samplers.py").write_text(MINE)
    (tmp_path / "package_of_mine").mkdir()
    (tmp_path / "package_of_mine" / "inner.py").write_text(MINE)
    (tmp_path / "broken_module.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.mark.parametrize("path", ["own_samplers:Seeded", "own_samplers.Seeded", "package_of_mine.inner:Seeded",
                                  "package_of_mine.inner.Seeded", "own_samplers:eager", "own_samplers:idle",
                                  "optuna.samplers.TPESampler", "optuna.samplers:BruteForceSampler"])
@pytest.mark.parametrize("objectives", [("accuracy",), ("accuracy", "macs")])
def test_samplers_of_a_user_are_strategies(path, objectives, here):
    problem = Problem(SPACE, objectives, Budgets(macs=10**6))
    require_able(path, problem)
    assert isinstance(sampler_of(strategy_of(path)(problem), problem), optuna.samplers.BaseSampler)


def test_a_strategy_of_a_user_is_one(here):
    problem = Problem(SPACE)
    require_able("own_samplers:Fixed", problem)
    strategy = strategy_of("own_samplers:Fixed")(problem)
    assert strategy.propose((), (), np.random.default_rng(0)) == SPACE.enumerated(100)[0]


def test_the_strategy_of_the_documentation_keeps_the_contract_and_searches(here, make_config, gauge):
    text = (REPOSITORY / "docs" / "choosing-a-strategy.md").read_text(encoding="utf-8")
    (here / "climbing.py").write_text(text.partition("```python\n")[2].partition("```")[0])
    check_strategy(strategy_of("climbing:Climbing"))
    candidates = run_search(make_config(strategy="climbing:Climbing", trials=4), here / "run", gauge=gauge).candidates()
    best = candidates[0]
    for candidate in candidates[1:]:
        chosen = best.assignment.items() - candidate.assignment.items()
        assert len(chosen) == 1
        best = max(best, candidate, key=lambda each: each.accuracy)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "gp"])
def test_every_strategy_is_able_to_do_what_can_be_asked(name):
    for objectives in (("accuracy",), ("accuracy", "macs")):
        require_able(name, Problem(SPACE, objectives, Budgets(macs=10**6)))


@pytest.mark.parametrize(("path", "rule"), [
    ("own_samplers:Missing", "a strategy must name a class or a function, but 'own_samplers' has no 'Missing'"),
    ("nowhere.Sampler", "must name a module that can be imported, but got 'nowhere.Sampler': No module named"),
    (":Sampler", "must name a module that can be imported, but got ':Sampler'"),
    ("broken_module:Sampler", "but got 'broken_module:Sampler': ZeroDivisionError"),
    ("own_samplers:Plain", "must be an Optuna sampler, or have `propose` and `continues_stopped`, but "
                           "'own_samplers:Plain' is a Plain"),
    ("own_samplers:made", "a strategy must name a class or a function that makes one, but 'own_samplers:made' is "),
    ("own_samplers:careless", "but 'own_samplers:careless' is a int"),
    ("own_samplers:Undecided", "but 'own_samplers:Undecided' is a Undecided"),
    ("own_samplers:Short", "'own_samplers:Short' is not: ValueError: a proposal must have a value for every parameter"),
    ("own_samplers:Elsewhere", "'own_samplers:Elsewhere' is not: ValueError: "),
    ("own_samplers:Demanding", "'own_samplers:Demanding' could not be: TypeError: "),
    ("optuna.samplers.GridSampler", "'optuna.samplers.GridSampler' could not be: TypeError: "),
    ("own_samplers:SingleMinded", "must be able to search for accuracy and macs under constraints, but "),
    ("own_samplers:Unbound", "but 'own_samplers:Unbound' is not: NotImplementedError: constraints"),
    ("own_samplers:Outside", "'own_samplers:Outside' is not: ValueError: "),
    ("own_samplers:Late", "'own_samplers:Late' is not: AssertionError: too many"),
])
def test_what_is_no_sampler_or_cannot_do_what_is_asked_is_refused_before_anything_is_written(
        path, rule, here, make_config, gauge):
    config = make_config(strategy=path, objectives=("accuracy", "macs"), latency_percentile=50)
    with pytest.raises(InvalidInput) as error:
        run_search(config, here / "run", gauge=gauge)
    assert rule in str(error.value)
    assert "\n" not in str(error.value)
    assert not (here / "run").exists()
    assert not gauge.timed


def test_a_search_with_a_sampler_of_ones_own_goes_on_as_it_would_have(here, make_config, gauge):
    texts = []
    for name, numbers in (("whole", (8,)), ("parts", (3, 5, 8))):
        for trials in numbers:
            run = run_search(make_config(strategy="own_samplers:eager", trials=trials), here / name, gauge=gauge)
        texts.append([candidate.architecture for candidate in run.candidates()])
    assert texts[0] == texts[1]


def test_a_sampler_never_sees_a_start_that_is_not_of_the_space(here, make_config, gauge):
    outside = "in_r12_c1+conv_k3_c8_s2_relu+mb_k7_e3_c8_s1_se0_relu+head_c16_relu_n2"
    run = run_search(make_config(strategy="own_samplers:Complete", trials=4, start=(outside,)), here / "run",
                     gauge=gauge)
    assert [candidate.state for candidate in run.candidates()] == ["complete"] * len(run.candidates())
    assert run.candidates()[0].architecture == outside


@pytest.mark.parametrize(("path", "place"), [
    ("own_samplers:Seeded", "own_samplers.py"), ("package_of_mine.inner.Seeded", "package_of_mine"), ("nowhere:a", ""),
    ("optuna.samplers:TPESampler", Path(optuna.__file__)), ("json:loads", Path(json.__file__)), ("sys:exit", "")])
def test_the_place_of_code_is_known_without_importing_it(path, place, here, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] in ("own_samplers", "package_of_mine")]:
        monkeypatch.delitem(sys.modules, name)
    before = set(sys.modules)
    assert place_of(path) == (str(here / place) if place else "")
    assert set(sys.modules) == before


@given(st.text() | st.from_regex(r"[a-z./\x00]*[:.][a-z]*", fullmatch=True))
def test_any_text_has_a_place_or_none(path):
    assert isinstance(place_of(path), str)


def test_a_sampler_that_is_given_itself_is_found_again_by_its_path():
    assert SearchConfig(strategy=optuna.samplers.TPESampler).strategy == "optuna.samplers._tpe.sampler:TPESampler"
    with pytest.raises(InvalidInput, match="a strategy must be of a module, so that it is found on resuming"):
        SearchConfig(strategy=lambda seed, problem: None)


def test_what_a_script_has_imported_is_not_its_own(monkeypatch):
    called = []
    monkeypatch.setattr(sys.modules["__main__"], "borrowed", lambda: called.append(1), raising=False)
    with pytest.raises(InvalidInput, match="'__main__' has no 'borrowed'; of a script or notebook it is not found"):
        strategy_of("__main__:borrowed")(Problem(SPACE, ("accuracy",), Budgets(), 0))
    assert not called
