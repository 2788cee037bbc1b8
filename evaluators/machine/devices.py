"""The processor of this machine, and the devices that JAX is told to use."""

import contextlib
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

from evaluators.machine.locks import training_turn
from search_spaces.errors import require

VARIABLE = "JAX_PLATFORMS"
FILES = "nvidia[0-9]*", "kfd", "accel*", "vfio/[0-9]*"  # in /dev: of GPUs by NVIDIA and by AMD, and of TPUs

MEMBERSHIP, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


@cache
def processor() -> str:
    """Returns the name of the processor."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def require_devices() -> None:
    """Raises `InvalidInput` if JAX has no devices of the kinds that `JAX_PLATFORMS` names.

    A process of its own is asked once, since JAX takes memory of the devices that it finds, and only where others than
    the CPU are named and this process has none yet: what it has is not to be had twice.
    """
    named = os.environ.get(VARIABLE, "")
    if {*named.split(",")} - {"", "cpu"} and not _in_use():
        reason = _missing(named)
        require(reason is None,
                f"`{VARIABLE}` names devices that JAX finds, but got '{named}'{reason and f': {reason}'}")


def cores() -> int:
    """Returns the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def whole_cores() -> int:
    """Returns the number of cores that this process may keep busy, one at least: a container may have a share of them.

    The share is the least quota of its control group (version 2) and of those around it.
    """
    shares = [float(cores())]
    with contextlib.suppress(OSError, ValueError):
        own = next((line for line in MEMBERSHIP.read_text().splitlines() if line.startswith("0::")), "")
        group = GROUPS / own.removeprefix("0::").strip("/")
        for limits in (place / "cpu.max" for place in (group, *group.parents)):
            if limits.is_file():
                quota, period = limits.read_text().split()
                shares += [float(quota) / float(period)] if quota != "max" else []
    return max(int(min(shares)), 1)


def accelerators() -> int:
    """Returns the number of accelerators that JAX uses, 0 where it computes on CPU.

    A process of its own is asked, unless this one has the devices, and only where there are files of such ones.
    """
    if os.environ.get(VARIABLE) == "cpu" or not any(path for pattern in FILES for path in Path("/dev").glob(pattern)):
        return 0
    if _in_use():
        import jax

        return jax.local_device_count() if jax.default_backend() != "cpu" else 0
    with training_turn():  # its start would disturb a measurement
        done = _run("import jax; print(jax.default_backend() != 'cpu' and jax.local_device_count() or 0)")
    return int(done.stdout.split()[-1]) if not done.returncode else 0


def _in_use() -> bool:
    """Tells whether JAX has devices in this process."""
    bridge = sys.modules.get("jax._src.xla_bridge")  # the public ways to ask take the devices
    return bridge is not None and bridge.backends_are_initialized()


@cache
def _missing(named: str) -> str | None:
    """Returns the reason why JAX finds no devices, empty where it gives none; None if it finds them."""
    with training_turn():  # its start would disturb a measurement
        done = _run("import jax; jax.devices()")
    last = ["", *done.stderr.decode(errors="replace").strip().splitlines()][-1]
    return last.partition(": ")[2] if done.returncode else None


def _run(code: str) -> subprocess.CompletedProcess[bytes]:
    """Runs code in a process with the modules of this one, and returns the completed process."""
    return subprocess.run([sys.executable, "-P", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"],
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)
