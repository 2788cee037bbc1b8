import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.recipe import BLOCKS, NETWORK, Optimizer
from evaluators.training.compile_choice import Effort, cheaper, choice, effort
from search_spaces import Architecture

PROGRAM = Architecture.parse("in_r8_c1+conv_k3_c4_s2_relu+fc_n2").program


def batch():
    images = np.random.default_rng(0).standard_normal((4, *PROGRAM.input_shape), np.float32)
    return jnp.asarray(images), jnp.arange(4) % 2


@given(steps=st.integers(0, 10**6), unseen=st.floats(0, 1))
def test_what_takes_longer_in_both_is_never_chosen(steps, unseen):
    assert cheaper(Effort(9, 0.010), Effort(10, 0.011), steps, unseen) == BLOCKS
    assert cheaper(Effort(10, 0.011), Effort(0.1, 0.010), steps, 1.0) == NETWORK


def test_long_trainings_pay_for_faster_steps_and_shared_pieces_for_slower_ones():
    blocks, network = Effort(20, 0.012), Effort(10, 0.002)
    assert cheaper(blocks, network, 100, unseen=0.1) == BLOCKS  # 2 + 1.2 against 10 + 0.2 seconds
    assert cheaper(blocks, network, 1000, unseen=0.1) == NETWORK  # 2 + 12 against 10 + 2
    assert cheaper(blocks, network, 100, unseen=1.0) == NETWORK


def test_a_cpu_compiles_pieces_and_measures_nothing():
    assert choice("here", PROGRAM, Optimizer(), lambda: pytest.fail("a batch was drawn"), 100, 1.0) == BLOCKS


def test_elsewhere_both_are_measured_with_the_first_network_of_a_kind(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    drawn = []

    def chosen(kind):
        return choice(kind, PROGRAM, Optimizer(), lambda: drawn.append(kind) or batch(), 100, 1.0)

    first = chosen("one")
    assert first in (BLOCKS, NETWORK)
    with jax.no_tracing(True):
        assert chosen("one") == first
    assert drawn == ["one"]


@pytest.mark.parametrize("whole", [False, True])
def test_what_is_compiled_already_does_not_shorten_the_measurement(whole):
    for _ in range(2):
        found = effort(PROGRAM, Optimizer(), batch(), whole)
        assert min(found.compile_s, found.step_s) > 0
    with pytest.raises(RuntimeError, match="trac"), jax.no_tracing(True):
        effort(PROGRAM, Optimizer(), batch(), whole)
