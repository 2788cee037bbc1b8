"""Commands that experiments start, seen from the kernel."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import time
from pathlib import Path
from experiments import commands
commands.IMPORTED = ()
command = commands.Command([], Path("log"))
command.start()
print(command.sessions[0], flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_ends_with_its_experiment(number, tmp_path):
    os.mkfifo(tmp_path / "log")  # which nobody reads, so that the command waits
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          cwd=tmp_path) as experiment:
        command = Path("/proc", experiment.stdout.readline().strip(), "exe")
        assert command.exists()
        experiment.send_signal(number)
    deadline_s = time.monotonic() + 30
    while command.exists() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert not command.exists()
