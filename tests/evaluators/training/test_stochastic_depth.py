import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.networks.weights import initial_weights
from evaluators.recipe import Optimizer
from evaluators.training.adamw import coefficients
from evaluators.training.partition import cut
from evaluators.training.step import inference, pack, piece_passes, training_step, unpack, unpack_moments
from evaluators.training.stochastic_depth import DropPath, keeping, residual_branches, with_stochastic_depth
from search_spaces import Architecture
from search_spaces.zoo import load_network

TEXT = "in_r10_c1+conv_k3_c8_s2_relu+mb_k3_e2_c8_s1_se0_relu+mb_k3_e2_c8_s1_se0.25_hswish+head_c8_relu_n4"
PROGRAM = Architecture.parse(TEXT).program
DROPPING = with_stochastic_depth(PROGRAM)
IMAGES = np.random.default_rng(0).standard_normal((6, 10, 10, 1), np.float32)
LABELS = np.arange(6) % 4


@pytest.mark.parametrize(("name", "count"), [
    ("efficientnet_b0", 16 - 7),  # blocks less the first of each stage, which change channels or stride
    ("mobilenet_v2", 17 - 7),
    ("resnet50", 16 - 4),  # the shortcuts of the first of each stage are projected
    ("mobilenet_v1", 0),
    ("densenet121", 0),
])
def test_residual_branches_are_those_of_the_papers(name, count):
    assert len(residual_branches(load_network(name).program)) == count


def test_every_branch_ends_in_its_own_piece_and_arrays_keep_their_names():
    assert [use.piece.drops for use in cut(DROPPING)].count(True) == 2 == len(residual_branches(PROGRAM))
    assert DROPPING.arrays == PROGRAM.arrays
    assert (DROPPING.output_shape, DROPPING.macs) == (PROGRAM.output_shape, PROGRAM.macs)
    for index, operation in enumerate(DROPPING.operations):
        if isinstance(operation.layer, DropPath):
            assert operation.input_shapes == (operation.output_shape,)
            assert DROPPING.readers[index + 1] == (index + 1,)


@given(st.integers(1, 12), st.floats(0, 0.95), st.integers(0, 99))
def test_branches_are_kept_less_the_deeper_they_lie_and_in_the_mean_in_full(branches, most, seed):
    found = keeping(branches, most, 4000, np.random.default_rng(seed))
    for place, factors in enumerate(found, 1):
        kept = 1 - most * place / branches
        assert set(np.unique(factors)) <= {np.float32(0), np.float32(1 / kept)}
        assert factors.mean() == pytest.approx(1, abs=6 * np.sqrt((1 - kept) / kept / 4000) + 1e-6)


def test_the_expected_value_of_a_branch_is_the_whole_branch():
    (use,) = [use for use in cut(DROPPING) if use.piece.drops][:1]
    forward, backward = piece_passes(use.piece, Optimizer(), (True,))
    x = np.random.default_rng(1).standard_normal((4000, 1, 1, 8), np.float32) ** 2
    factors = keeping(1, 0.4, 4000, np.random.default_rng(2))[0]
    y, kept, _ = forward(None, None, factors, x)
    np.testing.assert_allclose(np.mean(y, 0), x.mean(0), rtol=0.15)
    _, _, (below,) = backward(None, None, kept, np.ones_like(x), coefficients(Optimizer(), 1e-3, 1), x)
    np.testing.assert_array_equal(below[:, 0, 0, 0], factors)  # the gradient of what it scales


def test_with_all_branches_a_step_is_the_usual_one_and_without_they_learn_nothing():
    weights, statistics = initial_weights(PROGRAM, 0)
    rates = coefficients(Optimizer(), 1e-3, 1)
    plain, loss = training_step(PROGRAM, Optimizer(), False)(pack(PROGRAM, weights, statistics), IMAGES, LABELS, rates)
    step = training_step(DROPPING, Optimizer(), False)

    def stepped(factors):
        states, found = step(pack(DROPPING, weights, statistics), IMAGES, LABELS, rates, None,
                             np.asarray(factors, np.float32)[:, None].repeat(6, 1))
        return unpack(DROPPING, states), unpack_moments(DROPPING, states)[0], float(found), states

    arrays, _, found, states = stepped([1, 1])
    assert found == pytest.approx(float(loss), rel=1e-5)
    for name, array in unpack(PROGRAM, plain).items():
        np.testing.assert_allclose(arrays[name], array, rtol=1e-3, atol=2e-4, err_msg=name)
    _, moments, _, _ = stepped([1, 0])
    assert all(not array.any() for name, array in moments.items() if name.startswith("2.mb/"))
    assert all(array.any() for name, array in moments.items() if name.startswith("1.mb/") and "kernel" in name)
    logits = inference(DROPPING, False)(states, IMAGES)
    expected = inference(PROGRAM, False)(pack(PROGRAM, arrays, arrays), IMAGES)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
