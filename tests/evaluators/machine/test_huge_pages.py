import os
import platform
import subprocess
import sys

import pytest

from evaluators.machine.memory import HUGE_PAGES, TUNABLES

SCRIPT = """
import os, sys
print("begin", flush=True)
from evaluators.machine.memory import TUNABLES, use_huge_pages
use_huge_pages()
use_huge_pages()
print(os.environ.get(TUNABLES), os.getpid(), *sys.argv[1:], sys.stdin.read())
"""


def output(tmp_path, **environment):
    (tmp_path / "script.py").write_text(SCRIPT)
    bare = {name: value for name, value in os.environ.items() if name != TUNABLES}
    process = subprocess.Popen([sys.executable, "-B", "script.py", "a b", "--c"], cwd=tmp_path, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=bare | environment)
    return process.pid, process.communicate("input")[0].splitlines()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc, which has no such tunables")
def test_the_same_command_starts_again_once_under_the_tunables(tmp_path):
    pid, lines = output(tmp_path)
    assert lines == ["begin", "begin", f"{HUGE_PAGES} {pid} a b --c input"]


def test_what_the_user_has_set_is_left_alone(tmp_path):
    pid, lines = output(tmp_path, **{TUNABLES: "glibc.malloc.check=1"})
    assert lines == ["begin", f"glibc.malloc.check=1 {pid} a b --c input"]
