import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import BLOCKS, InvalidInput, Space
from search_spaces.notation import build, parse
from search_spaces.stage import Stage, require_possible

TOKENS = ("mb_k3/5_e3_c8_s1/2_se0/0.25_relu_seexp/sein", "mb_k3_e3_c8_s1_se0.25/0_relu_sediv4/8",
          "dense_g8_n2_relu_c0/8_s1/2", "dense_g8_n2_relu_c8_s1/2_ceil/floor", "fire_q4_c4/8/16_relu_p0.05/0.5/0.9",
          "fire_q4_c8_relu_p0.5/0.9/0.99", "sep_k3/4_c8_s1/2_relu", "shuffle2_c8/9_s1/3_relu", "head_c8_relu_n2_d0/8",
          "shuffle_c8_g1/2_s1/2_relu_r0.5/0", "conv_k1/3/5_c8_s1/2_relu_g0/1")


def _is_refused(check):
    try:
        check()
    except InvalidInput:
        return True
    return False


@pytest.mark.parametrize("token", TOKENS)
def test_values_are_refused_exactly_where_a_combination_of_them_is_no_block(token):
    cls, choices = parse(token, BLOCKS)
    combinations = [{name: (value,) for name, value in zip(choices, values, strict=True)}
                    for values in itertools.product(*choices.values())]
    refused = [_is_refused(lambda one=one: build(cls, one, token)) for one in combinations]
    assert _is_refused(lambda: require_possible(cls, choices, token)) == any(refused)


def test_sixteen_million_combinations_are_not_walked():
    values = ["/".join(map(str, range(*bounds))) for bounds in ((1, 65, 2), (1, 33), (8, 264, 8))]
    ratios = "/".join(f"0.{number:02}" for number in range(1, 33))
    stage = Stage.parse("mb_k{}_e{}_c{}_s1_se{}_relu".format(*values, ratios))
    assert math.prod(len(values) for values in stage.alternatives[0].options.values()) == 32**4


def test_layers_of_twenty_kinds_are_counted_without_walking_their_subsets():
    kinds = ("gap", "fc_n2", "norm_relu", "head_c8_relu_n2", "convfc_relu_n2", "pool_max_k3_s1", "conv_k3_c8_s1_relu",
             "sep_k3_c8_s1_relu", "basic_c8_s1_relu", "basic2_c8_s1_relu", "bottleneck_c8_s1_relu", "fire_q4_c8_relu",
             "bottleneck2_c8_s1_relu", "xception_c8_s1_relu", "shuffle_c8_g1_s1_relu", "shuffle2_c8_s1_relu",
             "dense_g8_n1_relu", "sand_k3_r2_c8_s1_relu", "mb_k3_e2_c8_s1_se0_relu", "fused_k3_e2_c8_s1_se0_relu")
    stage = Stage.parse("//".join(f"{kind}_x0/1/60" for kind in kinds))
    assert stage.size(per_stage=False) == 1 + 20 + 20**60
    assert stage.size(per_stage=True) == 1 + 2 * 20


@given(st.sampled_from(TOKENS), st.data())
def test_a_damaged_stage_parses_or_is_refused_in_one_line(token, data):
    at, cut = data.draw(st.integers(0, len(token))), data.draw(st.integers(0, 4))
    patch = data.draw(st.text(alphabet="mbcohead_/0123456789.eksrwx²٣ \n", max_size=4))
    try:
        stage = Stage.parse(token[:at] + patch + token[at + cut:])
    except InvalidInput as error:
        assert "\n" not in str(error)
    else:
        assert Stage.parse(stage.text) == stage


@pytest.mark.parametrize(("text", "rule"), [
    ("in+conv_k3_c8_s1_relu_x257", "a stage has 0 to 256 layers, but got 'conv_k3_c8_s1_relu_x257'"),
    ("in+conv_k{}_c8_s1_relu".format("/".join(map(str, range(1, 67, 2)))),
     "an option has at most 32 values to choose from, but got 33 in 'k1/3/"),
    ("in" + 100 * "+conv_k3_c8_s1_relu", "a space has at most 100 stages, but got 101"),
    ("in" + 2 * "+conv_k3_c8_s1_relu_x150", "a space has at most 300 layers, but got 301"),
    ("in" + 3 * "+mb_k3/5_e3/6_c8_s1_se0_relu/swish_x90", "a space has at most 1000 values to choose from, but got"),
    ("in" + 10**5 * "+conv_k3_c8_s1_relu", "a network has at most 1000 blocks, but got 100001"),
    ("in+" + 10**5 * "conv_k3_c8_s1_relu//" + "conv_k3_c8_s1_relu", "a stage names a kind once, but got 100001 kinds"),
])
def test_what_no_network_comes_near_is_refused_before_it_is_built(text, rule):
    with pytest.raises(InvalidInput) as error:
        Space.parse(f"{text}+fc")
    assert str(error.value).startswith(rule)
