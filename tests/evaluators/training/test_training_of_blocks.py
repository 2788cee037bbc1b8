"""One training step of a small network of every kind of block: by pieces, as one program, and for other devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evaluators.networks.weights import initial_weights
from evaluators.recipe import Optimizer
from evaluators.training.adamw import coefficients
from evaluators.training.step import pack, training_step, unpack
from search_spaces import BLOCKS, Architecture

# a block of every kind that is no stem, pool or head, on 8x8 pixels of 8 channels
TOKENS = ("sep_k3_c8_s2_relu6", "mb_k3_e3_c8_s1_se0.25_hswish", "fused_k3_e2_c8_s1_se0_swish",
          "sand_k3_r2_c8_s1_relu6_id0.5", "shuffle_c8_g2_s1_relu", "shuffle2_c8_s1_relu",
          "fire_q2_c8_relu_bypass", "basic_c16_s2_relu", "bottleneck_c16_s2_relu", "basic2_c16_s2_relu",
          "bottleneck2_c8_s1_relu", "dense_g4_n2_relu_c8_s2", "inception_o2_t2_f2_relu_tr2_fr2_p2",
          "inceptiona_o2_f2_d2_p2_fr2_dr2_relu", "inceptionb_o2_r2_m2_c2_p2_relu",
          "inceptionc_o2_c2_r2_dr2_d2_p2_relu_m2", "reductiona_c2_r2_m2_d2_relu", "reductionb_r2_c2_fr2_f2_relu",
          "stemreduction_c4_relu", "stemsplit_r2_c4_relu", "inceptionresa_o2_m2_d2_relu",
          "inceptionresb_o2_r2_m2_c2_relu", "inceptionresc_o2_m2_c2_relu", "reductionresb_r2_a2_b2_d2_relu",
          "xception_c16_s2_relu")


def test_every_kind_of_block_is_trained_here():
    framing = {"conv", "pool", "gap", "norm", "head", "fc", "convfc"}
    assert {token.partition("_")[0] for token in TOKENS} | framing == set(BLOCKS)


# two in which channels come apart and together, in one network
SOME = ["shuffle2_c8_s1_relu+dense_g4_n2_relu_c8_s2"] + [
    pytest.param(token, marks=pytest.mark.slow) for token in TOKENS]


def program_of(token):
    return Architecture.parse(f"in_r8_c3+conv_k3_c8_s1_relu+pool_max_k3_s1+{token}+norm_relu+fc_n4").program


@pytest.mark.parametrize("token", SOME)
def test_a_step_by_pieces_is_the_step_of_the_whole_network(token):
    program = program_of(token)
    weights, statistics = initial_weights(program, 0)
    optimizer, generator = Optimizer(), np.random.default_rng(0)
    images = jnp.asarray(generator.standard_normal((4, 8, 8, 3), np.float32))
    labels = jnp.arange(4)
    after = []
    for whole in (False, True):
        states, loss = training_step(program, optimizer, whole)(
            pack(program, weights, statistics), images, labels, coefficients(optimizer, 1e-3, 1))
        after.append((unpack(program, states), float(loss)))
    (pieces, loss), (together, loss_of_whole) = after
    assert loss == pytest.approx(loss_of_whole, rel=1e-4)
    for name, array in {**weights, **statistics}.items():
        np.testing.assert_allclose(pieces[name], together[name], rtol=1e-2, atol=2e-4, err_msg=name)
        assert name.endswith("/bias") or not np.array_equal(pieces[name], array), f"{name} did not move"


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("token", SOME)
def test_the_step_lowers_for_gpus_and_tpus_where_depthwise_convolutions_are_the_library_s(token, dtype):
    program, optimizer = program_of(token), Optimizer()
    states = pack(program, *initial_weights(program, 0))
    arguments = states, jnp.zeros((4, 8, 8, 3), dtype), jnp.arange(4), coefficients(optimizer, 1e-3, 1)
    step = jax.jit(training_step(program, optimizer, whole=True)._function, donate_argnums=0)
    convolutions = {}
    for platform in ("cpu", "cuda", "tpu"):
        exported = jax.export.export(step, platforms=[platform])(*arguments)
        assert [leaf.dtype for leaf in exported.out_avals] == [leaf.dtype for leaf in jax.tree.leaves(
            (states, np.float32(0)))]  # weights and moments stay in float32
        convolutions[platform] = exported.mlir_module().count("stablehlo.convolution")
    assert convolutions["cuda"] == convolutions["tpu"] > convolutions["cpu"]  # which has another form of some
