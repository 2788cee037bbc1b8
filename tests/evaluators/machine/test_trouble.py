import errno
import os

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.latency import MeasurementFailed
from evaluators.machine.trouble import MachineTrouble, is_trouble, tells_of_trouble


def raised(act):
    try:
        act()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("act", [
    lambda: open("/nowhere/file"),  # noqa: PTH123, SIM115
    lambda: open("/", "wb"),  # noqa: PTH123, SIM115
    lambda: os.read(10**6, 1),
    lambda: np.empty(2**60, np.uint8),
    lambda: bytearray(2**62),
    lambda: __import__("no_such_runtime"),
    lambda: jnp.ones(2**45).block_until_ready(),  # JAX is on a CPU here
])
def test_what_the_system_refuses_is_trouble_of_the_machine(act):
    assert is_trouble(raised(act))


@pytest.mark.parametrize("error", [
    ValueError("in a bad mood"), FloatingPointError("not finite"), OSError("of a function of the user's"),
    TimeoutError(), MeasurementFailed("the measuring process died of SIGSEGV while it timed 'model.onnx'"),
    NotImplementedError("no form of a layer"), RuntimeError("RESOURCE_EXHAUSTED: Out of memory")])
def test_what_a_network_or_its_evaluation_does_is_not(error):
    assert not is_trouble(error)
    assert not tells_of_trouble(f"{type(error).__name__}: {error}")


@given(st.sampled_from(sorted(errno.errorcode)), st.none() | st.text("ab/'. ", max_size=9))
def test_what_the_system_refused_earlier_versions_is_told_by_its_words(number, path):
    error = OSError(number, os.strerror(number), path)
    assert is_trouble(error)
    words = " ".join(f"{type(error).__name__}: {error}".split())
    assert tells_of_trouble(words)
    assert tells_of_trouble(f"MeasurementFailed: the measuring process failed while it timed 'a.onnx': {words}")


@pytest.mark.parametrize("reason", [
    "the training process died of SIGKILL", "_ArrayMemoryError: Unable to allocate 1. EiB for an array",
    "MeasurementFailed: the measuring process died of SIGKILL while it timed '/tmp/a.onnx'", "MemoryError:",
    "MeasurementFailed: the measuring process ended with status 1 while it started: Killed",
    "ModuleNotFoundError: No module named 'onnxruntime'"])
def test_other_words_of_earlier_versions_are_known_too(reason):
    assert tells_of_trouble(reason)


@pytest.mark.parametrize("reason", [
    "MeasurementFailed: the command 'sh bench.sh' ended with status 1: OSError: [Errno 19] No such device",
    "the training process died of SIGSEGV", "OutOfMemoryError: CUDA out of memory",
    "ValueError: MemoryError: [Errno 28]"])
def test_what_others_print_is_not_taken_for_it(reason):
    assert not tells_of_trouble(reason)


def test_trouble_is_trouble():
    assert is_trouble(MachineTrouble("no lock"))
