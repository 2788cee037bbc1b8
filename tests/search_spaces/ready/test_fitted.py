import numpy as np
import pytest

from search_spaces import SPACES, Architecture
from search_spaces.zoo.handmade import patterns, strides

SIZES = pytest.mark.parametrize("resolution", [8, 28, 32, 64, 96, 160, 224])


@SIZES
def test_images_keep_four_pixels_to_the_end_unless_they_have_few(resolution):
    space, generator = SPACES["fitted"].bind(resolution, 3, 10), np.random.default_rng(0)
    for _ in range(50):
        member = space.decode(space.sample(generator))
        pixels = member.block_programs[-2].output_shape[0]
        assert pixels <= 16
        assert pixels >= resolution // 2 ** max(strides(resolution), 2)
        assert pixels >= 4 or resolution < 16


@SIZES
def test_every_stage_chooses_among_its_kinds_and_some_may_be_left_out(resolution):
    space = SPACES["fitted"].bind(resolution, 3, 10)
    assert sum(0 in stage.depths for stage in space.stages) == 2
    kinds = {alternative.kind for stage in space.stages for alternative in stage.alternatives}
    assert {"conv", "sep", "mb", "sand", "basic", "fused"} <= kinds


@pytest.mark.parametrize("width", [0.5, 0.85, 1, 1.4])
def test_mobilenets_v1_made_by_hand_are_members(width):
    found = {pattern.name.partition(", ")[2]: pattern for pattern in patterns("mobilenet_v1", 28, 1, 10)}
    for shortened in ("1 layer a stage, no tail", "2 layers a stage, no tail"):
        assert found[shortened].scaled(width) in SPACES["fitted"].bind(28, 1, 10)


def test_sandglass_blocks_may_halve_images_as_those_of_a_mobilenext_do():
    text = ("in_r28_c1+conv_k3_c32_s2_relu+sand_k3_r2_c96_s2_relu6+sand_k3_r2_c96_s1_relu6+sand_k3_r6_c192_s2_relu6"
            "+sand_k3_r6_c192_s1_relu6+sand_k3_r6_c256_s1_relu6+fc_n10")
    assert Architecture.parse(text) in SPACES["fitted"].bind(28, 1, 10)


def test_widths_span_budgets_two_orders_of_magnitude_apart():
    space = SPACES["fitted"].bind(32, 3, 10)
    first = {name: values[0] for name, values in space.parameters.items()}
    narrow, wide = (space.decode(first | {"width": width}) for width in (0.25, 2))
    assert wide.macs > 30 * narrow.macs


def test_a_member_reads_as_a_person_would_write_it():
    space = SPACES["fitted"].bind(28, 1, 10)
    text = ("in_r28_c1+conv_k3_c32_s2_relu+sep_k3_c64_s1_relu+conv_k3_c64_s2_relu+conv_k3_c64_s1_relu"
            "+sep_k5_c256_s2_relu+mb_k3_e6_c128_s1_se0.25_hswish+fc_n10")
    assert Architecture.parse(text) in space
