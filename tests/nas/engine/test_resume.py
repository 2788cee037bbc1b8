"""A search that is killed at every trial goes on as an undisturbed one."""

import json
import subprocess
import sys

import pytest

SCRIPT = '''
"""Runs a search once undisturbed, and once in processes that are killed: in the middle of each trial and after it."""

import contextlib
import json
import os
import signal
import sqlite3
import sys

import numpy as np
import optuna

from evaluators.evaluator import Score
from evaluators.latency import Latency
from evaluators.registry import EVALUATORS
from nas.engine.search import Silent, run_search
from nas.run.config import SearchConfig
from nas.trials.record import CANDIDATE, CONTINUES, LOST


def evaluate(architecture, data, fidelity):
    if fidelity.checkpoint:  # that of this architecture, after fewer epochs
        identity, epochs = fidelity.checkpoint["trained"]
        assert identity == int(architecture.id[:6], 16) and epochs <= fidelity.epochs
    checkpoint = {"trained": np.array([int(architecture.id[:6], 16), fidelity.epochs])}
    return Score(int(architecture.id, 16) % (1000 + fidelity.epochs) / 1010, checkpoint=checkpoint)


EVALUATORS["hash"] = lambda context: evaluate
strategy, inputs, trials = sys.argv[1], sys.argv[2], int(sys.argv[3])
CONFIG = SearchConfig(space=f"{inputs}/space.toml", data=f"{inputs}/data.npz", strategy=strategy, evaluator="hash",
                      trials=10**6, latency_ms=float(sys.argv[4]), early_stopping=sys.argv[5] == "early_stopping",
                      epochs=3)


class Gauge:
    def size_bytes(self, architecture):
        return 4 * architecture.params

    def latency(self, architecture, precision=None):
        latency_ms = architecture.macs / 1e6
        return Latency(latency_ms, latency_ms, latency_ms, latency_ms, 10, 0.0, 0.1, 0.1, 0.0)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Killer(Silent):
    """Kills its process in some phase of a trial, or as soon as a trial is told."""

    def __init__(self, phase):
        self.at = phase

    def phase(self, trial, what):
        if what == self.at:
            die()

    def told(self, tally, last, best):
        die()


class Enough(Silent):
    """Ends an undisturbed search after some trials."""

    def told(self, tally, last, best):
        if last.trial == trials - 1:
            raise KeyboardInterrupt


def told():
    """Returns how many trials of the search that is killed have been told."""
    with contextlib.closing(sqlite3.connect("killed/study.db")) as trials:
        return trials.execute("select count(*) from trials where state = 'COMPLETE'").fetchone()[0]


def asked(path):
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{path}/study.db")
    return [{"architecture": trial.user_attrs[CANDIDATE]["architecture"], "values": trial.values,
             "constraints": trial.constraints, "continues": CONTINUES in trial.user_attrs,
             "accuracies": trial.user_attrs[CANDIDATE].get("accuracies")} for trial in study.get_trials()
            if LOST not in trial.user_attrs and trial.state.is_finished()]


def killed(phase):
    """Returns the status of a process that goes on with the search until it is killed."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        run_search(CONFIG, "killed", Killer(phase), Gauge())
    finally:
        os._exit(1)


try:
    run_search(CONFIG, "undisturbed", Enough(), Gauge())
except KeyboardInterrupt:
    pass

statuses = []
for number in range(trials):
    statuses.append(killed(("measuring", "training")[number % 2]))
    if told() == number:  # it was killed in the middle, so now after it
        statuses.append(killed(None))
study = optuna.load_study(study_name="search", storage="sqlite:///killed/study.db")
print(json.dumps({"undisturbed": asked("undisturbed"), "killed": asked("killed"), "statuses": statuses,
                  "all": len(study.get_trials())}))
'''


@pytest.mark.parametrize(("strategy", "trials", "ends"), [
    ("tpe", 13, "whole"), pytest.param("nsga2", 24, "whole", marks=pytest.mark.slow),
    ("random", 10, "early_stopping"), ("surrogate", 14, "early_stopping")])
def test_a_search_killed_at_every_trial_asks_for_the_same_candidates(
        strategy, trials, ends, inputs, tmp_path, all_members):
    # with a budget that about half of the members meet; 13 and 24 trials go beyond the samplers' random beginnings
    latencies_ms = sorted(member.macs / 1e6 for member in all_members.values())
    (tmp_path / "chain.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "chain.py", strategy, inputs, str(trials), str(latencies_ms[len(latencies_ms) // 2]), ends],
        cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found["statuses"]) == {9}  # SIGKILL, each time
    assert len(found["undisturbed"]) == trials
    assert found["killed"] == found["undisturbed"]  # nothing is lost, asked for twice or told otherwise
    assert any(one["continues"] for one in found["killed"]) == (ends == "early_stopping")
    assert found["all"] > trials  # trials that were in flight are there, as lost ones
    assert len(found["statuses"]) == found["all"] >= 1.3 * trials
