"""What holds of every strategy. Whoever adds one finds here what it has to do."""

import dataclasses
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import optuna
import pytest

from nas.problem.candidate import directions
from nas.strategies import STRATEGIES, Problem, sampler_of
from nas.testing import check_strategy
from nas.trials.record import OUTSIDE
from search_spaces.space import Space

REPOSITORY = Path(__file__).parents[3]
LEARNING = [strategy for strategy in STRATEGIES if strategy not in ("random", "qmc", "grid")]
SMALL = Space.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3/5/7_e3/6_c8/16_s1_se0/0.25_relu/hswish_x1/2+head_c16_relu_n2")
BLOCK = "mb_k3/5/7_e3/4/6_c16_s1_se0/0.25_relu/hswish"
STAGE = "mb_k3/5/7_e3/6_c16_s1_se0/0.25_relu/hswish_x1/2/3//sep_k3/5/7_c16_s1_relu/hswish_x1/2/3"
TOYS = {name: Space.parse("+".join(("in_r12_c1+conv_k3_c16_s2_relu", *stages, "head_c16_relu_n2")))
        for name, stages in {"separable": [BLOCK] * 5, "conditional": [STAGE] * 2}.items()}
EVALUATIONS, OF_RANDOM = 100, 300
SEEDS = {"gp": 3, "tpe": 3}  # and 5 of the others; 40 s each with gp, one with tpe


