from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.latency import Latency
from nas.engine.successive_halving import Rungs, best_first, parse_rungs, stopped
from nas.problem.candidate import Candidate
from nas.problem.costs import Costs
from nas.problem.pareto import dominates, hypervolume
from search_spaces import InvalidInput

points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=9)


def candidate(trial, accuracies, latency_ms=0.5, **changes):
    costs = Costs(1, 1, 1, 1, {"onnxruntime": Latency.exact(latency_ms)})
    epochs, accuracy = accuracies[-1]
    return replace(Candidate(trial, f"in+{trial}", accuracy, 0, epochs, epochs == 9, costs, {}, "complete",
                             accuracies=tuple(accuracies)), **changes)


@given(points)
def test_what_dominates_is_before_what_it_dominates_and_a_front_is_in_the_order_of_what_would_be_lost(found):
    order = best_first(found, (7, None))
    assert sorted(order) == list(range(len(found)))
    place = {int(index): position for position, index in enumerate(order)}
    for one, first in enumerate(found):
        for other, second in enumerate(found):
            assert not dominates(first, second) or place[one] < place[other]
    front = [index for index in order if not any(dominates(other, found[index]) for other in found)]
    reference = (7, max(second for _, second in found))
    members = [found[index] for index in front]
    whole = hypervolume(members, reference)
    lost = [whole - hypervolume(np.delete(members, position, axis=0), reference) for position in range(len(front))]
    assert lost == pytest.approx(sorted(lost, reverse=True))


@pytest.mark.parametrize("epochs", [(3, 3), (9, 3), (0, 3), (1, 12, 9)])
def test_rungs_that_do_not_increase_to_the_whole_training_are_refused(epochs):
    with pytest.raises(InvalidInput, match="rungs are increasing numbers of epochs, shorter than the training"):
        Rungs(epochs)


def test_other_wrong_rungs_are_refused():
    with pytest.raises(InvalidInput, match="`brackets` must lie between 1 and 3"):
        Rungs((1, 3, 9), brackets=4)
    with pytest.raises(InvalidInput, match="rungs are written like 1,3, but got '1;3'"):
        parse_rungs("1;3")


def test_the_first_goes_on_and_later_the_best_third():
    rungs, found = Rungs((1, 9), objectives=("accuracy",), reference=(0.0,)), []
    went_on = []
    for trial, accuracy in enumerate([0.5, 0.4, 0.6, 0.55, 0.65, 0.58, 0.64]):
        found.append(candidate(trial, [(1, accuracy)], state="running"))
        went_on.append(rungs.continues(found, trial))
        found[-1] = replace(found[-1], state="complete")
    assert went_on == [True, False, True, False, True, False, True]  # one in 1 to 5, two in 6 to 8


def test_where_the_strategy_says_who_goes_on_all_stop_from_where_they_are_first_judged():
    rungs = Rungs((1, 3, 9), brackets=2, objectives=("accuracy",), reference=(0.0,), by_strategy=True)
    for bracket, curve, expected in ((0, [(1, 0.9)], False), (0, [(1, 0.9), (3, 0.9)], False), (1, [(1, 0.9)], True),
                                     (1, [(1, 0.9), (3, 0.9)], False)):
        own = candidate(1, curve, state="running", bracket=bracket)
        assert rungs.continues([candidate(0, [(1, 0.1), (3, 0.1), (9, 0.1)]), own], 1) == expected
        assert rungs.continues([own], 1)  # the first has nobody to be weighed against


def test_of_networks_made_by_hand_the_most_accurate_goes_on_whatever_the_strategy_promotes():
    rungs, found = Rungs((1, 9), by_strategy=True), [candidate(0, [(1, 0.5), (9, 0.8)], by_hand=True)]
    for trial, (accuracy, by_hand, expected) in enumerate([
            (0.4, True, False), (0.9, False, False), (0.6, True, True), (0.55, True, False), (0.6, True, True)], 1):
        found.append(candidate(trial, [(1, accuracy)], state="running", by_hand=by_hand))
        assert rungs.continues(found, trial) == expected


def test_candidates_that_failed_or_fell_out_stand_in_nobodys_way():
    rungs = Rungs((1, 9))
    others = [candidate(0, [(1, 0.9)], state="failed"), candidate(1, [(1, 0.9)], violations={"latency": 0.5}),
              candidate(2, [(1, 0.9)], duplicate_of=0)]
    assert rungs.continues([*others, candidate(3, [(1, 0.3)], state="running")], 3)


