"""Candidates that are kept as trials end are those of Optuna's own reading of the study, at each moment."""

import dataclasses
import random

import optuna
import pytest

from evaluators.latency import Latency
from nas.problem.budgets import Budgets
from nas.problem.candidate import Candidate
from nas.problem.costs import Costs
from nas.trials.reading import Reading, later_timings
from nas.trials.record import STATES, write

TARGET = "onnxruntime"
BUDGETS = Budgets(0.3, targets=(TARGET,))


def timed(latency_ms):
    return {TARGET: Latency(latency_ms, latency_ms, latency_ms, latency_ms, 10, 0.0, 0.1, 0.1, 0.0)}


def note(study, trial, latency_ms):
    number = len(later_timings(study.user_attrs, trial)) + 1
    study.set_user_attr(f"after:{trial}:latency:{number}", {TARGET: dataclasses.asdict(timed(latency_ms)[TARGET])})


def course(seed):
    """A study at one moment after the other: trials begin, end in any order, and are timed again later."""
    draw, study, running = random.Random(seed), optuna.create_study(direction="maximize"), {}
    for _ in range(60):
        ended = [trial.number for trial in study.get_trials(states=[optuna.trial.TrialState.COMPLETE])]
        if len(running) < 3 and draw.random() < 0.6:
            trial = study.ask({"choice": optuna.distributions.IntDistribution(0, 9)})
            costs = Costs(latencies=timed(draw.uniform(0.1, 0.4)))
            running[trial] = Candidate(trial.number, draw.choice("abcdef"), costs=costs)
            write(trial, running[trial])
        elif ended and draw.random() < 0.3:
            note(study, draw.choice(ended), draw.uniform(0.1, 0.4))
        elif running:
            trial, candidate = draw.choice([*running.items()])
            del running[trial]
            if draw.random() < 0.2:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            write(trial, dataclasses.replace(candidate, accuracy=draw.random(), trained=True, epochs=3))
            study.tell(trial, trial.user_attrs["candidate"]["accuracy"])
        yield study


@pytest.mark.parametrize("seed", range(4))
def test_candidates_are_those_of_the_study_at_each_moment(seed):
    reading, later = Reading(TARGET, "macro-f1"), {}
    for study in course(seed):
        told = reading.told(study.get_trials(deepcopy=False))
        trials = study.get_trials()
        assert [(one.trial, one.state, one.assignment, one.ended) for one in told] == [
            (trial.number, STATES[trial.state.name], trial.params, trial.datetime_complete) for trial in trials]
        assert [one.accuracy for one in told if one.state == "complete"] == [
            trial.value for trial in trials if trial.value is not None]
        notes = study.user_attrs
        judged = reading.judged(told, ("a", "b"), notes, BUDGETS)
        assert [one.trial for one in judged] == [one.trial for one in told if one.evaluated]
        later = {}
        for number, trial in enumerate(trials):
            if names := later_timings(notes, number):
                later[trial.user_attrs["candidate"]["architecture"]] = notes[names[-1]][TARGET]["median_ms"]
        for one in judged:
            stored = trials[one.trial].user_attrs["candidate"]
            latency_ms = later.get(one.architecture, stored["latencies"][TARGET]["median_ms"])
            assert (one.latency_ms, one.by_hand, one.metric) == (latency_ms, one.architecture in "ab", "macro-f1")
            assert one.architecture not in later or (one.violations["latency"] > 0) == (latency_ms > 0.3)
    assert later and {trial.state.name for trial in study.get_trials()} >= {"COMPLETE", "FAIL"}
