"""The memory allocator of the processes that train."""

import os
import platform
import sys

TUNABLES = "GLIBC_TUNABLES"
HUGE_PAGES = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=17179869184:glibc.malloc.trim_threshold=17179869184"
"""Memory comes in huge pages and is not given back between steps: XLA's CPU backend allocates its buffers anew in
every call, and without this spends half the time of a training step in page faults."""


def use_huge_pages() -> None:
    """Replaces this process by the same command under `HUGE_PAGES`, where glibc can and nothing else is set."""
    if platform.libc_ver()[0] == "glibc" and TUNABLES not in os.environ and sys.orig_argv:
        os.environ[TUNABLES] = HUGE_PAGES
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
