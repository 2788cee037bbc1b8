import fcntl
import subprocess
import sys

import pytest

from nas.problem.candidate import Candidate
from nas.run.sharing import USE, SharedDirectory, used
from search_spaces.errors import InvalidInput

HOLDER = '''
import sys
from pathlib import Path
from nas.run.sharing import SharedDirectory, used
if sys.argv[1] == "begin":
    context = used(Path("."), alone=True)
else:
    context = SharedDirectory(Path("."))
with context as found:
    print(getattr(found, "worker", "begun"), flush=True)
    for line in sys.stdin:
        getattr(found, line.strip())()
        print("done", flush=True)
'''


@pytest.fixture
def another(tmp_path):
    """Starts another process that uses the directory: `another(what)` is that process and its first line."""
    started = []

    def start(what):
        process = subprocess.Popen([sys.executable, "-c", HOLDER, what], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ask(process, what):
    process.stdin.write(f"{what}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def test_a_directory_in_which_a_search_begins_is_used_by_no_other_process_until_that_ends(another, tmp_path):
    process, _ = another("begin")
    for alone in (False, True):
        with pytest.raises(InvalidInput, match="while no other process uses that"), used(tmp_path, alone):
            pass
    process.kill()
    process.wait()
    with used(tmp_path, alone=True) as begun:
        begun()
        with used(tmp_path), (tmp_path / USE).open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_turn_of_a_process_that_is_killed_goes_to_the_next_one(another, tmp_path):
    process, _ = another("share")
    ask(process, "acquire")
    process.kill()
    with SharedDirectory(tmp_path) as ours:
        ours.acquire()
        ours.release()


def test_trials_of_living_processes_are_theirs_and_others_are_left(another, tmp_path):
    process, worker = another("share")
    with SharedDirectory(tmp_path) as ours:
        trials = [Candidate(0), Candidate(1, worker=worker), Candidate(2, worker=ours.worker),
                  Candidate(3, worker="elsewhere:1:abc"), Candidate(4, worker="..")]
        assert [candidate.trial for candidate in ours.gone(trials)] == [0, 3, 4]
        process.kill()
        process.wait()
        assert [candidate.trial for candidate in ours.gone(trials)] == [0, 1, 3, 4]



def test_what_killed_processes_leave_is_removed_by_the_next_one(another, tmp_path):
    process, worker = another("share")
    process.kill()
    process.wait()
    assert (tmp_path / ".workers" / worker).exists()
    with SharedDirectory(tmp_path) as ours:
        assert [path.name for path in (tmp_path / ".workers").iterdir()] == [ours.worker]
    assert not (tmp_path / ".workers").exists()
