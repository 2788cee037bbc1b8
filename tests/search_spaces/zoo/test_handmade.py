import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import InvalidInput
from search_spaces.zoo.handmade import FAMILIES, patterns, strides

V1 = ("conv_k3_c32_s2_relu+sep_k3_c64_s1_relu+sep_k3_c128_s2_relu+sep_k3_c128_s1_relu+sep_k3_c256_s2_relu"
      "+sep_k3_c256_s1_relu+fc_n10")  # Howard et al. 2017, table 1, up to the third stride
V2 = ("conv_k3_c32_s2_relu6+mb_k3_e1_c16_s1_se0_relu6+mb_k3_e6_c24_s2_se0_relu6+mb_k3_e6_c32_s2_se0_relu6"
      "+mb_k3_e6_c64_s1_se0_relu6+mb_k3_e6_c96_s1_se0_relu6+mb_k3_e6_c160_s1_se0_relu6+mb_k3_e6_c320_s1_se0_relu6"
      "+head_c1280_relu6_n10")  # Sandler et al. 2018, table 2, a layer of each stage and three strides


@pytest.mark.parametrize(("family", "shortened", "text"), [
    ("mobilenet_v1", "2 layers a stage, no tail", V1), ("mobilenet_v2", "1 layer a stage, with tail", V2)])
def test_the_pattern_is_that_of_the_paper_shortened(family, shortened, text):
    found = {pattern.name: pattern for pattern in patterns(family, 28, 1, 10)}
    assert found[f"{family}, {shortened}"].scaled(1).text == f"in_r28_c1+{text}"


@pytest.mark.parametrize("resolution", [28, 32, 64, 96, 224])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_networks_for_images_of_any_size(family, resolution):
    networks = []
    for pattern in patterns(family, resolution, 3, 7):
        try:
            networks.append(pattern.scaled(1))
        except InvalidInput:  # such as a unit of ShuffleNet whose stride changes its channels
            continue
    assert networks
    for network in networks:
        assert (network.input.resolution, network.input.channels, network.classes) == (resolution, 3, 7)
        assert math.prod(getattr(block, "stride", 1) for block in network.blocks) <= 2 ** strides(resolution)
        assert min(program.output_shape[0] for program in network.block_programs[:-1]) >= 3


@settings(max_examples=40)
@given(st.sampled_from(FAMILIES), st.floats(0.1, 2), st.floats(1, 2))
def test_a_wider_network_is_no_cheaper(family, width, factor):
    for pattern in patterns(family, 32, 3, 10):
        try:
            narrow, wide = pattern.scaled(width), pattern.scaled(width * factor)
        except InvalidInput:
            continue
        assert (narrow.macs, narrow.params) <= (wide.macs, wide.params)


def test_each_way_is_listed_once():
    for family in FAMILIES:
        blocks = [pattern.blocks for pattern in patterns(family, 28, 1, 10)]
        assert len(blocks) == len(set(blocks))


def test_an_unknown_network_is_refused():
    with pytest.raises(InvalidInput, match="mobilenet_v9"):
        list(patterns("mobilenet_v9", 28, 1, 10))
