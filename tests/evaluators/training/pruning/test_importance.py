"""The importance of channels and blocks against differences of the loss."""

import jax
import numpy as np
import optax
import pytest

from evaluators.networks.network import run
from evaluators.training.pruning.importance import BATCH, batch_norm, taylor
from evaluators.training.train import Images
from nas.testing import random_arrays
from search_spaces import Architecture, InvalidInput

NETWORK = Architecture.parse("in_r8_c1+conv_k3_c16_s2_relu+mb_k3_e2_c16_s1_se0.5_relu+head_c16_relu_n3")
STEP = 1e-6


@pytest.fixture
def training():
    """One batch, so that its order does not matter."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (BATCH, 8, 8, 1), np.uint8)
    return Images(jax.device_put(images), jax.device_put(generator.integers(0, 3, BATCH)), (0.5,), (0.25,))


@jax.jit
def loss(arrays, images, labels):
    logits = run(NETWORK.program, arrays, arrays, images, train=True)[0].reshape(BATCH, -1)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def slope(arrays, name, channel, training):
    """Returns the change of the loss for each share by which all weights are less that make a channel."""
    images, losses = (np.asarray(training.images) / 255 - 0.5) / 0.25, []
    for factor in (1 + STEP, 1 - STEP):
        changed = {key: np.array(array, float) for key, array in arrays.items()}
        for key in changed:
            if key.startswith(f"{name}/") and key.endswith(("kernel", "bias", "scale")):
                changed[key][..., channel] *= factor
        losses.append(float(loss(changed, images, training.labels)))
    return abs(losses[0] - losses[1]) / (2 * STEP)


def test_the_importance_of_a_channel_is_the_slope_of_the_loss_as_it_vanishes(training):
    arrays = random_arrays(NETWORK, seed=1)
    found = taylor(NETWORK, arrays, training)
    names = {operation.name: scores for operation, scores in zip(NETWORK.program.operations, found.channels[1:],
                                                                 strict=True)}
    with jax.enable_x64(True):
        for name in ("0.conv/batch_norm", "1.mb/depthwise/batch_norm", "1.mb/squeeze_excite/squeeze/convolution"):
            for channel in (0, 5):
                assert names[name][channel] == pytest.approx(slope(arrays, name, channel, training), rel=2e-3, abs=1e-6)
        lost = [slope(arrays, "1.mb/project/batch_norm", channel, training) for channel in range(16)]
    assert found.blocks[1] == pytest.approx(lost, rel=2e-3, abs=1e-6), "a residual block is what its branch adds"
    assert not names["0.conv/convolution"].any(), "what a batch norm scales counts once"
    assert np.isinf(found.blocks[0]).all(), "a block that changes the shape stays"


def test_the_scales_of_batch_norms_are_an_importance_and_need_batch_norms(training):
    arrays = random_arrays(NETWORK, seed=1)
    found = batch_norm(NETWORK, arrays, training)
    index = [operation.name for operation in NETWORK.program.operations].index("1.mb/expand/batch_norm")
    assert np.array_equal(found.channels[index + 1], np.abs(arrays["1.mb/expand/batch_norm/scale"]))
    squeeze = [operation.name for operation in NETWORK.program.operations].index(
        "1.mb/squeeze_excite/squeeze/convolution")
    scales = np.concatenate([np.abs(array) for name, array in arrays.items() if name.endswith("/scale")])
    assert found.channels[squeeze + 1] == pytest.approx(scales.mean()), "what none scales counts as the mean"
    assert found.blocks[1].sum() == pytest.approx(np.abs(arrays["1.mb/project/batch_norm/scale"]).sum())
    without = Architecture.parse("in_r8_c1+conv_k3_c16_s2_relu_bias+fc_n3")
    with pytest.raises(InvalidInput, match="importance by batch-norm needs batch norms"):
        batch_norm(without, random_arrays(without, seed=1), training)


@pytest.mark.parametrize("measure", [taylor, batch_norm])
def test_channels_between_two_factors_are_not_for_nothing(measure, training):
    network = Architecture.parse("in_r8_c1+sep_k3_c64_s2_relu+sep_k3_c64_s1_relu_rank0.25+fc_n3")
    operations = network.program.operations
    found = measure(network, random_arrays(network, seed=1), training)
    between = [scores for operation, scores in zip(operations, found.channels[1:], strict=True)
               if operation.output_shape[2] == 16]
    assert len(between) == 1 and (between[0] > 0).all()
