import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.blocks.conventions import Input
from search_spaces.blocks.mobilenet import DepthwiseSeparable, InvertedBottleneck
from search_spaces.errors import InvalidInput
from search_spaces.layers import Add, BatchNorm, GlobalPool
from search_spaces.program import trace

CONVENTIONS = Input(28, 3)
widths = st.integers(1, 64)
sizes = st.integers(1, 32)
odd = st.sampled_from((1, 3, 5, 7))
strides = st.sampled_from((1, 2))


def _bottleneck(channels_in=24, **options):
    defaults = {"kernel": 3, "expansion": 6.0, "channels": 24, "stride": 1, "se_ratio": 0.0, "activation": "relu6"}
    return trace(InvertedBottleneck(**defaults | options).layers(channels_in, CONVENTIONS),
                 (14, 14, channels_in))


def _weights_without_batch_norm(program):
    return sum(operation.params for operation in program.operations if not isinstance(operation.layer, BatchNorm))


def _layer(program, name):
    return next(operation for operation in program.operations if operation.name == name)


def test_the_separable_block_of_a_hand_figure_has_39_weights():
    # MobileNets (Howard et al. 2017), section 3.1, for a 3x3 kernel and 3 -> 4 channels: 3*3*3 + 3*4
    program = trace(DepthwiseSeparable(3, 4, 1, "relu").layers(3, CONVENTIONS), (28, 28, 3))
    assert _weights_without_batch_norm(program) == 27 + 12
    assert program.params == 27 + 12 + 2 * (3 + 4)


