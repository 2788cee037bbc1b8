from types import SimpleNamespace

import pytest

from nas.engine.history import Histories
from nas.engine.recovery import DEATHS, deaths, to_retry, with_training_of_lost
from nas.engine.search import run_search
from nas.problem.candidate import Candidate, Outcome
from nas.run.directory import RunDirectory
from nas.run.monitor import Silent
from nas.run.sharing import SharedDirectory
from nas.trials.record import DIED, LOST

A = {"x": 1, "y": 2}


SPACE = SimpleNamespace(parameters={"x": (1, 2), "y": (1, 2)})


def lost(trial, **fields):
    return Candidate(trial, state="lost", **({"assignment": A, "architecture": "a"} | fields))


def history(*told):
    return Histories(("accuracy",))(told, [candidate for candidate in told if candidate.evaluated])


def test_a_lost_proposal_is_taken_up_once_and_only_if_it_is_whole():
    assert to_retry(history(lost(0)), SPACE).trial == 0
    assert to_retry(history(lost(0), Candidate(1, assignment=A)), SPACE) is None
    assert to_retry(history(lost(0), Candidate(1, assignment=A), lost(2)), SPACE).trial == 2
    assert to_retry(history(lost(0, assignment={"x": 1})), SPACE) is None
    assert to_retry(history(lost(0, start="in_r12"), lost(1, continues=5), Candidate(2, continues=5)), SPACE) is None


def test_a_training_goes_on_from_the_last_rung_of_the_lost_trial_that_was_longest():
    rungs = ((1, 0.5), (3, 0.6))
    told = [lost(0, accuracies=rungs[:1], epochs=1, accuracy=0.5), lost(1, accuracies=rungs, epochs=3, accuracy=0.6),
            lost(2, architecture="b", accuracies=(*rungs, (5, 0.9)), epochs=5, accuracy=0.9)]
    own = Candidate(3, architecture="a")
    found = with_training_of_lost(own, told, 9)
    assert (found.epochs, found.accuracy, found.accuracies, found.trained) == (3, 0.6, rungs, False)
    whole = lost(0, accuracies=(*rungs, (9, 0.8)), epochs=9, accuracy=0.8, trained=True)
    assert with_training_of_lost(own, [whole], 9) == found  # its network may not have been kept
    assert history(*told).with_checkpoints() == told[1:]
    assert history(*told, Candidate(3, architecture="a", epochs=9, state="complete")).with_checkpoints() == told[2:]


def test_deaths_are_of_the_same_part_of_the_same_training():
    told = [lost(0, died=True), lost(1), lost(2, died=True, architecture="b"), lost(3, died=True, continues=7)]
    assert [one.trial for one in deaths(told, Candidate(4, architecture="a"))] == [0]
    assert [one.trial for one in deaths(told, Candidate(4, architecture="a", continues=7))] == [3]


@pytest.fixture
def dying(make_config, gauge, tmp_path):
    """Goes on with a search until a worker, not of this process, dies at its trial."""
    def die():
        class Dying(Silent):
            def phase(self, trial, what):
                if what == "training":
                    raise KeyboardInterrupt
        with pytest.raises(KeyboardInterrupt):
            run_search(make_config(trials=3), tmp_path / "run", Dying(), gauge)
        study = RunDirectory(tmp_path / "run").study()
        (trial,) = [trial for trial in study.get_trials() if trial.user_attrs.get(LOST) is True]
        study._storage._backend.engine.dispose()
        return trial
    return die


def test_a_candidate_that_workers_die_of_again_and_again_is_failed_with_the_reason(
        dying, make_config, gauge, evaluator, tmp_path):
    import sqlite3

    for _ in range(DEATHS):
        trial = dying()
        with sqlite3.connect(tmp_path / "run/study.db") as file:  # as it is left by a process that was killed
            file.execute("UPDATE trials SET state = 'RUNNING', datetime_complete = NULL WHERE trial_id = ?",
                         (trial._trial_id,))
            file.execute("DELETE FROM trial_user_attributes WHERE trial_id = ? AND key = ?", (trial._trial_id, LOST))
        file.close()
    told = run_search(make_config(trials=3), tmp_path / "run", gauge=gauge).told()
    failed = [candidate for candidate in told if candidate.outcome is Outcome.FAILED]
    assert [candidate.reason.partition(":")[0] for candidate in failed] == ["its worker died 2 times"]
    assert {candidate.architecture for candidate in told if candidate.died} == {failed[0].architecture}
    assert sum(candidate.outcome is Outcome.TRAINED for candidate in told) == 3
    assert failed[0].architecture not in {c.architecture for c in told if c.outcome is Outcome.TRAINED}
    assert DIED == "died"  # as it is stored


def test_a_directory_has_no_living_worker_after_its_search(make_config, gauge, tmp_path):
    run = run_search(make_config(trials=1), tmp_path / "run", gauge=gauge)
    with SharedDirectory(run.path) as sharing:
        running = [Candidate(0, worker=candidate.worker) for candidate in run.told()]
        assert sharing.gone(running) == running
