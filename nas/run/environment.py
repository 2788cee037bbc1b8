"""The environment of a result: versions, machine and time."""

import contextlib
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evaluators.machine.devices import processor

VERSIONED = ("paretonas", "jax", "jaxlib", "flax", "optax", "optuna", "numpy", "onnx", "onnxruntime", "ai-edge-litert",
             "openvino")


def environment() -> dict[str, Any]:
    """Returns versions, machine and time, by which a result can be understood later."""
    versions = {}
    for name in VERSIONED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count() or 1,
        "frequency_governor": frequency_governor(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        **versions,
    }


def lasting(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an environment without the values of the moment."""
    return {name: value for name, value in environment.items()
            if value is not None and name not in ("written", "load_average")}


def frequency_governor() -> str | None:
    """Returns the governor of the cores' frequency, where the system tells; virtual machines mostly do not."""
    with contextlib.suppress(OSError):
        return Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
    return None
