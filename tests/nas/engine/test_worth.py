import dataclasses

from nas.engine.worth import worth
from nas.problem.budgets import Costs
from nas.problem.candidate import Candidate


def candidate(trial, accuracy, by_hand=False):
    return Candidate(trial, f"network {trial}", accuracy, 1000, 3, trained=True, state="complete", by_hand=by_hand,
                     start=f"network {trial}" if by_hand else None, costs=Costs(1, 1, 1, 1), violations={"macs": -0.1})


def test_there_is_nothing_to_say_of_a_winner_above_the_alternatives():
    assert not list(worth([candidate(0, 0.8, by_hand=True), candidate(1, 0.7, by_hand=True), candidate(2, 0.83)], 0.75))


def test_a_search_that_found_nothing_better_says_than_what_and_what_to_do():
    for candidates, easy, names in (
            ([candidate(0, 0.8, by_hand=True), candidate(1, 0.79)], 0.5, "the best network made by hand"),
            ([candidate(1, 0.79)], 0.8, "logistic regression"),
            ([candidate(0, 0.7, by_hand=True), candidate(1, 0.6)], 0.7,
             "the best network made by hand and logistic regression")):
        line, = worth(candidates, easy)
        assert line.startswith(f"nothing better than {names} was found: longer trainings (--epochs)")


def test_a_search_that_had_no_time_for_proposals_says_so():
    found = list(worth([candidate(0, 0.8, by_hand=True)], None))
    assert "none that the strategy proposes: more candidates (--trials, --time)" in found[0]
    stopped = dataclasses.replace(candidate(1, 0.5), trained=False)
    assert len(list(worth([candidate(0, 0.8, by_hand=True), stopped], None))) == len(found) - 1
    open_trial = dataclasses.replace(candidate(1, 0.5), trained=False, state="running")
    assert not list(worth([candidate(0, 0.8, by_hand=True), open_trial], None))
    continued = dataclasses.replace(candidate(2, 0.8), continues=0)
    assert next(worth([candidate(0, 0.8, by_hand=True), continued], None)) == found[0]


def test_there_is_nothing_to_say_without_a_winner_or_an_alternative():
    assert list(worth([], 0.5)) == []
    assert list(worth([candidate(0, 0.8)], None)) == []
