import jax
import numpy as np
import pytest
from flax import nnx

from evaluators.networks.network import forward
from evaluators.networks.weights import initial_weights
from experiments.benchmarks.training_step import NETWORKS, floor_ms
from search_spaces import Architecture

SMALL = "in_r8_c3_symmetric+conv_k3_c8_s2_relu6+mb_k5_e3_c8_s1_se0.5_hswish+mb_k3_e1_c16_s2_se0_relu6+head_c9_relu6_n10"


@pytest.mark.parametrize("text", [SMALL, NETWORKS["28 px, 6 blocks"]])
def test_pytorch_is_given_the_same_network(text):
    torch = pytest.importorskip("torch")
    from experiments.benchmarks import pytorch_baseline

    architecture = Architecture.parse(text)
    weights, statistics = initial_weights(architecture.program, 0)
    model = pytorch_baseline.network(architecture).eval()
    parameters = list(model.parameters())
    assert sum(one.numel() for one in parameters) == architecture.params
    with torch.no_grad():
        for one, array in zip(parameters, weights.values(), strict=True):
            axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]
            one.copy_(torch.from_numpy(array.transpose(axes)))
        size, channels = architecture.input.resolution, architecture.input.channels
        images = np.random.default_rng(0).standard_normal((2, size, size, channels), np.float32)
        logits = model(torch.from_numpy(images).permute(0, 3, 1, 2).to(pytorch_baseline.DEVICE)).cpu().numpy()
    expected = forward(architecture.program, weights | statistics, images)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("text", [SMALL, NETWORKS["28 px, 6 blocks"]])
def test_flax_is_given_a_network_of_the_same_parameters(text):
    from experiments.benchmarks import flax_baseline

    architecture = Architecture.parse(text)
    abstract = nnx.eval_shape(lambda: flax_baseline.network(architecture, nnx.Rngs(0)))
    found = sorted(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(nnx.state(abstract, nnx.Param)))
    weights, _ = initial_weights(architecture.program, 0)
    assert found == sorted(array.size for array in weights.values())


def test_networks_have_the_blocks_that_they_are_named_after():
    for name, text in NETWORKS.items():
        architecture = Architecture.parse(text)
        assert name == f"{architecture.input.resolution} px, {len(architecture.blocks) - 2} blocks"


def test_the_floor_is_arithmetic_where_copies_are_free_and_traffic_where_arithmetic_is():
    architecture = Architecture.parse("in_r1_c4+head_c8_relu_n2")  # products of 4 x 8 and 8 x 2
    assert floor_ms(architecture, 10, {"gemm_gflop_per_s": 1.0, "copy_gb_per_s": np.inf}) == pytest.approx(
        10 * 6 * (32 + 16) * 1e-6)
    assert floor_ms(architecture, 10, {"gemm_gflop_per_s": np.inf, "copy_gb_per_s": 1.0}) == pytest.approx(
        10 * 4 * (3 * (4 + 8) + 2 * (8 + 2)) * 1e-6)
