"""Commands that signals end, in each phase: in order, with the status of the signal, and nothing left behind."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

MINE = '''
import os
import time
from pathlib import Path

from evaluators.evaluator import Score


def wait(phase):
    """Waits once two candidates are trained, where a test asks it to."""
    if os.environ["WAIT"] == phase and len(list(Path("trained").iterdir())) >= 2:
        Path(f"waiting-{os.getpid()}").touch()
        time.sleep(600)


def score(architecture, data, fidelity):
    wait("training")
    Path("trained", architecture.id).touch()
    return Score(0.5 + int(architecture.id[:4], 16) / 2**18, 1000)


class Wandering:
    continues_stopped = False

    def __init__(self, problem):
        self._choices = problem.space.parameters

    def propose(self, history, running, generator):
        wait("proposing")
        return {name: values[int(generator.integers(len(values)))] for name, values in self._choices.items()}
'''
BENCH = '[ "$WAIT" = timing ] && [ $(ls trained | wc -l) -ge 2 ] && touch waiting-$$ && sleep 600; echo 1 ms; echo 1 ms'
SEARCH = ("--space", "space.toml", "--data", "data.npz", "--evaluator", "mine:score", "--run", "run", "--trials", "9")
PHASES = {"proposing": ("--strategy", "mine:Wandering", "--objectives", "accuracy,macs"),
          "timing": ("--strategy", "random", "--target", "command:sh bench.sh {model}"),
          "training": ("--strategy", "random", "--objectives", "accuracy,macs")}


@pytest.fixture
def here(inputs, tmp_path):
    for name in ("space.toml", "data.npz"):
        (tmp_path / name).write_bytes((inputs / name).read_bytes())
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "bench.sh").write_text(BENCH)
    for name in ("trained", "temporary"):
        (tmp_path / name).mkdir(mode=0o700)
    return tmp_path


def begun(here, phase, *arguments, **options):
    """Returns the process of a search that has come to a phase, with two trained candidates behind it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "nas.cli", "search", *SEARCH, *PHASES[phase], *arguments], cwd=here, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env=os.environ | {"WAIT": phase, "TMPDIR": str(here / "temporary"), "MARK": str(here)}, **options)
    wait_until(lambda: list(here.glob("waiting-*")) or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    return process


def wait_until(true):
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def living(here):
    """Returns the processes that a search here has begun and that live."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"MARK={here}\0".encode() in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:  # it has ended, or is another user's
            continue
    return found


def states(here):
    with contextlib.closing(sqlite3.connect(here / "run" / "study.db")) as database:
        return {state for (state,) in database.execute("SELECT state FROM trials")}


@pytest.mark.parametrize(("phase", "workers", "number", "status"), [
    ("proposing", 1, signal.SIGTERM, 143), ("timing", 1, signal.SIGINT, 130), ("training", 2, signal.SIGINT, 130),
    *(pytest.param(phase, workers, number, status, marks=pytest.mark.slow)
      for phase in PHASES for workers in (1, 2)
      for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)))])
def test_a_signal_ends_a_search_in_order_in_any_phase(phase, workers, number, status, here):
    search = begun(here, phase, "--workers", str(workers))
    search.send_signal(number)
    out, err = search.communicate(timeout=60)
    assert search.returncode == status
    assert err.splitlines() == ["nas: interrupted" if number == signal.SIGINT else f"nas: ended by {number.name}"]
    assert "2 trained" in out and "Pareto front" in out
    assert out.splitlines()[-1] == "interrupted; `nas search --run run` goes on"
    assert "RUNNING" not in states(here)
    wait_until(lambda: not living(here))
    assert not list((here / "temporary").glob("paretonas-*"))
    assert not [path.name for path in (here / "run").iterdir() if path.name.startswith((".run", ".study", "study.db-"))]


@pytest.mark.slow
def test_a_second_interrupt_does_not_wait(here):
    held = "from mine import score as trained\ndef score(*a):\n    try:\n        return trained(*a)\n"
    (here / "held.py").write_text(f"import time\n{held}    except KeyboardInterrupt:\n        time.sleep(600)\n")
    search = begun(here, "training", "--evaluator", "held:score")
    search.send_signal(signal.SIGINT)
    search.send_signal(signal.SIGINT)  # at once: the same key, passed on
    search.send_signal(signal.SIGTERM)  # and of no account from now on
    time.sleep(1)
    assert search.poll() is None
    search.send_signal(signal.SIGINT)
    assert search.wait(30) == 130
    search.communicate()


@pytest.mark.slow
def test_a_signal_that_was_to_be_ignored_is(here):
    search = begun(here, "training", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # as nohup does
    search.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert search.poll() is None
    search.kill()
    search.communicate()


def test_a_terminal_that_is_gone_changes_nothing(here):
    search = begun(here, "training")
    search.stdout.close()
    search.stderr.close()
    search.send_signal(signal.SIGHUP)
    assert search.wait(60) == 129
    assert "RUNNING" not in states(here)
