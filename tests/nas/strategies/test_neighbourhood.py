import optuna
import pytest

from nas.strategies import STRATEGIES, Problem, sampler_of
from nas.strategies.neighbourhood import POPULATION, STARTUP
from search_spaces.space import Space

SPACE = Space.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3/5/7_e3/6_c8/16_s1_se0/0.25_relu/hswish_x1/2+head_c16_relu_n2")
OURS = ["evolution", "local-search"]


def ask(strategy, space, count, accuracy, seed=0):
    """Returns the architectures that a study of one objective asks for."""
    problem = Problem(space, ("accuracy",), seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler_of(STRATEGIES[strategy](problem), problem))
    found = []
    for _ in range(count):
        trial = study.ask()
        found.append(space.suggest(trial))
        study.tell(trial, accuracy(space.decode(found[-1])))
    return found


def differing(space, first, second):
    """Returns how many choices that matter in the first are others in the second."""
    return sum(second[name] != value for name, value in space.active(first).items())


@pytest.mark.parametrize("strategy", OURS)
def test_a_proposal_differs_in_one_choice_from_an_earlier_candidate(strategy):
    asked = ask(strategy, SPACE, 40, lambda network: network.macs / 1e6)
    for index in range(STARTUP, 40):
        assert min(differing(SPACE, earlier, asked[index]) for earlier in asked[:index]) == 1


@pytest.mark.parametrize("strategy", OURS)
def test_no_architecture_is_proposed_twice_while_there_are_others_nearby(strategy):
    asked = ask(strategy, SPACE, 60, lambda network: network.params / 1e6)
    architectures = [SPACE.decode(assignment).id for assignment in asked[STARTUP:]]
    assert len(set(architectures)) == len(architectures)


def test_local_search_starts_from_the_best_that_has_unseen_neighbours():
    asked = ask("local-search", SPACE, 25, lambda network: network.macs / 1e6)
    for index in range(STARTUP, 25):
        best = max(asked[:index], key=lambda assignment: SPACE.decode(assignment).macs)
        assert differing(SPACE, best, asked[index]) == 1


def test_evolution_forgets_what_is_older_than_its_population():
    """All that is good came first; later parents are among the others nevertheless."""
    count = STARTUP + 2 * POPULATION
    values = iter([1.0] * STARTUP + [0.0] * 2 * POPULATION)
    asked = ask("evolution", SPACE, count, lambda network: next(values))
    latest = asked[count - 1 - POPULATION:count - 1]
    assert min(differing(SPACE, parent, asked[-1]) for parent in latest) == 1
