import csv
from dataclasses import MISSING, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import Architecture, InvalidInput
from search_spaces.blocks import BLOCKS, Input
from search_spaces.blocks.mobilenet import DepthwiseSeparable, InvertedBottleneck
from search_spaces.blocks.plain import Head, PlainConvolution
from search_spaces.layers import ACTIVATIONS, GATES, PADDINGS

TEXT = "in_r28_c1+conv_k3_c16_s2_relu6+mb_k5_e6_c24_s2_se0.25_hswish+head_c128_relu6_n10"

activations = st.sampled_from(ACTIVATIONS)
channels = st.integers(1, 40)
kernels = st.sampled_from((1, 3, 5, 7))
strides = st.sampled_from((1, 2))
expansions = st.floats(1, 8)
inputs = st.builds(Input, st.integers(1, 64), channels, st.sampled_from(("same", "symmetric")),
                   st.floats(1e-9, 1), st.floats(0.01, 0.99))
blocks = st.one_of(
    st.builds(PlainConvolution, kernels, channels, strides, activations),
    st.builds(DepthwiseSeparable, kernels, channels, strides, activations),
    st.builds(InvertedBottleneck, kernels, expansions, channels, strides, st.just(0.0), activations),
    st.builds(InvertedBottleneck, kernels, expansions, channels, strides, st.floats(0.01, 1), activations,
              st.sampled_from(("expanded", "input")), st.sampled_from(GATES), activations, st.integers(1, 16)),
)
heads = st.builds(Head, channels, activations, st.integers(2, 1000), st.integers(0, 64))
architectures = st.builds(lambda first, body, head: Architecture(first, (*body, head)),
                          inputs, st.lists(blocks, max_size=5), heads)


@given(architectures)
def test_a_text_parses_to_the_architecture_that_wrote_it(architecture):
    again = Architecture.parse(architecture.text)
    assert again == architecture
    assert (again.text, again.id, str(again)) == (architecture.text, architecture.id, architecture.text)
    assert hash(again) == hash(architecture)


@given(architectures, architectures)
def test_architectures_are_equal_exactly_if_their_texts_are(one, other):
    assert (one == other) == (one.text == other.text) == (one.id == other.id)


@given(architectures)
def test_costs_are_the_sums_over_the_blocks(architecture):
    assert architecture.macs == sum(program.macs for program in architecture.block_programs)
    assert architecture.params == sum(program.params for program in architecture.block_programs)
    assert architecture.memory_bytes >= max(program.memory_bytes for program in architecture.block_programs)
    assert architecture.classes == architecture.blocks[-1].classes
    names = [name for operation in architecture.program.operations for name in operation.weights]
    assert len(set(names)) == len(names)


def test_the_id_of_a_text_never_changes():
    # printf '%s' TEXT | sha256sum; ids name files and rows of old runs
    assert Architecture.parse(TEXT).text == TEXT
    assert Architecture.parse(TEXT).id == "cd8fc578ae0b"


@pytest.mark.parametrize("text", [
    "  in_r28_c1 + conv_k3_c16_s2_relu6 +\nmb_k5_e6_c24_s2_se0.25_hswish + head_c128_relu6_n10\n",
    "in_c1_r28_same+conv_relu6_s2_c16_k3+mb_hswish_k5_e6.0_c24_s2_se0.250_seexp_hsigmoid+head_n10_d0_c128_relu6",
    "in_r028_c1_eps1e-5_mom0.9+conv_k3_c16_s2_relu6+mb_k5_e6_c24_s2_se25e-2_hswish_sediv8+head_c1.28e2_relu6_n10",
])
def test_other_ways_to_write_a_text_have_its_id(text):
    assert Architecture.parse(text).id == "cd8fc578ae0b"


def test_equal_blocks_on_equal_shapes_have_equal_programs():
    blocks = "sep_k3_c8_s1_relu+sep_k3_c8_s1_relu+sep_k3_c8_s2_relu"
    one, two, three, _ = Architecture.parse(f"in_r8_c8+{blocks}+head_c8_relu_n10").block_programs
    assert one == two != three
    assert hash(one) == hash(two)