@given(sizes, widths, widths, odd, strides)
def test_a_separable_block_costs_what_mobilenet_v1_says(size, channels, filters, kernel, stride):
    program = trace(DepthwiseSeparable(kernel, filters, stride, "relu").layers(channels, CONVENTIONS),
                    (size, size, channels))
    out = -(-size // stride)
    # Howard et al. 2017, equation 5: D_K D_K M D_F D_F + M N D_F D_F
    assert program.macs == kernel * kernel * channels * out * out + channels * filters * out * out
    assert program.output_shape == (out, out, filters)


@given(sizes, widths, widths, odd, st.integers(2, 6))
def test_a_bottleneck_costs_what_mobilenet_v2_says(size, channels, filters, kernel, expansion):
    block = InvertedBottleneck(kernel, float(expansion), filters, 1, 0.0, "relu6")
    program = trace(block.layers(channels, CONVENTIONS), (size, size, channels))
    # Sandler et al. 2018, section 3.3: h w d' t (d' + k^2 + d'')
    assert program.macs == size * size * channels * expansion * (channels + kernel * kernel + filters)


@given(sizes, st.integers(1, 4), st.integers(1, 4), odd, strides)
def test_factors_of_a_separable_block_cost_what_its_paper_and_their_rank_say(size, channels, filters, kernel, stride):
    channels, filters = 32 * channels, 32 * filters  # of which a quarter needs no rounding
    program = trace(DepthwiseSeparable(kernel, filters, stride, "relu", rank=0.25).layers(channels, CONVENTIONS),
                    (size, size, channels))
    out = -(-size // stride)
    # Howard et al. 2017, equation 5, with r (M + N) for M N (Denton et al. 2014, section 3.2.1)
    rank = min(channels, filters) // 4
    assert program.macs == out * out * (kernel * kernel * channels + rank * (channels + filters))


@given(sizes, st.integers(1, 4), st.integers(1, 4), odd, st.integers(2, 6))
def test_factors_of_a_bottleneck_cost_what_its_paper_and_their_rank_say(size, channels, filters, kernel, expansion):
    channels, filters = 32 * channels, 32 * filters
    block = InvertedBottleneck(kernel, float(expansion), filters, 1, 0.0, "relu6", rank=0.25)
    program = trace(block.layers(channels, CONVENTIONS), (size, size, channels))
    wide = channels * expansion
    ends = sum(min(narrow, wide) // 4 * (narrow + wide) for narrow in (channels, filters))
    assert program.macs == size * size * (wide * kernel * kernel + ends)


def test_expanded_channels_are_rounded_to_the_nearest():
    # MobileNetV3-Small, third row of table 2: 24 in, 88 expanded
    assert _layer(_bottleneck(24, expansion=3.6666), "expand/convolution").output_shape[2] == 88


@given(sizes, strides)
def test_a_bottleneck_at_stride_two_halves_the_size_in_its_depthwise_layer(size, stride):
    program = trace(InvertedBottleneck(3, 6.0, 24, stride, 0.0, "relu6").layers(16, CONVENTIONS), (size, size, 16))
    assert _layer(program, "expand/convolution").output_shape == (size, size, 96)
    assert _layer(program, "depthwise/convolution").output_shape == (-(-size // stride), -(-size // stride), 96)
    assert _layer(program, "depthwise/convolution").layer.is_depthwise(96)


@pytest.mark.parametrize(("channels", "stride", "skips"), [(24, 1, True), (24, 2, False), (16, 1, False)])
def test_a_bottleneck_skips_exactly_where_the_shapes_agree(channels, stride, skips):
    operations = _bottleneck(channels, stride=stride).operations
    assert isinstance(operations[-1].layer, Add) == skips
    assert not skips or 0 in operations[-1].inputs


@pytest.mark.parametrize(("padding", "kernel", "skips"), [
    ("symmetric", 3, True), ("valid", 3, False), ("valid", 1, True)])
def test_a_bottleneck_that_loses_its_border_has_no_skip(padding, kernel, skips):
    block = InvertedBottleneck(kernel, 6.0, 24, 1, 0.0, "relu6")
    program = trace(block.layers(24, Input(28, 3, padding)), (14, 14, 24))
    assert isinstance(program.operations[-1].layer, Add) == skips


def test_the_projection_is_linear():
    operations = _bottleneck(16).operations
    assert [operation.name for operation in operations][-2:] == ["project/convolution", "project/batch_norm"]


def test_an_expansion_of_one_has_no_expanding_convolution():
    names = [operation.name for operation in _bottleneck(16, expansion=1.0).operations]
    assert names[0] == "depthwise/convolution"


@pytest.mark.parametrize(("options", "squeezed"), [
    ({"expansion": 3.0}, 24),  # MobileNetV3-Large, first 5x5 block (torchvision): 24 in, 72 expanded, squeeze 24
    ({"expansion": 5.0}, 32),
    ({"expansion": 6.0, "se_base": "input", "se_divisor": 1}, 6),  # EfficientNet-B0: a quarter of the 24 in
    ({"expansion": 6.0, "se_base": "input"}, 8),
])
def test_the_squeeze_has_the_published_width(options, squeezed):
    program = _bottleneck(24, channels=40, se_ratio=0.25, se_gate="sigmoid", se_activation="swish", **options)
    expanded = round(24 * options["expansion"])
    assert _layer(program, "squeeze_excite/squeeze/convolution").output_shape == (1, 1, squeezed)
    assert _layer(program, "squeeze_excite/squeeze/activation").layer.function == "swish"
    assert _layer(program, "squeeze_excite/excite/activation").layer.function == "sigmoid"
    plain = _bottleneck(24, channels=40, expansion=options["expansion"])
    # Hu et al. 2018, equation 3, with biases: two dense layers between the expanded and the squeezed channels
    assert program.params - plain.params == 2 * expanded * squeezed + expanded + squeezed
    assert program.macs - plain.macs == 2 * expanded * squeezed


def test_squeeze_and_excitation_gates_the_depthwise_output():
    program = _bottleneck(24, channels=40, se_ratio=0.25)
    names = [operation.name for operation in program.operations]
    gate = program.operations[names.index("squeeze_excite/multiply")]
    pooled = next(operation for operation in program.operations if isinstance(operation.layer, GlobalPool))
    assert gate.inputs[0] == pooled.inputs[0] == names.index("depthwise/activation") + 1
    assert gate.output_shape == (14, 14, 144)


@pytest.mark.parametrize(("options", "rule"), [
    ({"kernel": 4}, "`kernel` must be odd, but got kernel=4"),
    ({"rank": 0.0}, "`rank` must be above 0 and at most 1, but got rank0"),
    ({"kernel": 0}, "`kernel` must be odd, but got kernel=0"),
    ({"channels": 0}, "`channels` must be at least 1, but got channels=0"),
    ({"stride": 3}, "`stride` must be 1 or 2, but got stride=3"),
    ({"expansion": 0.5}, "`expansion` must be at least 1, but got expansion=0.5"),
    ({"se_ratio": 1.5}, "`se_ratio` must lie between 0 and 1, but got se_ratio=1.5"),
    ({"se_ratio": 0.25, "se_divisor": 0}, "`se_divisor` must be at least 1, but got sediv0"),
    ({"se_base": "input"}, "options of squeeze-and-excitation need a ratio above 0"),
    ({"se_gate": "sigmoid"}, "options of squeeze-and-excitation need a ratio above 0"),
    ({"se_activation": "swish"}, "options of squeeze-and-excitation need a ratio above 0"),
    ({"se_divisor": 1}, "options of squeeze-and-excitation need a ratio above 0"),
])
def test_a_bottleneck_states_the_rule_that_a_value_breaks(options, rule):
    with pytest.raises(InvalidInput) as error:
        _bottleneck(**options)
    assert str(error.value).startswith(rule)


@pytest.mark.parametrize(("values", "rule"), [
    ((2, 8, 1, "relu"), "`kernel` must be odd"), ((3, 0, 1, "relu"), "`channels` must be at least 1"),
    ((3, 8, 0, "relu"), "`stride` must be 1 or 2"), ((3, 8, 1, "relu", "bn", 1.5), "`rank` must be above 0"),
])
def test_a_separable_block_states_the_rule_that_a_value_breaks(values, rule):
    with pytest.raises(InvalidInput, match=rule):
        DepthwiseSeparable(*values)