def slow(*names):
    """Returns those that learn, some of them marked."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in names else name for name in LEARNING]


def study_of(strategy, problem, seed=0):
    if strategy == "gp":
        pytest.importorskip("torch")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    problem = dataclasses.replace(problem, seed=seed)
    return optuna.create_study(directions=directions(problem.objectives),
                               sampler=sampler_of(STRATEGIES[strategy](problem), problem))


def test_proposals_are_members_and_the_same_from_the_same_seed_after_interruptions_and_whatever_happens(strategy):
    check_strategy(STRATEGIES[strategy])


def test_every_strategy_is_in_the_help_and_the_documentation():
    for path, written in (("nas/cli/search.py", "{}"), ("README.md", "`{}`"), ("docs/choosing-a-strategy.md", "`{}`")):
        text = (REPOSITORY / path).read_text(encoding="utf-8")
        assert not [strategy for strategy in STRATEGIES if written.format(strategy) not in text]


def test_another_seed_asks_for_other_candidates(strategy):
    found = [[SMALL.suggest(study.ask()) for _ in range(8)]
             for study in (study_of(strategy, Problem(SMALL), seed) for seed in (0, 1))]
    assert found[0] != found[1]


def test_candidates_that_run_at_the_same_time_are_not_all_the_same(strategy):
    study = study_of(strategy, Problem(SMALL, ("accuracy",)))
    for _ in range(4):
        running = [study.ask() for _ in range(4)]
        proposals = [SMALL.decode(SMALL.suggest(trial)).id for trial in running]
        assert len(set(proposals)) > 2
        for trial, proposal in reversed(list(zip(running, proposals, strict=True))):
            study.tell(trial, int(proposal, 16) % 100 / 100)


def test_starts_that_the_space_has_and_that_it_lacks_harm_no_later_proposal(strategy):
    problem = Problem(SMALL)
    study = study_of(strategy, problem)
    known = [SMALL.sample(np.random.default_rng(seed)) for seed in range(3)]
    for assignment in known:
        study.enqueue_trial(assignment)
        study.enqueue_trial({}, user_attrs={OUTSIDE: True})
    found = []
    for number in range(18):
        trial = study.ask()
        if OUTSIDE not in trial.user_attrs:
            found.append(SMALL.suggest(trial))
            assert SMALL.decode(found[-1]) in SMALL
        trial.set_constraint("latency", 0.0)
        study.tell(trial, [number / 20, 1.0])
    assert found[:3] == known
    assert len(found) == 15


def one_by_one(strategy, count):
    """Returns what is proposed as a function of the number of the trial, where nothing is learned."""
    study = study_of(strategy, Problem(SMALL))
    return [SMALL.suggest(study.ask()) for _ in range(count)]


def test_threads_share_a_study(strategy):
    study = study_of(strategy, Problem(SMALL))

    def objective(trial):
        architecture = SMALL.decode(SMALL.suggest(trial))
        trial.set_constraint("latency", architecture.macs / 1e5 - 1)
        return int(architecture.id, 16) % 100 / 100, architecture.macs

    study.optimize(objective, n_trials=24, n_jobs=4)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 24
    found = [trial.params for trial in study.trials]
    assert all(SMALL.decode(assignment) in SMALL for assignment in found)
    if strategy in ("random", "qmc"):
        assert found == one_by_one(strategy, 24)


WORKER = f'''
import sys
import time
from pathlib import Path
import optuna
from nas.problem.candidate import directions
from nas.strategies import STRATEGIES, Problem, sampler_of
from search_spaces.space import Space

directory, own, *strategies = sys.argv[1:]
space = Space.parse("{SMALL}")

def objective(trial):
    architecture = space.decode(space.suggest(trial))
    trial.set_user_attr("worker", own)
    trial.set_constraint("latency", architecture.macs / 1e5 - 1)
    return int(architecture.id, 16) % 100 / 100, architecture.macs

optuna.logging.set_verbosity(optuna.logging.ERROR)
storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(f"{{directory}}/journal"))
for strategy in strategies:
    sampler = sampler_of(STRATEGIES[strategy](Problem(space)), Problem(space))
    study = optuna.create_study(storage=storage, study_name=strategy, directions=["maximize", "minimize"],
                                sampler=sampler, load_if_exists=True)
    Path(directory, f"{{strategy}}.{{own}}").touch()
    while len(list(Path(directory).glob(f"{{strategy}}.*"))) < 2:  # so that they work at the same time
        time.sleep(0.01)
    study.optimize(objective, n_trials=12)
'''


@pytest.fixture(scope="module")
def worked(tmp_path_factory):
    """Returns the trials of a study by its strategy; two processes have worked on it."""
    @cache
    def trials(*strategies):
        directory = tmp_path_factory.mktemp("studies")
        workers = [subprocess.Popen([sys.executable, "-c", WORKER, directory, own, *strategies]) for own in "ab"]
        assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(directory / "journal")))
        return {strategy: optuna.load_study(study_name=strategy, storage=storage).trials for strategy in strategies}

    fast = tuple(strategy for strategy in STRATEGIES if strategy != "gp")
    return lambda strategy: trials(*(fast if strategy in fast else [strategy]))[strategy]


def test_processes_share_a_study(strategy, worked):
    trials = worked(strategy)
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 24
    assert sorted(trial.user_attrs["worker"] for trial in trials) == ["a"] * 12 + ["b"] * 12
    assert all(SMALL.decode(trial.params) in SMALL for trial in trials)
    if strategy in ("random", "qmc"):
        assert [trial.params for trial in trials] == one_by_one(strategy, 24)


@pytest.mark.parametrize("strategy", slow("gp"))
def test_what_breaks_a_constraint_is_learned(strategy):
    study, broken = study_of(strategy, Problem(SMALL)), []
    for _ in range(80):
        trial = study.ask()
        kernel = SMALL.suggest(trial)["stage1.layer0.kernel"]
        broken.append(kernel > 3)
        trial.set_constraint("latency", 1.0 if broken[-1] else -0.1)
        study.tell(trial, [0.0, 0.0] if broken[-1] else [0.5, 1.0])
    assert sum(broken[40:]) < 20  # at random 27 of 40


@cache
def worths(toy):
    """Returns made-up values of the choices of a toy."""
    uniform = np.random.default_rng(1)
    return {(name, value): uniform.random() for name, values in TOYS[toy].parameters.items() for value in values}


def value(toy, assignment):
    """Returns the mean of the values of the choices that matter."""
    return np.mean([worths(toy)[choice] for choice in TOYS[toy].active(assignment).items()])


def best(strategy, toy, evaluations):
    """Returns the median over seeds of the best value that a strategy finds on a toy."""
    space, found = TOYS[toy], []
    for seed in range(SEEDS.get(strategy, 5)):
        study = study_of(strategy, Problem(space, ("accuracy",)), seed)
        study.optimize(lambda trial: value(toy, space.suggest(trial)), n_trials=evaluations)
        found.append(study.best_value)
    return float(np.median(found))


@cache
def best_of_random(toy):
    """Returns the median over seeds of the best value of random members of a toy."""
    generator = np.random.default_rng(0)
    return np.median(np.max([[value(toy, TOYS[toy].sample(generator)) for _ in range(OF_RANDOM)] for _ in range(7)], 1))


@pytest.mark.parametrize("toy", [pytest.param("separable", marks=pytest.mark.slow), "conditional"])
@pytest.mark.parametrize("strategy", slow("gp", "surrogate"))
def test_a_hundred_evaluations_find_better_than_three_hundred_random_ones(strategy, toy):
    assert best(strategy, toy, EVALUATIONS) > best_of_random(toy)
