import dataclasses

import numpy as np
import optuna
import pytest

from nas.problem.budgets import Budgets
from nas.problem.candidate import directions
from nas.strategies import Problem, sampler_of
from nas.strategies.surrogate import strategy as module
from nas.strategies.surrogate.acquisition import expected_gain
from nas.strategies.surrogate.gaussian_process import fit
from nas.strategies.surrogate.strategy import EVERY, REFIT, REJECTED_IN_TURN, STARTUP, Surrogate
from nas.trials.record import CANDIDATE
from search_spaces.architecture import Architecture
from search_spaces.space import Space

SPACE = Space.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3/5/7_e3/6_c8/16_s1_se0/0.25_relu/hswish_x1/2+head_c16_relu_n2")
LARGE = Space.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3/5/7_e3/6_c8/16_s1_se0/0.25_relu/hswish_x1/2/3//"
                    "sep_k3/5/7_c8/16/24_s1_relu_x1/2/3+head_c16_relu_n2")
ARCHITECTURES = {identity: architecture for assignment in SPACE.enumerated(10**6)
                 for architecture in [SPACE.decode(assignment)] for identity in [architecture.id]}


def study_of(problem, seed=0):
    problem = dataclasses.replace(problem, seed=seed)
    return optuna.create_study(directions=directions(problem.objectives),
                               sampler=sampler_of(Surrogate(problem), problem))


def ask(study, space, count, tell):
    """Returns the architectures that a study asks for, each told by a function of it."""
    found = []
    for _ in range(count):
        trial = study.ask()
        found.append(space.decode(space.suggest(trial)))
        values = tell(trial, found[-1])
        study.tell(trial, values, state=None if values else optuna.trial.TrialState.FAIL)
    return found


def accuracy(architecture):
    """Likes large kernels and squeeze-and-excitation."""
    blocks = architecture.blocks[1:-1]
    return sum(block.kernel / 40 + getattr(block, "se_ratio", 0) for block in blocks) / 2


def test_no_architecture_is_proposed_twice_as_long_as_there_are_others():
    small = Space.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3/5_e3/6_c8_s1_se0_relu_x1/2+head_c16_relu_n2")
    study = study_of(Problem(small))
    found = ask(study, small, 25, lambda trial, network: [accuracy(network), 1.0])
    assert len({network.id for network in found[:20]}) == 4 + 16
    assert len({network.id for network in found}) == 20


