"""The seed of a trial, and what we use of Optuna's private interface."""

import ast
import math
from functools import partial
from pathlib import Path

import optuna

from nas.problem.candidate import Candidate
from nas.problem.costs import Costs
from nas.strategies import Problem
from nas.strategies.reseeding import Reseeded, Seeds, place
from nas.strategies.strategy import sampler_of
from nas.trials.record import LOST, OUTSIDE, write
from search_spaces.space import Space

REPOSITORY = Path(__file__).parents[3]
SPACE = Space.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3/5_e3/6_c8_s1_se0_relu/hswish+head_c16_relu_n2")


def test_a_lost_trial_leaves_its_place_and_its_seed_to_the_next():
    study = optuna.create_study()
    trials = [study.ask() for _ in range(4)]
    trials[1].set_user_attr(LOST, True)
    study.ask()  # so that the attribute is read
    frozen = study.get_trials(deepcopy=False)
    assert [place(study, trial) for trial in frozen] == [0, 1, 1, 2, 3]
    seeds = list(map(partial(Seeds(5), study), frozen))
    assert seeds[1] == seeds[2]
    assert len(set(seeds)) == 4
    assert not {*seeds} & set(map(partial(Seeds(6), study), frozen))


def test_each_trial_has_a_sampler_of_its_own_that_sees_neither_lost_trials_nor_those_outside_of_the_space():
    seeds, seen = [], []

    class Watching(optuna.samplers.RandomSampler):
        def sample_relative(self, study, trial, search_space):
            seen.append([other.number for other in study.get_trials(deepcopy=False)])
            return super().sample_relative(study, trial, search_space)

    def make(seed, problem):
        seeds.append(seed)
        return Watching(seed)

    study = optuna.create_study(sampler=sampler_of(Reseeded(make), Problem(SPACE, ("accuracy",))))
    study.enqueue_trial({}, user_attrs={OUTSIDE: True})
    study.ask()
    for _ in range(3):
        lost = study.ask()
        lost.set_user_attr(LOST, True)
        SPACE.suggest(study.ask())
    assert seen == [[2], [2, 4], [2, 4, 6]]
    assert len(seeds) == 7 and len(set(seeds)) == 4  # each lost trial and the one in its place have the same


def test_trials_with_given_choices_are_parents_too():
    """A search begins with such ones, or proposes them again; who is outside of the space is none."""
    problem = Problem(SPACE)
    genetic = Reseeded(lambda seed, problem: optuna.samplers.NSGAIISampler(population_size=4, seed=seed))
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler_of(genetic, problem))
    members = list(SPACE.enumerated(10**6))
    for number in range(6):
        if number < 4:
            study.enqueue_trial(dict(members[number]), user_attrs={OUTSIDE: True} if number == 3 else {})
        trial = study.ask()
        SPACE.suggest(trial)
        study.tell(trial, [number / 10, 1.0])
    generations = [trial.system_attrs.get("NSGAIISampler:generation") for trial in study.get_trials(deepcopy=False)]
    assert generations == [0, 0, 0, None, 0, 1]


def test_samplers_see_what_rejected_candidates_cost_and_not_that_their_trials_were_told_infinity():
    seen = []

    class Watching(optuna.samplers.RandomSampler):
        def sample_relative(self, study, trial, search_space):
            seen.append([other.values for other in study.get_trials(deepcopy=False)
                         if other.state is optuna.trial.TrialState.COMPLETE])
            return super().sample_relative(study, trial, search_space)

    problem = Problem(SPACE, ("accuracy", "macs", "latency"))
    study = optuna.create_study(directions=("maximize", "minimize", "minimize"),
                                sampler=sampler_of(Reseeded(lambda seed, problem: Watching(seed)), problem))
    for accuracy, told in ((None, (0.0, math.inf, math.inf)), (0.5, (0.5, 70.0, 1.0))):
        trial = study.ask()
        SPACE.suggest(trial)
        write(trial, Candidate(trial.number, "in", accuracy=accuracy, costs=Costs(macs=70)))
        study.tell(trial, told)
    SPACE.suggest(study.ask())
    assert seen[-1] == [[0.0, 70.0, math.inf], [0.5, 70.0, 1.0]]  # the latency of the first was not measured
    assert [trial.values for trial in study.get_trials()[:2]] == [[0.0, math.inf, math.inf], [0.5, 70.0, 1.0]]


def private_names(path):
    """Yields the private names that a module imports or reads of other objects than its own."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


def test_what_is_used_of_optunas_private_interface_is_named_in_a_decision():
    decision = (REPOSITORY / "docs/decisions/0007-strategies-propose.md").read_text(encoding="utf-8")
    found = {name for package in ("nas", "experiments") for path in (REPOSITORY / package).rglob("*.py")
             if "optuna" in path.read_text(encoding="utf-8")
             for name in private_names(path) if name.startswith("_") and not name.startswith("__")}
    found -= {"_replace"}  # of named tuples, where it is no private name
    assert "_get_trials" in found
    assert not [name for name in found if name not in decision]
