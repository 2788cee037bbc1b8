"""Sums that are kept as trials end are those of the definitions, which walk through all trials each time."""

import dataclasses
import random

import pytest

from nas.engine.history import Histories
from nas.engine.successive_halving import stopped
from nas.problem.candidate import Candidate, Outcome, front
from nas.problem.costs import Costs
from nas.trials.tally import tally

OBJECTIVES = ("accuracy", "macs")


def ended(candidate, draw):
    """A running candidate with one of the outcomes that it may come to."""
    of = {"accuracy": draw.choice((0.5, 0.6, 0.7)), "costs": Costs(macs=draw.choice((1, 2, 3)))}
    outcome = draw.choice(("trained", "stopped", "rejected", "failed", "lost", "duplicate"))
    changes = {
        "trained": of | {"epochs": 9, "trained": True}, "stopped": of | {"epochs": 1},
        "rejected": {"violations": {"macs": 0.5}}, "failed": {}, "lost": {"epochs": draw.choice((0, 1))},
        "duplicate": of | {"duplicate_of": 0, "epochs": 9, "trained": True}}[outcome]
    state = outcome if outcome in ("failed", "lost") else "complete"
    return dataclasses.replace(candidate, state=state, **changes)


def begun(number, told, draw):
    """A new candidate, which may be asked for, or continue one that was stopped."""
    continued = draw.choice([None, None, *(one for one in told if one.outcome is Outcome.STOPPED)])
    text = continued.architecture if continued else draw.choice("abcdef")
    return Candidate(number, text, state=draw.choice(("running", "waiting")), start=draw.choice((None, text)),
                     continues=continued.trial if continued else None)


def course(seed):
    """The candidates of a search with several workers at one moment after the other."""
    draw, told = random.Random(seed), []
    for _ in range(60):
        unfinished = [index for index, one in enumerate(told) if not one.has_ended]
        if len(unfinished) < 3 and draw.random() < 0.6:
            told = [*told, begun(len(told), told, draw)]
        elif unfinished:
            index = draw.choice(unfinished)
            told = [*told[:index], ended(told[index], draw), *told[index + 1:]]
        yield told


@pytest.mark.parametrize("seed", range(8))
def test_a_history_is_that_of_all_trials_at_each_moment(seed):
    histories = Histories(OBJECTIVES)
    for told in course(seed):
        evaluated = [one for one in told if one.evaluated]
        history = histories(told, evaluated)
        assert history.counts == tally(told)
        assert history.front == front(evaluated, OBJECTIVES)
        assert history.front_as_told == front(told, OBJECTIVES)
        assert sorted(one.trial for one in history.stopped) == sorted(one.trial for one in stopped(evaluated))
        for outcome, found in ((Outcome.RUNNING, history.running), (Outcome.WAITING, history.waiting),
                               (Outcome.LOST, history.lost)):
            assert found == [one for one in told if one.outcome is outcome]
        kept = [one for one in told if one.outcome is not Outcome.LOST]
        last = {one.architecture: one for one in told if one.epochs}
        assert {one.trial for one in history.with_checkpoints()} == {
            one.trial for one in last.values() if one.outcome is Outcome.LOST}
        assert history.ids == {one.architecture_id for one in told}
        for text in "abcdef":
            assert history.is_started(text) == any(one.start == text for one in kept)
            assert history.finished(text) == next((
                one for one in reversed(told) if one.architecture == text and one.state in ("complete", "failed")
                and one.outcome is not Outcome.DUPLICATE), None)
        for one in told:
            assert history.is_continued(one.trial) == any(other.continues == one.trial for other in kept)
