"""Trouble of the machine: errors that tell nothing of the network that was being trained or timed."""

import re
import sys

SYSTEM = ("OSError|BlockingIOError|BrokenPipeError|ChildProcessError|ConnectionAbortedError|ConnectionError|"
          "ConnectionRefusedError|ConnectionResetError|FileExistsError|FileNotFoundError|InterruptedError|"
          "IsADirectoryError|NotADirectoryError|PermissionError|ProcessLookupError|TimeoutError")
REASON = re.compile(rf"(?:\w+: the measuring process failed while [^:]*: )?(?:(?:{SYSTEM}): \[Errno \d+\]|"
                    r"(?:_Array)?MemoryError\b|ImportError\b|ModuleNotFoundError\b)")
DEATH = re.compile(r"(?:\w+: )?the (?:training|measuring) process (?:died of SIGKILL|.* while it started)")


class MachineTrouble(RuntimeError):
    """The failure of locks, a disk, memory, a library or a process that no network is to blame for: one line."""


def is_trouble(error: BaseException) -> bool:
    """Tells whether an error is trouble of the machine.

    It is if the system has refused something, if the memory is used up or if a library is missing. Networks that are
    too large for an accelerator, that diverge, that a runtime cannot take or that crash it fail by themselves.
    """
    return isinstance(error, MachineTrouble | MemoryError | ImportError) or (
        isinstance(error, OSError) and error.errno is not None) or _is_of_host_memory(error)


def _is_of_host_memory(error: BaseException) -> bool:
    """Tells whether JAX has found no memory where it has no other than that of the machine."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(error, jax.errors.JaxRuntimeError) and (
        str(error).startswith("RESOURCE_EXHAUSTED")) and jax.default_backend() == "cpu"


def tells_of_trouble(reason: str) -> bool:
    """Tells whether a recorded reason is trouble of the machine, which was once recorded as a candidate's failure.

    >>> tells_of_trouble("NotADirectoryError: [Errno 20] Not a directory: 'locks/paretonas-possible.lock'")
    True
    """
    return bool(REASON.match(reason) or DEATH.match(reason))
