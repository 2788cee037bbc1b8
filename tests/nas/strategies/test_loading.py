import optuna
import pytest

from nas.engine.search import run_search
from nas.problem.budgets import Budgets
from nas.run.config import SearchConfig
from nas.strategies import STRATEGIES, Problem
from nas.strategies.loading import require_able, strategy_of
from search_spaces.errors import InvalidInput
from search_spaces.space import Space

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
    return tmp_path


@pytest.mark.parametrize("path", ["own_samplers:Seeded", "own_samplers.Seeded", "package_of_mine.inner:Seeded",
                                  "package_of_mine.inner.Seeded", "own_samplers:eager", "own_samplers:idle",
                                  "optuna.samplers.TPESampler", "optuna.samplers:BruteForceSampler"])
@pytest.mark.parametrize("objectives", [("accuracy",), ("accuracy", "macs")])
def test_samplers_of_a_user_are_strategies(path, objectives, here):
    problem = Problem(SPACE, objectives, Budgets(macs=10**6))
    require_able(path, problem)
    assert isinstance(strategy_of(path)(0, problem), optuna.samplers.BaseSampler)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "gp"])
def test_every_strategy_is_able_to_do_what_can_be_asked(name):
    for objectives in (("accuracy",), ("accuracy", "macs")):
        require_able(name, Problem(SPACE, objectives, Budgets(macs=10**6)))


@pytest.mark.parametrize(("path", "rule"), [
    ("own_samplers:Missing", "a strategy must name a sampler, but 'own_samplers' has no 'Missing'"),
    ("nowhere.Sampler", "must name a module that can be imported, but got 'nowhere.Sampler': ModuleNotFoundError"),
    (":Sampler", "must name a module that can be imported, but got ':Sampler'"),
    ("broken_module:Sampler", "but got 'broken_module:Sampler': ZeroDivisionError"),
    ("own_samplers:Plain", "class of an Optuna sampler or a function that returns one, but 'own_samplers:Plain' is "),
    ("own_samplers:made", "class of an Optuna sampler or a function that returns one, but 'own_samplers:made' is "),
    ("own_samplers:careless", "must be an Optuna sampler, but 'own_samplers:careless' returned a int"),
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


def test_a_sampler_that_is_given_itself_is_found_again_by_its_path():
    assert SearchConfig(strategy=optuna.samplers.TPESampler).strategy == "optuna.samplers._tpe.sampler:TPESampler"
    with pytest.raises(InvalidInput, match="a strategy must be of a module, so that it is found on resuming"):
        SearchConfig(strategy=lambda seed, problem: None)
