import fcntl
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from evaluators.machine import locks
from evaluators.machine.locks import measuring_turn, training_turn
from evaluators.machine.trouble import MachineTrouble

HOLD = """
import sys
from evaluators.machine.locks import measuring_turn, training_turn
with {"train": training_turn, "measure": measuring_turn}[sys.argv[1]]():
    print("in", flush=True)
    sys.stdin.readline()
print("out", flush=True)
"""
REPEAT = """
import sys, time
from evaluators.machine.locks import measuring_turn, training_turn
turn = {"train": training_turn, "measure": measuring_turn}[sys.argv[1]]
for _ in range(int(sys.argv[2])):
    with turn():
        time.sleep(0.005)
"""


class Holder:
    """A process that takes a turn and keeps it until it is told to go on."""

    def __init__(self, kind, environment):
        self.process = subprocess.Popen([sys.executable, "-c", HOLD, kind], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=environment)

    def is_in(self, timeout_s):
        ready = select.select([self.process.stdout], [], [], timeout_s)[0]
        return bool(ready) and self.process.stdout.readline() == "in\n"

    def leave(self):
        self.process.communicate("\n", timeout=60)


@pytest.fixture
def environment(tmp_path):
    return os.environ | {"PARETONAS_LOCKS": str(tmp_path)}


@pytest.fixture
def hold(environment):
    holders = []

    def start(kind):
        holders.append(Holder(kind, environment))
        return holders[-1]

    yield start
    for holder in holders:
        holder.process.kill()
        holder.process.communicate()


@pytest.fixture
def wait_for_queue(tmp_path):
    """Waits until some process holds the turnstile: the next one in line."""

    def wait():
        path = tmp_path / "paretonas-possible.lock"
        for _ in range(600):
            with path.open("a") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
            time.sleep(0.1)
        raise AssertionError("nobody waits")

    return wait


def test_trainings_share_a_turn(hold):
    assert hold("train").is_in(60)
    assert hold("train").is_in(60)


@pytest.mark.parametrize(("first", "second"), [("train", "measure"), ("measure", "train"), ("measure", "measure")])
def test_a_measurement_is_alone(hold, wait_for_queue, first, second):
    one = hold(first)
    assert one.is_in(60)
    other = hold(second)
    wait_for_queue()
    assert not other.is_in(0.2)
    one.leave()
    assert other.is_in(60)


def test_a_waiting_measurement_comes_before_later_trainings(hold, wait_for_queue):
    training = hold("train")
    assert training.is_in(60)
    measuring = hold("measure")
    wait_for_queue()
    later = hold("train")
    assert not later.is_in(0.5)
    training.leave()
    assert measuring.is_in(60)
    assert not later.is_in(0.2)
    measuring.leave()
    assert later.is_in(60)


def test_a_waiting_training_comes_before_later_measurements(hold, wait_for_queue):
    measuring = hold("measure")
    assert measuring.is_in(60)
    training = hold("train")
    wait_for_queue()
    later = hold("measure")
    assert not later.is_in(0.5)
    measuring.leave()
    assert training.is_in(60)
    assert not later.is_in(0.2)


@pytest.mark.parametrize(("many", "one"), [("train", "measure"), ("measure", "train")])
def test_nobody_starves(environment, many, one):
    crowd = [subprocess.Popen([sys.executable, "-c", REPEAT, many, "100000"], env=environment) for _ in range(3)]
    try:
        subprocess.run([sys.executable, "-c", REPEAT, one, "5"], env=environment, check=True, timeout=120)
        assert all(process.poll() is None for process in crowd)
    finally:
        for process in crowd:
            process.kill()
            process.wait()


@pytest.mark.parametrize("kind", ["train", "measure"])
def test_a_process_that_is_killed_leaves_its_turn(hold, kind):
    holder = hold(kind)
    assert holder.is_in(60)
    holder.process.send_signal(signal.SIGKILL)
    assert hold("measure").is_in(60)


def test_a_process_that_is_killed_while_it_waits_leaves_the_queue(hold, wait_for_queue):
    training = hold("train")
    assert training.is_in(60)
    measuring = hold("measure")
    wait_for_queue()
    measuring.process.send_signal(signal.SIGKILL)
    assert hold("train").is_in(60)


@pytest.fixture
def own_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("PARETONAS_LOCKS", str(tmp_path))


def test_an_error_within_a_turn_ends_it(own_directory):
    with pytest.raises(KeyError), measuring_turn():
        raise KeyError
    with training_turn():
        pass


