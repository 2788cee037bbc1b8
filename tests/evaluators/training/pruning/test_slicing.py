"""A network whose removed channels are zero computes the same without them."""

import jax
import numpy as np
import pytest

from evaluators.networks.network import forward
from evaluators.training.pruning.coupling import Coupling, selection
from evaluators.training.pruning.slicing import sliced, without_block
from nas.testing import random_arrays
from search_spaces import Architecture
from search_spaces.ready import SPACES
from search_spaces.smaller import smaller

FAMILIES = sorted(set(SPACES) - {"mobile-cell", "mobile-224"})
NOTCHES = 6
MEETING = {  # short networks by what channels meet in
    "additions": "conv_k3_c24_s2_relu+basic_c24_s1_relu+bottleneck2_c48_s1_relu_r2+bottleneck2_c48_s1_relu_r2+fc_n3",
    "gates": "conv_k3_c16_s2_hswish+mb_k3_e3_c24_s1_se0.25_hswish+mb_k3_e3_c24_s1_se0.5_hswish+head_c32_relu_d48_n3",
    "concatenations": "conv_k3_c24_s1_relu+fire_q16_c48_relu_bypass+dense_g16_n2_relu_c32_s2"
                      "+inception_o16_t16_f16_relu_tr16_fr16_p16+convfc_n3_relu",
    "shuffles": "conv_k3_c24_s2_relu+shuffle2_c48_s2_relu+shuffle2_c48_s1_relu+shuffle2_c48_s1_relu"
                "+shuffle_c96_g2_s2_relu+shuffle_c96_g2_s1_relu+fc_n3",
    "slices": "conv_k3_c48_s2_relu+sand_k3_r2_c48_s1_relu6_id0.5+sand_k3_r2_c48_s1_relu6+fc_n3",
    "groups": "conv_k3_c32_s2_relu+conv_k3_c64_s1_relu_g4+sep_k3_c32_s1_relu+conv_k3_c32_s1_linear_g2_bias+fc_n3",
}


def member(space: str, seed: int) -> Architecture:
    """Returns the smallest of some random members of a space."""
    bound = SPACES[space].bind(28, 1, 3)
    generator = np.random.default_rng(seed)
    return min((bound.decode(bound.sample(generator)) for _ in range(30)), key=lambda network: network.params)


def narrowed(network: Architecture, generator: np.random.Generator, notches: int = NOTCHES
             ) -> tuple[Architecture, tuple[np.ndarray, ...]]:
    """Returns a form that is narrower in several random places, and the channels that it keeps of each value."""
    kept = tuple(np.arange(len(groups)) for groups in Coupling.of(network.program).groups)
    for _ in range(notches):
        large = Coupling.of(network.program)
        scores = generator.random(len(large.kinds))
        forms = [(form.architecture, chosen) for form in smaller(network) if form.without is None and (
            chosen := selection(large, Coupling.of(form.architecture.program), scores)) is not None]
        if forms:
            network, chosen = forms[generator.integers(len(forms))]
            kept = tuple(before[after] for before, after in zip(kept, chosen, strict=True))
    return network, kept


def without_channels(network: Architecture, arrays: dict[str, np.ndarray], kept: tuple[np.ndarray, ...]
                     ) -> dict[str, np.ndarray]:
    """Returns the arrays with zeros for all channels that are not kept."""
    found = {}
    for operation, chosen in zip(network.program.operations, kept[1:], strict=True):
        mask = np.isin(np.arange(operation.output_shape[2]), chosen)
        found |= {name: arrays[name] * mask for name in operation.arrays}
    return found


def logits(network: Architecture, arrays: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    return np.asarray(jax.jit(lambda arrays, images: forward(network.program, arrays, images))(arrays, images))


def require_equal_without_zeros(network: Architecture) -> None:
    generator = np.random.default_rng(2)
    small, kept = narrowed(network, generator)
    assert small.params < network.params
    arrays = without_channels(network, random_arrays(network, seed=3), kept)
    cut = sliced(network.program, arrays, small.program, kept)
    assert {name: array.shape for name, array in cut.items()} == small.program.arrays
    images = generator.standard_normal((2, network.input.resolution, network.input.resolution, network.input.channels))
    with jax.enable_x64(True):
        expected = logits(network, arrays, images)
        np.testing.assert_allclose(logits(small, cut, images), expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(expected) > 0.01, "the logits must be of something"


@pytest.mark.parametrize("blocks", MEETING.values(), ids=MEETING)
def test_channels_that_are_zero_can_be_cut_away(blocks):
    require_equal_without_zeros(Architecture.parse(f"in_r8_c2+{blocks}"))


@pytest.mark.slow
@pytest.mark.parametrize("space", FAMILIES)
def test_channels_that_are_zero_can_be_cut_away_from_members_of_the_families(space):
    require_equal_without_zeros(member(space, seed=1))


def test_a_residual_block_that_adds_zero_can_be_left_out():
    network = Architecture.parse(f"in_r8_c2+{MEETING['gates']}")
    (form,) = (form for form in smaller(network) if form.without is not None)
    arrays = random_arrays(network, seed=3)
    last = f"{network.block_names[form.without]}/project/batch_norm"
    arrays |= {name: np.zeros_like(arrays[name]) for name in (f"{last}/scale", f"{last}/bias")}
    rest = without_block(network, arrays, form.without)
    assert {name: array.shape for name, array in rest.items()} == form.architecture.program.arrays
    images = np.random.default_rng(0).standard_normal((2, 8, 8, 2), np.float32)
    np.testing.assert_allclose(logits(form.architecture, rest, images), logits(network, arrays, images), atol=1e-5)
