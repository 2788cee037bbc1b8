"""The devices that JAX is told to use."""

import os
import subprocess
import sys

from evaluators.machine.locks import training_turn
from search_spaces.errors import require

VARIABLE = "JAX_PLATFORMS"


def require_devices() -> None:
    """Raises `InvalidInput` if JAX has no devices of the kinds that `JAX_PLATFORMS` names.

    A process of its own is asked, since JAX takes memory of the devices that it finds, and only where others than the
    CPU are named.
    """
    named = os.environ.get(VARIABLE, "")
    if not {*named.split(",")} - {"", "cpu"}:
        return
    with training_turn():  # its start would disturb a measurement
        done = subprocess.run(
            [sys.executable, "-P", "-c", f"import sys; sys.path[:] = {sys.path!r}; import jax; jax.devices()"],
            stdin=subprocess.DEVNULL, capture_output=True, check=False)
    last = ["", *done.stderr.decode(errors="replace").strip().splitlines()][-1]
    reason = last.partition(": ")[2]  # of some kinds of device JAX gives none
    require(done.returncode == 0,
            f"`{VARIABLE}` names devices that JAX finds, but got '{named}'{reason and f': {reason}'}")