def test_weights_are_named_after_the_place_and_kind_of_their_block():
    architecture = Architecture.parse(TEXT)
    assert architecture.block_names == ("0.conv", "1.mb", "2.head")
    assert "1.mb/depthwise/convolution/kernel" in {
        name for operation in architecture.program.operations for name in operation.weights}


HEAD = "head_c8_relu_n10"


@pytest.mark.parametrize(("text", "rule"), [
    ("", "blocks are joined by single '+' signs, but got ''"),
    ("+", "blocks are joined by single '+' signs, but got '+'"),
    (f"in_r8_c1++{HEAD}", f"blocks are joined by single '+' signs, but got 'in_r8_c1++{HEAD}'"),
    (f"in_r8_c1+{HEAD}+", f"blocks are joined by single '+' signs, but got 'in_r8_c1+{HEAD}+'"),
    (HEAD, "an architecture begins with its input, such as 'in_r28_c1', but got 'head_c8_relu_n10'"),
    (f"in+{HEAD}", "an architecture begins with its input, such as 'in_r28_c1', but got 'in'"),
    (f"scale_w0.5+in_r8_c1+{HEAD}", "an architecture begins with its input, such as 'in_r28_c1', but got 'scale_w0.5'"),
    ("in_r8_c1", "an architecture needs at least one block after its input"),
    (f"in_r8+{HEAD}", "'in_r8' lacks the option `c<number>` (channels of the image)"),
    (f"in_c1+{HEAD}", "'in_c1' lacks the option `r<number>` (height and width of the image in pixels)"),
    (f"in_r0_c1+{HEAD}", "`resolution` must be at least 1, but got r0 in 'in_r0_c1'"),
    (f"in_r8_c1+{HEAD}+in_r8_c1", "unknown kind of block 'in'; "),
    (f"in_r8_c1+conv_k3_s1_relu+{HEAD}", "'conv_k3_s1_relu' lacks the option `c<number>` (channels out)"),
    (f"in_r8_c1+mb_k4_e6_c8_s1_se0_relu+{HEAD}", "`kernel` must be odd, but got kernel=4 in 'mb_k4_e6_c8_s1_se0_relu'"),
    (f"in_r8_c1+sep_k3/5_c8_s1_relu+{HEAD}", "an architecture has one value for each option, but 'sep_k3/5_c8_s1_relu' "
                                            "lists several for `kernel`; spaces do that"),
    (f"in_r8_c1+sep_k3_c8_s1_relu_x2+{HEAD}", "unknown option 'x2' in 'sep_k3_c8_s1_relu_x2'; known: "),
    ("in_r8_c1+sep_k3_c8_s2_relu", "an architecture ends in a classifier of one pixel (a `head`), but "
                                   "'sep_k3_c8_s2_relu' leaves 4x4"),
    (f"in_r4_c1_valid+conv_k3_c8_s2_relu+conv_k3_c8_s2_relu+{HEAD}",
     "a layer's output must keep at least one pixel, but 3x3 stride 2 on 1x1 leaves 0x0 (layer convolution) in "
     "'conv_k3_c8_s2_relu'"),
])
def test_a_wrong_text_is_refused_with_the_token_and_the_rule(text, rule):
    with pytest.raises(InvalidInput) as error:
        Architecture.parse(text)
    assert str(error.value).startswith(rule)


@pytest.mark.parametrize(("blocks", "rule"), [
    ("dense_g1_n999999_relu", "`n<number>` (layers) takes numbers up to 65536, but got '999999'"),
    ("dense_g1_n1000_relu", "`count` must be at most 256, but got n1000 in 'dense_g1_n1000_relu'"),
    ("xception_c8_s1_relu_n60000", "`count` must be at most 256, but got n60000 in 'xception_c8_s1_relu_n60000'"),
    ("conv_k9999_c8_s1_relu_stacked", "`kernel` must be at most 255, but got kernel=9999"),
    ("pool_max_k256_s1", "`kernel` must lie between 1 and 255, but got k256"),
    ("conv_k1_c999999999_s1_relu", "`c<number>` (channels out) takes numbers up to 65536, but got '999999999'"),
    ("mb_k3_e8193_c8_s1_se0_relu", "a layer has at most 65536 channels, but got 65544 (layer expand/convolution)"),
    ("+".join(1000 * ["conv_k1_c8_s1_relu"]), "a network has at most 1000 blocks, but got 1001"),
    ("+".join(100 * ["conv_k255_c8_s1_relu_stacked"]), "a network has at most 20000 operations, but got more by"),
])
def test_what_no_network_comes_near_is_refused_before_it_is_built(blocks, rule):
    with pytest.raises(InvalidInput) as error:
        Architecture.parse(f"in_r8_c8+{blocks}+{HEAD}")
    assert str(error.value).startswith(rule)


