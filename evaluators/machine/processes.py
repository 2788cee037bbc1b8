"""Processes of our own that answer requests."""

import signal
import subprocess

KILLED = f"died of {signal.SIGKILL.name}"  # by the kernel, as where memory is short, or by somebody


def death(process: subprocess.Popen[bytes], within_s: float = 1.0) -> str:
    """Returns how a process has ended that was to answer, or that it has not within some seconds."""
    try:
        status = process.wait(within_s)
    except subprocess.TimeoutExpired:
        return "fell silent"
    return f"died of {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
