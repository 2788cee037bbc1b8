import subprocess

import pytest

from evaluators.machine.devices import require_devices
from search_spaces import InvalidInput


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