@pytest.mark.parametrize("kind", [kind for kind, block in BLOCKS.items()
                                  if any(field.metadata.get("key") == "k" for field in fields(block))])
def test_no_kind_of_block_takes_a_kernel_of_any_size(kind):
    given = {"k": "k257", "c": "c16", "s": "s1"}
    tokens = [given.get(field.metadata.get("key"), f"{field.metadata.get('key')}8") for field in fields(BLOCKS[kind])
              if "key" in field.metadata and (field.default is MISSING or field.metadata["key"] == "k")]
    words = [next(iter(field.metadata["words"])) for field in fields(BLOCKS[kind])
             if "words" in field.metadata and field.default is MISSING]
    with pytest.raises(InvalidInput, match=r"`kernel` must (be at most|lie between 1 and) 255, but got k"):
        Architecture.parse(f"in_r8_c1+{'_'.join([kind, *tokens, *words])}+{HEAD}")


@given(st.data())
def test_a_damaged_text_parses_or_is_refused_in_one_line(data):
    at = data.draw(st.integers(0, len(TEXT)))
    cut = data.draw(st.integers(0, 4))
    patch = data.draw(st.text(alphabet="inmbcohead_+/0123456789.eksrx²٣ \n", max_size=4))
    try:
        architecture = Architecture.parse(TEXT[:at] + patch + TEXT[at + cut:])
    except InvalidInput as error:
        assert "\n" not in str(error)
    else:
        assert Architecture.parse(architecture.text) == architecture


@given(architectures, st.sampled_from(PADDINGS))
def test_the_padding_mode_changes_shapes_but_never_parameters(architecture, padding):
    try:
        other = Architecture(replace(architecture.input, padding=padding), architecture.blocks)
    except InvalidInput as error:
        assert padding == "valid"
        assert "at least one pixel" in str(error) or "must have one shape" in str(error)  # of a skip
    else:
        assert other.params == architecture.params


# Published networks, at 224 pixels and 1000 classes. The figures are in the metadata of torchvision 0.29.1's weights:
# `num_params`, exact, and `_ops`, multiply-adds in units of 1e9 to three places.

def _mb(*rows, activation="relu6", rest="_se0"):
    return [f"mb_k{kernel}_e{expansion}_c{out}_s{stride}{rest}_{activation}"
            for kernel, expansion, out, stride in rows]


def _repeat(kernel, expansion, out, stride, depth):
    return [(kernel, expansion, out, stride), *[(kernel, expansion, out, 1)] * (depth - 1)]


def _rows(*stages):
    return [row for stage in stages for row in _repeat(*stage)]


