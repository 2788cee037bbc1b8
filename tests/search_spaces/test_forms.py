import pytest

from search_spaces import Architecture
from search_spaces.forms import forms_of_blocks
from search_spaces.zoo import ZOO


def forms(text: str) -> list[dict[str, int]]:
    return [{form.form: form.params for form in block} for block in forms_of_blocks(Architecture.parse(text))]


def test_a_convolution_of_108_weights_is_39_in_separable_form():
    # Howard et al. 2017, section 3.1: 3*3*3*4 against 3*3*3 + 3*4
    assert forms("in_r8_c3+conv_k3_c4_s1_linear_bare+fc_n2") == [{"direct": 108, "separable": 39}, {}]


def test_a_small_network_falls_to_the_known_figure_in_separable_form():
    # three convolutions 32 -> 64 -> 128 -> 128 with biases
    _, *blocks, _ = forms("in_r28_c1+conv_k3_c32_s1_relu_bias+conv_k3_c64_s1_relu_bias+conv_k3_c128_s1_relu_bias"
                          "+conv_k3_c128_s1_relu_bias+fc_n10")
    assert sum(block["direct"] for block in blocks) == 239_936
    assert sum(block["separable"] for block in blocks) == 29_184


def test_two_convolutions_of_3x3_cost_28_percent_less_than_one_of_5x5():
    # Szegedy et al. 2016, section 3.1: (9 + 9) / 25 at equal channels
    (block, _) = forms("in_r8_c16+conv_k5_c16_s1_relu_bare+fc_n2")
    assert block["stacked"] / block["direct"] == 18 / 25


def test_the_own_form_comes_first_and_its_text_is_the_blocks():
    architecture = Architecture.parse("in_r8_c16+conv_k5_c16_s1_relu_stacked+fc_n2")
    own, *others = forms_of_blocks(architecture)[0]
    assert own.text == "conv_k5_c16_s1_relu_stacked"
    assert own.params == architecture.block_programs[0].params
    assert {form.form for form in others} == {"direct", "separable"}


def test_blocks_without_forms_have_none():
    assert not any(forms_of_blocks(ZOO["mobilenet_v2"].architecture())[1:])


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "squeezenet_1.1", "efficientnet_v2_s", "googlenet"])
def test_networks_of_plain_convolutions_shrink_in_separable_form(name):
    for block in forms_of_blocks(ZOO[name].architecture()):
        costs = {form.form: form.params for form in block}
        assert not costs or costs["separable"] < costs["direct"]
