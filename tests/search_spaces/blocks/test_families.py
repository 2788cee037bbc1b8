"""The blocks of the other families: their papers' arithmetic, and the rules that their options keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import BLOCKS, Architecture, InvalidInput
from search_spaces.layers import BatchNorm, Convolution
from search_spaces.notation import build, parse
from search_spaces.program import trace

quarters = st.integers(1, 12).map(lambda count: 4 * count)
sizes = st.integers(4, 20)


def program(token, size=14, channels=16, conventions="in_r32_c3"):
    given_input = Architecture.parse(f"{conventions}+conv_k1_c4_s1_relu+fc_n2").input
    block = build(*parse(token, BLOCKS), token)
    return trace(block.layers(channels, given_input), (size, size, channels))


def weights(traced):
    return sum(operation.params for operation in traced.operations if not isinstance(operation.layer, BatchNorm))


def kernels(traced):
    return [(operation.layer.kernel, operation.layer.filters, operation.layer.groups, operation.layer.stride)
            for operation in traced.operations if isinstance(operation.layer, Convolution)]


@given(sizes, quarters)
def test_shufflenet_v1_costs_what_its_paper_says(size, quarter):
    # Zhang et al. 2018, section 3.2: hw(2cm/g + 9m), for the unit that keeps its shape
    channels, middle = 4 * quarter, quarter
    traced = program(f"shuffle_c{channels}_g4_s1_relu", size, channels)
    assert traced.macs == size * size * (2 * channels * middle // 4 + 9 * middle)
    assert traced.output_shape == (size, size, channels)


def test_a_strided_shufflenet_v1_unit_joins_its_pooled_input():
    traced = program("shuffle_c40_g2_s2_relu", 14, 16)
    assert traced.output_shape == (7, 7, 40)
    assert kernels(traced)[-1] == ((1, 1), 24, 2, 1)


@given(sizes, quarters)
def test_shufflenet_v2_convolves_one_half_of_the_channels(size, quarter):
    # Ma et al. 2018, figure 3c: two 1x1 and a 3x3 depthwise convolution of half the channels
    channels, half = 2 * quarter, quarter
    traced = program(f"shuffle2_c{channels}_s1_relu", size, channels)
    assert traced.macs == size * size * (2 * half * half + 9 * half)


@given(st.integers(1, 40), st.integers(1, 30), st.integers(2, 60))
def test_fire_has_the_weights_of_its_paper(channels, squeeze, half):
    # Iandola et al. 2016, section 3.2: 1x1 squeezes, 1x1 and 3x3 expand side by side, all with biases
    traced = program(f"fire_q{squeeze}_c{2 * half}_relu", 8, channels)
    assert traced.params == channels * squeeze + squeeze + (squeeze * half + half) + (9 * squeeze * half + half)


def test_fire_bypasses():
    plain, simple, projected = (program(f"fire_q4_c16_relu{option}") for option in ("", "_bypass", "_complexbypass"))
    assert plain.params == simple.params == projected.params, "where the channels agree, the bypass has no weights"
    assert len(simple.operations) == len(plain.operations) + 1
    wide = [program(f"fire_q4_c32_relu{option}") for option in ("", "_bypass", "_complexbypass")]
    assert wide[1] == wide[0]
    assert wide[2].params == wide[0].params + 16 * 32 + 32


@given(quarters, st.sampled_from((1, 2)))
def test_bottlenecks_have_the_weights_of_their_paper(quarter, stride):
    # He et al. 2016, figure 5 right
    channels = 4 * quarter
    body = channels * quarter + 9 * quarter * quarter + quarter * channels
    shortcut = channels * channels if stride == 2 else 0
    for kind in ("bottleneck", "bottleneck2"):
        assert weights(program(f"{kind}_c{channels}_s{stride}_relu", 8, channels)) == body + shortcut


@pytest.mark.parametrize(("option", "strides"), [("stride1", [2, 1, 1]), ("stride3", [1, 2, 1])])
@pytest.mark.parametrize("kind", ["bottleneck", "bottleneck2"])
def test_the_stride_of_a_bottleneck_is_where_it_is_said(kind, option, strides):
    assert [stride for *_, stride in kernels(program(f"{kind}_c32_s2_relu_{option}"))][:3] == strides


def test_an_activation_ends_a_residual_block_and_begins_a_preactivated_one():
    assert program("basic_c16_s1_relu").operations[-1].layer.label == "activation"
    assert [operation.layer.label for operation in program("basic2_c16_s1_relu").operations][:2] == [
        "batch_norm", "activation"]
    assert program("basic2_c16_s1_relu").operations[-1].layer.label == "add"


@given(st.integers(1, 8), st.integers(1, 32), st.integers(1, 40))
def test_a_dense_block_adds_its_growth_with_every_layer(layers, growth, channels):
    # Huang et al. 2017, section 3: k0 + k(l - 1) channels into layer l, 4k out of each bottleneck
    traced = program(f"dense_g{growth}_n{layers}_relu", 8, channels)
    assert traced.output_shape == (8, 8, channels + layers * growth)
    assert weights(traced) == sum(
        (channels + index * growth) * 4 * growth + 9 * 4 * growth * growth for index in range(layers))


def test_a_transition_halves_the_size_and_sets_the_channels():
    assert program("dense_g8_n2_relu_c12_s2").output_shape == (7, 7, 12)
    assert program("dense_g8_n2_relu_c12").output_shape == (14, 14, 12)


def test_naive_inception_has_no_reductions():
    # Szegedy et al. 2015, figure 2a: the pool's channels join as they are
    traced = program("inception_o8_t8_f8_relu")
    assert traced.output_shape == (14, 14, 8 + 8 + 8 + 16)
    assert sorted(kernel for kernel, *_ in kernels(traced)) == [(1, 1), (3, 3), (5, 5)]


@pytest.mark.parametrize(("token", "channels", "size"), [
    # the output channels and sizes of Szegedy et al. 2016, table 1, and Szegedy et al. 2017, figures 4 to 8
    ("inceptiona_o64_f64_d96_p32_fr48_dr64_relu", 192, 35), ("inceptionb_o192_r128_m128_c192_p192_relu", 768, 17),
    ("inceptionc_o320_c384_r384_dr448_d384_p192_relu", 1280, 8),
])
def test_inception_blocks_keep_the_size(token, channels, size):
    assert program(token, size, channels).output_shape[:2] == (size, size)


@pytest.mark.parametrize(("token", "before", "after"), [
    ("reductiona_c384_r64_m96_d96_relu", (35, 288), (17, 768)),
    ("reductionb_r192_c320_fr192_f192_relu", (17, 768), (8, 1280)),
    ("reductionresb_r256_a384_b288_d320_relu", (17, 1088), (8, 2080)),
    ("stemreduction_c96_relu", (147, 64), (73, 160)), ("stemsplit_r64_c96_relu", (73, 160), (71, 192)),
])
def test_reductions_have_the_shapes_of_their_papers(token, before, after):
    size, channels = after
    assert program(token, *before).output_shape == (size, size, channels)


@pytest.mark.parametrize("token", ["inceptionresa_o8_m8_d8_relu", "inceptionresb_o8_r8_m8_c8_relu",
                                   "inceptionresc_o8_m8_c8_relu_by1_linearend"])
def test_inception_resnet_keeps_its_shape_and_scales_its_branches(token):
    traced = program(token)
    assert traced.output_shape == (14, 14, 16)
    labels = [operation.layer.label for operation in traced.operations]
    assert ("scale" in labels) == ("by1" not in token)
    assert (labels[-1] == "activation") == ("linearend" not in token)


@given(quarters, st.integers(1, 4))
def test_an_xception_unit_is_of_separable_convolutions(channels, count):
    # Chollet 2017, figure 5, middle flow
    traced = program(f"xception_c{channels}_s1_relu_n{count}", 8, channels)
    assert weights(traced) == count * (9 * channels + channels * channels)


@given(st.integers(1, 6), st.sampled_from((1, 2)))
def test_sand_glass_has_the_weights_of_its_paper(sixth, stride):
    # Zhou et al. 2020, section 3.2, figure 3b, at reduction 6 of a wide enough input
    channels, narrow = 96 * sixth, 16 * sixth
    traced = program(f"sand_k3_r6_c{channels}_s{stride}_relu6", 8, channels)
    assert weights(traced) == 2 * 9 * channels + 2 * channels * narrow
    assert (traced.operations[-1].layer.label == "add") == (stride == 1)


def test_the_identity_multiplier_adds_the_first_channels_only():
    # Zhou et al. 2020, section 3.3
    whole, half = program("sand_k3_r2_c16_s1_relu6"), program("sand_k3_r2_c16_s1_relu6_id0.5")
    assert (half.params, half.macs, half.output_shape) == (whole.params, whole.macs, whole.output_shape)
    (added,) = (operation for operation in half.operations if operation.layer.label == "add")
    assert added.output_shape[2] == 8


@given(st.integers(2, 6), quarters)
def test_a_fused_bottleneck_is_a_plain_and_a_pointwise_convolution(expansion, channels):
    # Tan and Le 2021, figure 2
    traced = program(f"fused_k3_e{expansion}_c{channels}_s1_se0_relu", 8, channels)
    assert weights(traced) == 9 * channels * channels * expansion + channels * expansion * channels


@pytest.mark.parametrize("token", [
    "conv_k5_c16_s2_relu", "basic_c16_s2_relu_k5", "bottleneck_c16_s2_relu_k5", "basic2_c16_s2_relu_k5",
    "bottleneck2_c16_s2_relu_k5", "fused_k5_e2_c16_s2_se0_relu", "dense_g8_n2_relu_c16_s2_k5",
    "fire_q8_c16_relu_k5", "inception_o8_t8_f8_relu",
])
def test_every_form_of_a_block_leaves_the_same_shape(token):
    direct, stacked, separable = (program(f"{token}_{form}") for form in ("direct", "stacked", "separable"))
    assert direct.output_shape == stacked.output_shape == separable.output_shape
    assert separable.params < direct.params
    assert not any(kernel == (5, 5) for kernel, *_ in kernels(stacked))


@pytest.mark.parametrize(("token", "rule"), [
    ("conv_k3_c10_s1_relu_g4", "divide the channels in and out, but got groups=4 for 16 -> 10 channels"),
    ("shuffle_c24_g4_s1_relu", "`groups` must be at least 1 and divide the channels"),
    ("shuffle_c16_g4_s2_relu", "must leave more channels than it reads, but got 16 -> 16"),
    ("shuffle2_c15_s1_relu", "`channels` must be even in two halves, but got c15"),
    ("shuffle2_c16_s2_relu_fullshortcut", "must leave channels to the other branch, but got 16 -> 16"),
    ("dense_g8_n2_relu_s2", "without a transition (c0) has no stride, but got s2"),
    ("dense_g0_n2_relu", "`growth` must be at least 1, but got g0"),
    ("fire_q0_c16_relu", "`squeeze` must be at least 1, but got q0"),
    ("fire_q4_c16_relu_p1", "both expanding convolutions must have channels, but got c16 and p1"),
    ("sand_k3_r6_c16_s1_relu6_id0", "`identity` must be above 0 and at most 1, but got id0"),
    ("sand_k3_r0.5_c16_s1_relu6", "`reduction` must be at least 1, but got r0.5"),
    ("bottleneck_c16_s1_relu_r0", "`ratio` must be positive, but got r0"),
    ("bottleneck_c16_s3_relu", "`stride` must be 1 or 2, but got stride=3"),
    ("xception_c16_s1_relu_n0", "`count` must be at least 1, but got n0"),
    ("inception_o0_t8_f8_relu", "`one` must be at least 1, but got one=0"),
    ("inceptionresa_o8_m8_d8_relu_by0", "`scale` must be positive, but got scale=0"),
    ("pool_average_k3_s1_ceil_allpixels", "an average that counts its padding cannot hang over the edge"),
    ("head_c16_relu_n10_hiddennobias", "a head without a hidden layer (d0) has no bias of it to leave out"),
    ("fc_n1", "`classes` must be at least 2, but got n1"),
    ("reductiona_c8_r8_m8_d8_relu_k3", "unknown option 'k3' in 'reductiona_c8_r8_m8_d8_relu_k3'"),
    ("fire_q4_c16_s2_relu", "unknown option 's2'"),
])
def test_what_a_block_cannot_do_is_told_in_one_line(token, rule):
    with pytest.raises(InvalidInput) as error:
        program(token)
    assert rule in str(error.value)
    assert "\n" not in str(error.value)
