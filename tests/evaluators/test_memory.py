import platform
import subprocess
import sys

import pytest

SCRIPT = """
import mmap
import resource
import sys

from evaluators.memory import keep_memory

def faults_of_a_second_allocation():
    size = 48 * 2**20
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        bytearray(b"1") * size
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

pages = 48 * 2**20 // mmap.PAGESIZE
print(faults_of_a_second_allocation() / pages, keep_memory(), faults_of_a_second_allocation() / pages)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc, which keeps memory so")
def test_memory_that_was_freed_costs_no_page_faults_when_it_is_taken_again():
    environment = {"PYTHONMALLOC": "malloc", "PYTHONPATH": ":".join(sys.path)}
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=environment)
    before, kept, after = result.stdout.split()
    assert float(before) > 0.5  # or else there was nothing to save
    assert kept == "True"
    assert float(after) < 0.1