def test_threads_of_one_process_take_turns_too(own_directory):
    order = []

    def measure():
        with measuring_turn():
            order.append("measures")

    with training_turn():
        thread = threading.Thread(target=measure)
        thread.start()
        time.sleep(0.2)
        order.append("trained")
    thread.join(60)
    assert order == ["trained", "measures"]


def test_a_training_that_renews_its_turn_lets_a_measurement_pass_that_waits(own_directory, wait_for_queue):
    order = []

    def measure():
        with measuring_turn():
            order.append("measured")

    with training_turn() as turn:
        thread = threading.Thread(target=measure)
        thread.start()
        wait_for_queue()
        turn.renew()
        order.append("trains on")
    thread.join(60)
    assert order == ["measured", "trains on"]


@pytest.mark.parametrize(("plant", "reason"), [
    (lambda path: path.symlink_to(path.with_name("elsewhere")), "Too many levels of symbolic links"),
    (lambda path: os.mkfifo(path), "it is no file"), (lambda path: path.mkdir(), "it is no file"),
    (lambda path: path.parent.rmdir(), "No such file or directory"),
    (lambda path: path.parent.rmdir() or path.parent.write_text(""), "Not a directory"),
], ids=["link", "pipe", "directory", "nothing", "file"])
def test_what_cannot_be_locked_is_trouble_of_the_machine_in_one_line(plant, reason, tmp_path, monkeypatch):
    monkeypatch.setenv("PARETONAS_LOCKS", str(tmp_path / "locks"))
    path = tmp_path / "locks" / "paretonas-possible.lock"
    path.parent.mkdir()
    plant(path)
    with pytest.raises(MachineTrouble) as error, training_turn():
        pass
    assert str(error.value) == (f"training and measuring take turns by the lock of a file, but '{path}' gives none: "
                                f"{reason}; `PARETONAS_LOCKS` names another directory")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("cores", [True, False], ids=["files of the kernel", "the user's own data"])
def test_jobs_of_a_machine_take_turns_whatever_their_temporary_directories_are(cores, tmp_path, monkeypatch):
    elsewhere = tmp_path / "machine"
    elsewhere.mkdir()
    monkeypatch.setattr(locks, "CORES", elsewhere)  # the locks of this machine are for those who use it
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("PARETONAS_LOCKS")
    if cores:
        for name in (locks.TURNSTILE, locks.ROOM):
            (elsewhere / name).write_text("0-1")
    with measuring_turn():
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr(tempfile, "tempdir", None)
        with pytest.raises(TimeoutError), measuring_turn(within_s=0.1):
            pass
    own = tmp_path / "data" / "paretonas" / "locks"
    assert own.exists() != cores
    assert cores or [path.name for path in sorted(own.iterdir())] == ["paretonas-online.lock",
                                                                      "paretonas-possible.lock"]


def test_locks_are_not_made_where_somebody_else_could_be_first(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "CORES", tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("PARETONAS_LOCKS")
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o777)
    with pytest.raises(MachineTrouble, match="data' can be written by others"), training_turn():
        pass


@pytest.mark.skipif(not locks.CORES.is_dir(), reason="a system that has no files about cores")
def test_the_kernels_files_about_cores_can_be_locked(tmp_path, monkeypatch):
    """As `possible` is, of which nobody takes an exclusive lock for long."""
    monkeypatch.setattr(locks, "TURNSTILE", "kernel_max")  # another file of the same kind, which no turn waits for
    monkeypatch.setattr(locks, "ROOM", "offline")
    monkeypatch.delenv("PARETONAS_LOCKS")
    with measuring_turn(), pytest.raises(TimeoutError), measuring_turn(within_s=0.1):
        pass


def test_a_lock_of_one_user_is_one_of_all(own_directory, tmp_path):
    before = os.umask(0o077)
    try:
        with training_turn():
            modes = {path.stat().st_mode & 0o777 for path in tmp_path.glob("paretonas-*.lock")}
    finally:
        os.umask(before)
    assert modes == {0o444}


def test_a_measurement_waits_no_longer_than_it_was_told():
    with training_turn():
        start = time.monotonic()
        with pytest.raises(TimeoutError), measuring_turn(within_s=0.2):
            pass
        assert time.monotonic() - start >= 0.2
    with measuring_turn(within_s=5.0):  # what gave up holds nothing
        pass