MOBILENET_V2 = [  # Sandler et al. 2018, table 2
    "in_r224_c3_symmetric", "conv_k3_c32_s2_relu6",
    *_mb(*_rows((3, 1, 16, 1, 1), (3, 6, 24, 2, 2), (3, 6, 32, 2, 3), (3, 6, 64, 2, 4), (3, 6, 96, 1, 3),
                (3, 6, 160, 2, 3), (3, 6, 320, 1, 1))),
    "head_c1280_relu6_n1000",
]
V3_INPUT = "in_r224_c3_symmetric_eps0.001_mom0.99"
MOBILENET_V3_LARGE = [  # Howard et al. 2019, table 1
    V3_INPUT, "conv_k3_c16_s2_hswish",
    *_mb((3, 1, 16, 1), (3, 4, 24, 2), (3, 3, 24, 1), activation="relu"),
    *_mb((5, 3, 40, 2), (5, 3, 40, 1), (5, 3, 40, 1), activation="relu", rest="_se0.25"),
    *_mb((3, 6, 80, 2), (3, 2.5, 80, 1), (3, 2.3, 80, 1), (3, 2.3, 80, 1), activation="hswish"),
    *_mb((3, 6, 112, 1), (3, 6, 112, 1), (5, 6, 160, 2), (5, 6, 160, 1), (5, 6, 160, 1), activation="hswish",
         rest="_se0.25"),
    "head_c960_hswish_d1280_n1000",
]
MOBILENET_V3_SMALL = [  # Howard et al. 2019, table 2; 88 / 24 expanded channels
    V3_INPUT, "conv_k3_c16_s2_hswish",
    *_mb((3, 1, 16, 2), activation="relu", rest="_se0.25"),
    *_mb((3, 4.5, 24, 2), (3, 3.67, 24, 1), activation="relu"),
    *_mb((5, 4, 40, 2), (5, 6, 40, 1), (5, 6, 40, 1), (5, 3, 48, 1), (5, 3, 48, 1), (5, 6, 96, 2), (5, 6, 96, 1),
         (5, 6, 96, 1), activation="hswish", rest="_se0.25"),
    "head_c576_hswish_d1024_n1000",
]
EFFICIENTNET_B0 = [  # Tan and Le 2019, table 1
    V3_INPUT, "conv_k3_c32_s2_swish",
    *_mb(*_rows((3, 1, 16, 1, 1), (3, 6, 24, 2, 2), (5, 6, 40, 2, 2), (3, 6, 80, 2, 3), (5, 6, 112, 1, 3),
                (5, 6, 192, 2, 4), (3, 6, 320, 1, 1)),
         activation="swish", rest="_se0.25_sein_sigmoid_seswish_sediv1"),
    "head_c1280_swish_n1000",
]
MNASNET_1 = [  # Tan et al. 2019, figure 7, as torchvision has it (without squeeze-and-excitation)
    "in_r224_c3_symmetric", "conv_k3_c32_s2_relu",
    *_mb(*_rows((3, 1, 16, 1, 1), (3, 3, 24, 2, 3), (5, 3, 40, 2, 3), (5, 6, 80, 2, 3), (3, 6, 96, 1, 2),
                (5, 6, 192, 2, 4), (3, 6, 320, 1, 1)), activation="relu"),
    "head_c1280_relu_n1000",
]
PUBLISHED = pytest.mark.parametrize(("name", "tokens", "params", "gmacs"), [
    ("MobileNet_V2", MOBILENET_V2, 3_504_872, 0.301),
    ("MobileNet_V3_Large", MOBILENET_V3_LARGE, 5_483_032, 0.217),
    ("MobileNet_V3_Small", MOBILENET_V3_SMALL, 2_542_856, 0.057),
    ("EfficientNet_B0", EFFICIENTNET_B0, 5_288_548, 0.386),
    ("MNASNet1_0", MNASNET_1, 4_383_312, 0.314),
])


@PUBLISHED
def test_a_published_network_costs_what_torchvision_says(name, tokens, params, gmacs):
    architecture = Architecture.parse("+".join(tokens))
    assert architecture.params == params
    assert round(architecture.macs / 1e9, 3) == gmacs


@PUBLISHED
def test_the_published_figures_are_those_of_the_torchvision_table(name, tokens, params, gmacs, published):
    with published("torchvision_table", "torchvision_0.29.1_weights_meta.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if row["model"] == name)
    assert (int(row["num_params"]), float(row["gmacs"])) == (params, gmacs)


def test_mobilenet_v2_takes_300_million_multiply_adds():
    # Sandler et al. 2018, table 4: 300 M
    assert Architecture.parse("+".join(MOBILENET_V2)).macs == 300_774_272


def test_a_notebook_shows_the_costs_of_each_block():
    architecture = Architecture.parse(TEXT)
    shown = architecture._repr_html_()
    assert f"{architecture.params:,} parameters, {architecture.macs:,} multiply-adds" in shown
    for block, program in zip(TEXT.split("+")[1:], architecture.block_programs, strict=True):
        height, width, channels = program.output_shape
        assert f"<td>{block}</td><td>{height}x{width}x{channels}</td><td>{program.params:,}</td>" in shown