def test_a_stopped_candidate_is_promoted_once_when_more_have_arrived_and_the_highest_rung_comes_first():
    rungs = Rungs((1, 3, 9), objectives=("accuracy",), reference=(0.0,))
    best = candidate(0, [(1, 0.6), (3, 0.7), (9, 0.8)])
    second = candidate(1, [(1, 0.58)])
    others = [candidate(trial, [(1, 0.1)]) for trial in range(2, 6)]
    assert rungs.promotable([best, second, *others[:3]]) is None
    assert rungs.promotable([best, second, *others]) == second
    assert rungs.promotable([best, second, *others], {1}) is None
    continued = candidate(9, [(1, 0.58), (3, 0.75)], architecture="in+1", continues=1)
    assert rungs.promotable([best, second, *others, continued]) == continued  # now the best of two at the second rung
    assert stopped([best, second, *others, continued]) == [continued, *others]


class Workers:
    """Some workers on one list of candidates, who finish what they do in the order that is drawn."""

    def __init__(self, rungs, accuracies, count):
        self.rungs, self.curves, self.found, self.running, self.fresh = rungs, accuracies, [], [], iter(accuracies)
        self.count, self.continued = count, []

    def start(self):
        promoted = self.rungs.promotable(self.found, self.continued)
        if promoted:
            self.continued.append(promoted.trial)
            self.running.append((replace(promoted, trial=len(self.found), state="running", continues=promoted.trial),
                                 promoted.epochs))
        else:
            name = next(self.fresh, None)
            if name is None:
                return
            fresh = candidate(len(self.found), [(0, 0.0)], architecture=name, state="running",
                              bracket=self.rungs.next_bracket(self.found))
            self.running.append((replace(fresh, accuracies=()), 0))
        self.found.append(self.running[-1][0])

    def finish(self, index):
        own, done = self.running.pop(index)
        for epochs in (rung for rung in self.rungs.epochs if rung > done):
            accuracy = self.curves[own.architecture][epochs]
            own = replace(own, accuracy=accuracy, epochs=epochs, trained=epochs == self.rungs.epochs[-1],
                          accuracies=(*own.accuracies, (epochs, accuracy)))
            self.found[own.trial] = own
            if not own.trained and not self.rungs.continues(self.found, own.trial):
                break
        self.found[own.trial] = replace(own, state="complete")

    def run(self, choose):
        for _ in range(self.count):
            self.start()
        while self.running:
            self.finish(choose(len(self.running)))
            self.start()


@settings(deadline=None)
@given(st.integers(1, 24), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_several_workers_take_up_each_candidate_once_and_leave_no_one_who_should_go_on(size, count, brackets, seed):
    generator = np.random.default_rng(seed)
    curves = {f"in+{number}": dict(zip((1, 3, 9), np.sort(generator.random(3)), strict=True)) for number in range(size)}
    rungs = Rungs((1, 3, 9), brackets, objectives=("accuracy",), reference=(0.0,))
    workers = Workers(rungs, curves, count)
    workers.run(lambda running: int(generator.integers(running)))
    assert len(workers.continued) == len(set(workers.continued))
    assert {one.architecture for one in workers.found} == set(curves)
    assert rungs.promotable(workers.found, workers.continued) is None
    last = {one.architecture: one for one in workers.found}.values()
    for bracket in range(brackets):
        for rung, later in ((1, 3), (3, 9)):
            if rungs.epochs[bracket] <= rung:
                arrived = sorted((one for one in last if one.bracket == bracket and one.epochs >= rung),
                                 key=lambda one, rung=rung: -dict(one.accuracies)[rung])
                assert all(one.epochs >= later for one in arrived[:max(1, len(arrived) // 3)] if arrived)
            else:
                assert all(one.epochs >= later for one in last if one.bracket == bracket)


def test_brackets_have_the_shares_of_hyperband():
    rungs, found = Rungs((1, 3, 9), brackets=3), []
    for trial in range(110):
        found.append(candidate(trial, [(1, 0.5)], bracket=rungs.next_bracket(found)))
    shares = [sum(one.bracket == bracket for one in found) / 110 for bracket in range(3)]
    assert shares == pytest.approx([3 / 5.5, 1.5 / 5.5, 1 / 5.5], abs=0.02)  # 9, 5 (rounded up) and 3 in Li et al.
