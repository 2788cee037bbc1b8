import dataclasses

from nas.engine.worth import worth
from nas.problem.budgets import Costs
from nas.problem.candidate import Candidate


def candidate(trial, accuracy, by_hand=False):
    return Candidate(trial, f"network {trial}", accuracy, 1000, 3, trained=True, state="complete", by_hand=by_hand,
                     start=f"network {trial}" if by_hand else None, costs=Costs(1, 1, 1, 1), violations={"macs": -0.1})


def test_a_winner_above_the_alternatives_is_compared_with_them():
    found = list(worth([candidate(0, 0.8, by_hand=True), candidate(1, 0.7, by_hand=True), candidate(2, 0.83)], 0.75))
    assert found == ["on the same validation images: the best published network made by hand 80.00% (trial 0), "
                     "logistic regression 75.00%, the winner 83.00%"]


def test_a_search_that_found_nothing_better_says_what_to_do():
    for candidates, easy in (([candidate(0, 0.8, by_hand=True), candidate(1, 0.79)], 0.5),
                             ([candidate(1, 0.79)], 0.8)):
        assert "--epochs" in list(worth(candidates, easy))[1]


def test_a_search_that_had_no_time_for_proposals_says_so():
    found = list(worth([candidate(0, 0.8, by_hand=True)], None))
    assert "none that the strategy proposes: more candidates (--trials, --time)" in found[0]
    assert "on the same validation images" in found[1]
    stopped = dataclasses.replace(candidate(1, 0.5), trained=False)
    assert len(list(worth([candidate(0, 0.8, by_hand=True), stopped], None))) == len(found) - 1
    continued = dataclasses.replace(candidate(2, 0.8), continues=0)
    assert next(worth([candidate(0, 0.8, by_hand=True), continued], None)) == found[0]


def test_there_is_nothing_to_say_without_a_winner_or_an_alternative():
    assert list(worth([], 0.5)) == []
    assert list(worth([candidate(0, 0.8)], None)) == []