def test_candidates_over_an_exact_budget_are_never_proposed():
    limit = sorted(network.macs for network in ARCHITECTURES.values())[len(ARCHITECTURES) // 5]
    study = study_of(Problem(SPACE, ("accuracy",), Budgets(macs=limit)))
    found = ask(study, SPACE, 20, lambda trial, network: [accuracy(network)])
    assert max(network.macs for network in found) <= limit


def test_with_one_objective_the_best_is_found_in_few_trials():
    best = max(map(accuracy, ARCHITECTURES.values()))
    for seed in range(3):
        found = ask(study_of(Problem(SPACE, ("accuracy",)), seed), SPACE, 60,
                    lambda trial, network: [accuracy(network)])
        assert max(map(accuracy, found)) == best


def test_a_measured_budget_is_learned_from_what_broke_it():
    """Nine tenths of the space are too slow; the model has to find that out."""
    limit = sorted(network.params for network in ARCHITECTURES.values())[len(ARCHITECTURES) // 10]

    def tell(trial, network):
        violation = network.params / limit - 1
        trial.set_constraint("latency", violation)
        return [accuracy(network) if violation <= 0 else 0.0, network.params / 1e6]

    found = ask(study_of(Problem(SPACE, budgets=Budgets(latency_ms=1.0))), SPACE, 60, tell)
    assert sum(network.params <= limit for network in found[30:]) > 10  # of 30; by chance 3: the best lie at the edge


def test_a_latency_is_foretold_along_the_multiply_adds_where_no_network_of_so_many_was_timed():
    """The twenty smallest of 200 are known, the largest takes more than eight times as long."""
    strategy = Surrogate(Problem(LARGE, budgets=Budgets(latency_ms=1.0)))
    members = sorted(strategy._members.drawn(200), key=lambda member: member.costs["macs"])
    ratios = np.array([(member.costs["macs"] / 1e6) ** 0.8 for member in members])
    means, _ = strategy._predicted("limit of latency", members[:20], ratios[:20],
                                   strategy._members.features(members[-20:]))
    assert ratios[-1] > 8 * ratios[19]
    np.testing.assert_allclose(means, np.log(ratios[-20:]), rtol=0, atol=0.25 * np.log(ratios[-1] / ratios[19]))


def test_the_front_is_sought_within_the_budget_however_slow_a_rejected_candidate_was(monkeypatch):
    limit_ms, corners = 1.0, []
    monkeypatch.setattr(module, "expected_gain",
                        lambda *arguments: corners.append(arguments[-1]) or expected_gain(*arguments))

    def tell(trial, network):
        latency_ms = network.macs / 1e5 * (1000 if trial.number == 0 else 1)
        trial.set_constraint("latency", latency_ms / limit_ms - 1)
        return [accuracy(network), latency_ms]

    ask(study_of(Problem(SPACE, budgets=Budgets(latency_ms=limit_ms))), SPACE, STARTUP + 3, tell)
    of_two = [corner[1] for corner in corners if len(corner) == 2]
    assert of_two and max(of_two) <= limit_ms


@pytest.mark.parametrize("period", [1, 4, 30])
def test_every_other_training_is_for_the_winner_unless_too_many_proposals_are_rejected(period, monkeypatch):
    sought: list[int] = []
    monkeypatch.setattr(module, "expected_gain",
                        lambda *arguments: sought.append(len(arguments[-1])) or expected_gain(*arguments))

    def tell(trial, network):
        """Trains each of some trials, of which every third fails; the others are over the budget."""
        if trial.number % period == 0 and trial.number % 3 == 2:
            return None
        trial.set_constraint("latency", 0.5 if trial.number % period else -0.5)
        return [accuracy(network), network.macs / 1e5]

    ask(study_of(Problem(SPACE, budgets=Budgets(latency_ms=1.0))), SPACE, 45, tell)
    trained = [sum(other % period == 0 for other in range(number)) for number in range(45)]
    turns = [count + (number - count) // REJECTED_IN_TURN for number, count in enumerate(trained)]
    assert sought == [1 if turn % 2 else 2 for turn in turns[-len(sought):]]
    assert {1, 2} == set(sought)


def test_candidates_that_run_elsewhere_are_not_proposed_and_spread_the_others():
    study = study_of(Problem(SPACE))
    ask(study, SPACE, 15, lambda trial, network: [accuracy(network), network.macs / 1e6])
    running = [SPACE.decode(SPACE.suggest(study.ask())) for _ in range(6)]
    assert len({network.id for network in running}) == 6


def stop_and_go_on(study, problem, count, end=9):
    """Runs trials that are stopped after the first of `end` epochs, and to the end when they are proposed again."""
    begun = {}
    for _ in range(count):
        trial = study.ask()
        network = problem.space.decode(problem.space.suggest(trial))
        again = network.text in begun
        begun.setdefault(network.text, []).append(trial.number)
        curve = [(1, accuracy(network) / 2), *([(end, accuracy(network))] if again else [])]
        trial.set_user_attr(CANDIDATE, {"architecture": network.text, "accuracies": curve, "epochs": curve[-1][0],
                                        "trained": again})
        study.tell(trial, [curve[-1][1], network.macs / 1e6][:len(problem.objectives)])
    return begun


@pytest.mark.parametrize("objectives", [("accuracy",), ("accuracy", "macs")])
@pytest.mark.parametrize("space", [SPACE, LARGE], ids=["listed", "drawn"])
def test_the_best_tenth_of_what_was_stopped_goes_on_and_nothing_is_proposed_after_its_end(space, objectives):
    problem = Problem(space, objectives, epochs=9)
    study = study_of(problem)
    begun = stop_and_go_on(study, problem, 40)
    assert all(len(numbers) <= 2 for numbers in begun.values())
    early = {text: accuracy(Architecture.parse(text)) for text in begun}
    went_on = [early[text] for text, numbers in begun.items() if len(numbers) == 2]
    assert 3 < len(went_on) < len(begun)  # neither none nor all
    if objectives == ("accuracy",):
        # By what is expected of the rest, to which models add what they know of others: not always the very best.
        assert max(went_on) >= np.quantile(list(early.values()), 0.9)
        assert np.mean(went_on) > np.mean(list(early.values()))


def test_after_the_first_forty_trials_hyperparameters_are_fitted_seldom_though_what_is_expected_changes(monkeypatch):
    problem, fitted = Problem(SPACE, ("accuracy", "macs"), epochs=9), []
    monkeypatch.setattr(module, "fit", lambda *arguments: fitted.append(arguments) or fit(*arguments))
    stop_and_go_on(study_of(problem), problem, 80)
    assert len(fitted) <= EVERY + np.log(80 / EVERY) / np.log(REFIT)


def test_what_goes_on_elsewhere_or_has_failed_on_its_way_is_not_proposed_again():
    problem = Problem(SPACE, epochs=9)
    study = study_of(problem)
    begun = stop_and_go_on(study, problem, STARTUP)
    asked = []
    while True:  # all are running until one of those that were stopped is proposed
        asked.append(study.ask())
        text = SPACE.decode(SPACE.suggest(asked[-1])).text
        if text in begun:
            break
    others = [SPACE.decode(SPACE.suggest(study.ask())).text for _ in range(6)]
    assert text not in others
    study.tell(asked[-1], state=optuna.trial.TrialState.FAIL)
    assert text not in [SPACE.decode(SPACE.suggest(study.ask())).text for _ in range(6)]


@pytest.mark.parametrize("space", [SPACE, LARGE], ids=["listed", "drawn"])
def test_a_study_without_any_usable_trial_goes_on(space):
    for tell in (lambda trial, network: None, lambda trial, network: [0.0, 0.0]):
        study = study_of(Problem(space, budgets=Budgets(latency_ms=1.0)))

        def infeasible(trial, network, tell=tell):
            trial.set_constraint("latency", 1.5)
            return tell(trial, network)

        assert len(set(ask(study, space, STARTUP + 4, infeasible))) == STARTUP + 4
