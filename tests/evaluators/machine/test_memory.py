import platform
import subprocess
import sys

import pytest

SCRIPT = """
import mmap
import resource
import sys

from evaluators.machine.memory import keep_memory

def faults_of_a_second_allocation():
    size = 48 * 2**20
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        bytearray(b"1") * size
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

pages = 48 * 2**20 // mmap.PAGESIZE
print(faults_of_a_second_allocation() / pages, keep_memory(), faults_of_a_second_allocation() / pages)
"""


def outcome(script):
    environment = {"PYTHONMALLOC": "malloc", "PYTHONPATH": ":".join(sys.path)}
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    return result.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc, which keeps memory so")
def test_memory_that_was_freed_costs_no_page_faults_when_it_is_taken_again():
    before, kept, after = outcome(SCRIPT)
    assert float(before) > 0.5  # or else there was nothing to save
    assert kept == "True"
    assert float(after) < 0.1


GIVEN_BACK = """
from pathlib import Path

from evaluators.machine.memory import give_memory_back, keep_memory

def resident_pages():
    return int(Path("/proc/self/statm").read_text().split()[1])

keep_memory()
before = resident_pages()
blocks = [bytearray(b"1") * 2**20 for _ in range(200)]
last = blocks[-1]  # keeps the top of the memory where it is
full = resident_pages() - before
del blocks
kept = resident_pages() - before
give_memory_back()
print(kept / full, (resident_pages() - before) / full)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc, which keeps memory so")
def test_memory_that_was_kept_is_given_back_when_it_is_asked_for():
    kept, after = map(float, outcome(GIVEN_BACK))
    assert kept > 0.9
    assert after < 0.1
