"""Who enters the finals of a search: what cannot be told apart from its winner, and what one wants judged anyway."""

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from evaluators.latency import Latency
from nas.export.finals import finalists
from nas.problem.candidate import Candidate, winner
from nas.problem.costs import Costs

IMAGES = 500


def candidate(trial, accuracy, by_hand=False, total=IMAGES):
    return Candidate(trial, f"network {trial}", accuracy, total, epochs=1, trained=True, state="complete",
                     by_hand=by_hand)


@given(st.lists(st.tuples(st.integers(0, IMAGES), st.booleans()), min_size=1, max_size=12), st.integers(2, 6))
def test_finalists_are_the_best_that_chance_may_have_put_behind_the_winner_and_one_made_by_hand(drawn, count):
    candidates = [candidate(trial, correct / IMAGES, by_hand) for trial, (correct, by_hand) in enumerate(drawn)]
    found = finalists(candidates, count)
    assert found[0] == winner(candidates)
    assert len(found) <= count
    own = [one for one in found if not one.by_hand]
    best = found[0].accuracy
    for one in own:
        error = np.sqrt(sum(share * (1 - share) / IMAGES for share in (best, one.accuracy)))
        assert best - one.accuracy <= norm.ppf(0.975) * error + 1e-4
    left_out = [one.accuracy for one in candidates if not one.by_hand and one not in found]
    assert not own or max(left_out, default=0) <= min(one.accuracy for one in own)
    by_hand = [one.accuracy for one in candidates if one.by_hand]
    assert max((one.accuracy for one in found if one.by_hand), default=None) == max(by_hand, default=None)


def test_a_winner_stands_alone_without_finals_and_where_no_images_were_counted():
    candidates = [candidate(0, 0.8), candidate(1, 0.8)]
    assert [one.trial for one in finalists(candidates, 1)] == [0]
    assert [one.trial for one in finalists([candidate(0, 0.8, total=0), candidate(1, 0.8, total=0)], 4)] == [0]
    assert finalists([], 4) == []
    assert [one.trial for one in finalists([*candidates, candidate(2, 0.7)], 4)] == [0, 1]


def test_a_network_that_was_trained_twice_is_one_finalist_by_its_first_training():
    twice = dataclasses.replace(candidate(2, 0.81), architecture="network 0")
    assert [one.trial for one in finalists([candidate(0, 0.8), candidate(1, 0.79), twice], 4)] == [0, 1]
    assert [one.trial for one in finalists([candidate(0, 0.8), twice], 4)] == [0]


def test_the_first_finalist_is_the_winner_by_the_objectives_of_the_search():
    candidates = [dataclasses.replace(candidate(trial, 0.8), costs=Costs(macs=macs))
                  for trial, macs in enumerate((9, 7, 8))]
    assert [one.trial for one in finalists(candidates, 3, objectives=("accuracy", "macs"))] == [1, 2, 0]


def timed(trial, accuracy, latency_ms, by_hand=False):
    return dataclasses.replace(candidate(trial, accuracy, by_hand), costs=Costs(latencies={
        "onnxruntime": Latency.exact(latency_ms)}))


def test_the_last_finalist_makes_place_for_the_best_that_is_much_faster():
    candidates = [timed(trial, accuracy, latency_ms) for trial, (accuracy, latency_ms) in enumerate(
        ((0.8, 1.0), (0.79, 0.9), (0.78, 0.7), (0.77, 0.6), (0.765, 0.1), (0.5, 0.05)))]
    assert [one.trial for one in finalists(candidates, 3)] == [0, 1, 3]
    assert [one.trial for one in finalists(candidates, 2)] == [0, 1], "too few places"
    assert [one.trial for one in finalists(candidates[:3], 3)] == [0, 1, 2]


@given(st.lists(st.tuples(st.sampled_from((0.5, 0.78, 0.8)), st.floats(0.1, 2), st.booleans()), min_size=1,
                max_size=9), st.integers(3, 6))
def test_a_finalist_takes_two_thirds_of_the_winners_time_where_there_is_one_that_is_not_clearly_worse(drawn, count):
    candidates = [timed(trial, *of_one) for trial, of_one in enumerate(drawn)]
    found = finalists(candidates, count)
    among, entered = (max((one.accuracy for one in of if found[0].latency_ms / one.latency_ms >= 1.5 and
                           found[0].accuracy - one.accuracy < 0.1), default=None) for of in (candidates, found))
    assert entered == among
    assert found[0] == winner(candidates)
    assert len(found) == len({one.trial for one in found}) <= count


def of_costs(trial, log_loss, macs, accuracy=0.8, by_hand=False):
    return dataclasses.replace(candidate(trial, accuracy, by_hand), log_loss=log_loss, costs=Costs(macs=macs))


def test_finalists_are_first_by_log_loss_and_multiply_adds_together_where_these_are_known_of_all():
    candidates = [of_costs(0, 0.5, 85), of_costs(1, 0.3, 70), of_costs(2, 0.6, 60), of_costs(3, 0.4, 90)]
    candidates.append(of_costs(4, 0.1, 100, accuracy=0.2))  # told apart by its accuracy
    assert [one.trial for one in finalists(candidates, 3)] == [3, 1, 0]  # places 2 + 1, 1 + 3, 3 + 2
    by_hand = of_costs(5, 0.9, 10, by_hand=True)
    assert [one.trial for one in finalists([*candidates, by_hand], 3)] == [3, 0, 5]
    assert winner(candidates).trial == 0, "the winner is one of them wherever it stands"
    assert [one.trial for one in finalists([*candidates, candidate(6, 0.8)], 2)] == [0, 1], "by the accuracy"


@given(st.lists(st.tuples(st.floats(0.1, 1), st.integers(1, 100)), min_size=3, max_size=8, unique=True))
def test_no_finalist_is_worse_than_one_left_out_both_by_log_loss_and_by_multiply_adds(drawn):
    candidates = [of_costs(trial, *own) for trial, own in enumerate(drawn)]
    found = finalists(candidates, len(drawn) - 1)
    assert winner(candidates) in found
    for left_out in (one for one in candidates if one not in found):
        assert not any(one.log_loss > left_out.log_loss and one.costs.macs < left_out.costs.macs for one in found
                       if one != winner(candidates))
