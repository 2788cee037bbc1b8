"""Workers that are killed at random moments; the experiment does the same for longer."""

import dataclasses
from datetime import datetime

import pytest

from experiments.kills import CASES, FAULTS, Study, order, studied, table
from nas.problem.candidate import Candidate

QUICK = dataclasses.replace(CASES["table"], trials=8, workers=2)
TOLD = Candidate(0, "conv", 0.5, epochs=1, trained=True, state="complete", ended=datetime(2000, 1, 1))


@pytest.mark.parametrize("storage", ["sqlite", "postgresql"])
def test_a_study_loses_nothing_to_kills(storage, tmp_path, request):
    server = request.getfixturevalue("postgresql") if storage == "postgresql" else None
    found = studied(QUICK, 0, 4 if server is None else 2, tmp_path, server)
    assert found["kills"] and not any(found[fault] for fault in FAULTS), found


def judged(*candidates, before=(), trials=1):
    study = Study([], lambda: list(candidates), trials)
    study.told = {candidate.trial: candidate for candidate in before}
    study.judge()
    return {fault for fault in FAULTS if study.counts[fault]}


def other(trial, **changes):
    return dataclasses.replace(TOLD, trial=trial, **changes)


def test_what_is_wrong_with_a_study_would_be_found():
    assert judged(TOLD) == set()
    assert judged(TOLD, other(1)) == {"doubled", "missing"}
    assert judged(TOLD, other(1, duplicate_of=0)) == set()
    assert judged(TOLD, other(1, state="running", trained=False)) == {"left running"}
    assert judged(TOLD, trials=2) == {"missing"}
    assert judged(TOLD, other(1, architecture="other", state="lost")) == {"missing"}  # with nobody killed
    assert judged(TOLD, other(1, architecture="other", state="failed", reason="diverged")) == {"missing"}
    assert judged(TOLD, other(1, architecture="other", state="failed", reason="its worker died 2 times")) == set()
    assert judged(TOLD, before=[TOLD]) == set()
    assert judged(TOLD, before=[other(0, accuracy=0.6)]) == {"changed"}
    assert judged(TOLD, before=[other(3)]) == {"changed"}


def test_a_study_that_cannot_be_read_is_found():
    def read():
        raise OSError("torn")

    study = Study([], read, 1)
    assert study.look() == [] and study.counts["unreadable"] == 1


def test_lost_trials_are_no_part_of_the_order():
    assert order([other(0, state="lost"), other(1)]) == order([TOLD])


def test_the_table_has_a_line_for_each_case():
    lines = table({"function, sqlite": {"kills": 3}}).splitlines()
    assert len(lines) == 3 and lines[2].startswith("| function, sqlite | 0 | 3 |")
