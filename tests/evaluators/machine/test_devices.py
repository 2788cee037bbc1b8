import os
import subprocess
import sys

import jax
import pytest

from evaluators.machine import devices
from evaluators.machine.devices import accelerators, cores, require_devices, whole_cores
from search_spaces import InvalidInput


@pytest.fixture(autouse=True)
def without_devices(monkeypatch):
    """JAX has no devices in this process yet, whatever tests before this one did."""
    monkeypatch.setattr(devices, "_in_use", lambda: False)
    devices._missing.cache_clear()


@pytest.mark.parametrize(("named", "reason"), [
    ("nonesuch", ": .*nonesuch.*"), ("cpu,nonesuch", ": .*nonesuch.*"), ("tpu", "(: .*)?"), ("rocm", "(: .*)?")])
def test_devices_that_are_not_there_are_refused_in_a_line_with_the_reason_of_jax(named, reason, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", named)
    with pytest.raises(InvalidInput, match=rf"^`JAX_PLATFORMS` names devices .* but got '{named}'{reason}$"):
        require_devices()


@pytest.mark.parametrize("named", [None, "", "cpu"])
def test_nothing_is_asked_where_the_cpu_is_enough(named, monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    if named is not None:
        monkeypatch.setenv("JAX_PLATFORMS", named)
    monkeypatch.setattr(subprocess, "run", None)
    require_devices()


def test_it_is_asked_once_and_not_where_this_process_has_devices(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "nonesuch")
    asked = []

    def run(command, **options):
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, b"", b"")

    monkeypatch.setattr(subprocess, "run", run)
    for _ in range(2):
        require_devices()
    assert len(asked) == 1
    devices._missing.cache_clear()
    monkeypatch.undo()
    script = ("import jax\nfrom evaluators.machine.devices import _in_use\n"
              "print(_in_use())\njax.devices()\nprint(_in_use())")
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]


@pytest.mark.parametrize(("files", "named", "answer", "expected"), [
    (("null",), None, b"WARNING: one line\n2\n", 2), (("null",), "cuda,cpu", b"0\n", 0), (("null",), "cpu", None, 0),
    (("nonesuch*",), None, None, 0)])
def test_jax_is_asked_for_accelerators_where_there_are_their_files(files, named, answer, expected, monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    if named:
        monkeypatch.setenv("JAX_PLATFORMS", named)
    monkeypatch.setattr(devices, "FILES", files)
    monkeypatch.setattr(subprocess, "run", answer and (lambda command, **options: subprocess.CompletedProcess(
        command, 0, answer, b"")))
    assert accelerators() == expected


@pytest.mark.slow  # it imports JAX
def test_the_process_that_is_asked_finds_none_on_a_cpu(monkeypatch):
    monkeypatch.setattr(devices, "FILES", ("null",))
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    assert accelerators() == 0


def test_a_process_that_has_the_devices_asks_itself_since_another_one_would_not_get_them(monkeypatch):
    monkeypatch.setattr(devices, "FILES", ("null",))
    monkeypatch.setattr(devices, "_in_use", lambda: True)
    monkeypatch.setattr(devices, "_run", None)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "local_device_count", lambda: 3)
    assert accelerators() == 3
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert accelerators() == 0


@pytest.mark.parametrize(("membership", "quotas", "kept_busy"), [
    ("0::/\n", {"": "250000 100000"}, 2),
    ("0::/\n", {"": "max 100000"}, 8),
    ("0::/\n", {"": "50000 100000"}, 1),
    ("0::/\n", {}, 8),
    ("0::/jobs/ours\n", {"jobs": "300000 100000", "jobs/ours": "max 100000"}, 3),
    ("0::/jobs/ours\n", {"jobs": "600000 100000", "jobs/ours": "400000 100000"}, 4),
    ("1:cpu:/\n", {"jobs": "300000 100000"}, 8),
    ("0::/\n", {"": "of another form"}, 8),
    (None, {"": "250000 100000"}, 8),
])
def test_no_more_cores_are_kept_busy_than_a_container_has_a_share_of(membership, quotas, kept_busy, tmp_path,
                                                                     monkeypatch):
    """`cpu.max` has microseconds of each period, as the kernel's documentation of control groups (version 2) says."""
    for group, quota in quotas.items():
        (tmp_path / "groups" / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / group / "cpu.max").write_text(f"{quota}\n")
    if membership is not None:
        (tmp_path / "membership").write_text(membership)
    monkeypatch.setattr(devices, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(devices, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    assert (whole_cores(), cores()) == (kept_busy, 8)
