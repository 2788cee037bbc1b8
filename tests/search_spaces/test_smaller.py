"""Smaller forms of architectures."""

import pytest

from search_spaces import Architecture
from search_spaces.ready import SPACES
from search_spaces.smaller import MULTIPLE, smaller
from search_spaces.zoo import load_network

INPUT = "in_r16_c1"


def forms(blocks: str) -> dict[str, int | None]:
    return {form.architecture.text.removeprefix(f"{INPUT}+"): form.without
            for form in smaller(Architecture.parse(f"{INPUT}+{blocks}"))}


def test_every_narrower_option_and_every_layer_that_can_be_left_out_is_listed():
    assert forms("conv_k3_c16_s2_relu+sep_k3_c32_s1_relu+sep_k3_c32_s1_relu+head_c64_relu_n3") == {
        "conv_k3_c8_s2_relu+sep_k3_c32_s1_relu+sep_k3_c32_s1_relu+head_c64_relu_n3": None,
        "conv_k3_c16_s2_relu+sep_k3_c24_s1_relu+sep_k3_c32_s1_relu+head_c64_relu_n3": None,
        "conv_k3_c16_s2_relu+sep_k3_c24_s1_relu+sep_k3_c24_s1_relu+head_c64_relu_n3": None,
        "conv_k3_c16_s2_relu+sep_k3_c32_s1_relu+sep_k3_c24_s1_relu+head_c64_relu_n3": None,
        "conv_k3_c16_s2_relu+sep_k3_c32_s1_relu+head_c64_relu_n3": 2,
        "conv_k3_c16_s2_relu+sep_k3_c32_s1_relu+sep_k3_c32_s1_relu+head_c56_relu_n3": None,
    }


def test_channels_that_are_added_shrink_together_and_ratios_by_eights():
    found = forms("mb_k3_e1_c24_s2_se0_relu+mb_k3_e2_c24_s1_se0_relu+mb_k3_e2_c24_s1_se0_relu+fc_n3")
    assert set(found) == {
        "mb_k3_e1_c16_s2_se0_relu+mb_k3_e2_c16_s1_se0_relu+mb_k3_e2_c16_s1_se0_relu+fc_n3",
        "mb_k3_e1_c24_s2_se0_relu+mb_k3_e1.667_c24_s1_se0_relu+mb_k3_e2_c24_s1_se0_relu+fc_n3",
        "mb_k3_e1_c24_s2_se0_relu+mb_k3_e2_c24_s1_se0_relu+mb_k3_e1.667_c24_s1_se0_relu+fc_n3",
        "mb_k3_e1_c24_s2_se0_relu+mb_k3_e2_c24_s1_se0_relu+fc_n3",
    }
    found = forms("conv_k3_c32_s2_relu+bottleneck_c32_s1_relu_r2+fc_n3")
    assert "conv_k3_c32_s2_relu+bottleneck_c32_s1_relu+fc_n3" in found, "4 is the default ratio, by which is divided"


def test_two_factors_shrink_and_stay_two():
    found = forms("conv_k3_c32_s2_relu+sep_k3_c64_s1_relu_rank0.5+fc_n3")
    assert set(found) == {
        "conv_k3_c24_s2_relu+sep_k3_c64_s1_relu_rank0.5+fc_n3",
        "conv_k3_c32_s2_relu+sep_k3_c56_s1_relu_rank0.5+fc_n3",
        "conv_k3_c32_s2_relu+sep_k3_c64_s1_relu_rank0.25+fc_n3",
    }, "a whole number of channels to the rank is no layer that is whole"


@pytest.mark.parametrize("blocks", [
    "conv_k3_c8_s2_relu+fc_n3",  # no fewer channels than eight
    "pool_max_k2_s2+convfc_n16_relu",  # classes stay
    "conv_k1_c8_s1_relu+fire_q8_c16_relu_p0.06+fc_n3",  # both convolutions of a fire module need channels
    "conv_k9_c8_s1_relu_g1+norm_relu+fc_n3",  # kernels stay, and what computes nothing
])
def test_nothing_is_smaller_where_only_other_things_than_channels_could_be_less(blocks):
    assert forms(blocks) == {}


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet18", "shufflenet_v2", "densenet121", "googlenet"])
def test_forms_of_published_networks_are_networks_of_less_with_the_same_operations(name):
    network = load_network(name)
    found = list(smaller(network))
    assert found
    for form in found:
        other = form.architecture
        assert Architecture.parse(other.text) == other
        assert (other.macs < network.macs, other.classes) == (True, network.classes)
        if form.without is None:
            assert [operation.name for operation in other.program.operations] == [
                operation.name for operation in network.program.operations]
        else:
            assert len(other.blocks) == len(network.blocks) - 1
    wide = [form for form in found if form.without is None]
    assert any(all(operation.output_shape[2] % MULTIPLE == 0 for operation in form.architecture.program.operations[:-1])
               for form in wide) or name in ("googlenet", "densenet121", "shufflenet_v2")


def test_networks_of_every_space_have_smaller_forms():
    for name, space in SPACES.items():
        bound = space.bind(32, 3, 10)
        network = bound.decode({key: values[-1] for key, values in bound.parameters.items()})
        assert any(smaller(network)), name
