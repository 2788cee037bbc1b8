"""The memory allocator of a process that trains on CPU.

XLA's CPU backend allocates the buffers of every call anew. By default glibc takes large ones from the kernel and gives
them back at once, so that each is paid for again in page faults: up to a third of the time of a training step.
"""

import ctypes
import functools
import os
import platform
import sys

from search_spaces.errors import require

MMAP_MAX, TRIM_THRESHOLD, TOP_PAD = -4, -1, -2  # the numbers that mallopt(3) knows its parameters by, in malloc.h
TOP_PAD_BYTES = 64 * 2**20
TUNABLES = "GLIBC_TUNABLES"
HUGE_PAGES = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=17179869184:glibc.malloc.trim_threshold=17179869184"
"""Memory comes in huge pages and is not given back between steps: XLA's CPU backend allocates its buffers anew in
every call, and without this spends half the time of a training step in page faults."""


def use_huge_pages() -> None:
    """Replaces this process by the same command under `HUGE_PAGES`, where glibc can and nothing else is set."""
    if platform.libc_ver()[0] == "glibc" and TUNABLES not in os.environ and sys.orig_argv:
        os.environ[TUNABLES] = HUGE_PAGES
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


@functools.cache
def keep_memory() -> bool:
    """Makes this process keep freed memory for its next allocations, and returns whether it does.

    It holds what its peak took, until `give_memory_back` or its end. Where the C library is not glibc, nothing is
    changed.
    """
    if not _is_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((MMAP_MAX, 0), (TRIM_THRESHOLD, -1), (TOP_PAD, TOP_PAD_BYTES))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)


def give_memory_back() -> None:
    """Gives all pages back to the kernel that hold nothing, in some 10 ms; the next use of each is a page fault.

    Compilers leave them everywhere: without this, a process grows with everything that it compiles or loads.
    """
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def require_memory(size_bytes: int, content: str) -> None:
    """Raises `InvalidInput` if a content, in the plural, is larger than the memory of this machine."""
    require(size_bytes <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            f"data must fit into the memory, but {content} take {size_bytes:,} bytes")


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
