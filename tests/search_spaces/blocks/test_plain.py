import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.blocks.conventions import Input
from search_spaces.blocks.plain import Head, PlainConvolution
from search_spaces.errors import InvalidInput
from search_spaces.program import trace

CONVENTIONS = Input(28, 3, "symmetric", 0.001, 0.99)


@given(st.integers(1, 32), st.integers(1, 16), st.integers(1, 16), st.sampled_from((1, 3, 5)),
       st.sampled_from((1, 2)))
def test_a_convolution_costs_what_the_textbook_says(size, channels, filters, kernel, stride):
    block = PlainConvolution(kernel, filters, stride, "relu")
    program = trace(block.layers(channels, CONVENTIONS), (size, size, channels))
    out = (size - 1) // stride + 1
    assert program.output_shape == (out, out, filters)
    # Howard et al. 2017, equation 2: D_K D_K M N D_F D_F; batch norm has a scale and a bias for each filter
    assert program.macs == kernel * kernel * channels * filters * out * out
    assert program.params == kernel * kernel * channels * filters + 2 * filters


def test_a_convolution_keeps_the_conventions_of_the_network():
    convolution, norm, activation = trace(PlainConvolution(3, 8, 2, "hswish").layers(3, CONVENTIONS),
                                          (28, 28, 3)).operations
    assert (convolution.layer.padding, convolution.layer.bias) == ("symmetric", False)
    assert (norm.layer.epsilon, norm.layer.momentum) == (0.001, 0.99)
    assert activation.layer.function == "hswish"


def test_the_head_of_mobilenet_v2_has_the_published_parameters():
    # Sandler et al. 2018, table 2: 1x1 convolution 320 -> 1280 on 7x7, pooling, 1x1 convolution to the classes
    program = trace(Head(1280, "relu6", 1000).layers(320, CONVENTIONS), (7, 7, 320))
    assert program.output_shape == (1, 1, 1000)
    assert program.params == 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    assert program.macs == 7 * 7 * 320 * 1280 + 1280 * 1000


def test_the_head_of_mobilenet_v3_has_the_published_parameters():
    # Howard et al. 2019, table 1: 1x1 convolution 160 -> 960, pooling, 960 -> 1280 without batch norm, 1280 -> 1000
    program = trace(Head(960, "hswish", 1000, 1280).layers(160, CONVENTIONS), (7, 7, 160))
    assert program.params == 160 * 960 + 2 * 960 + 960 * 1280 + 1280 + 1280 * 1000 + 1000
    assert [operation.name for operation in program.operations] == [
        "last/convolution", "last/batch_norm", "last/activation", "global_pool",
        "hidden/dense", "hidden/activation", "classifier/dense"]


@pytest.mark.parametrize(("build", "rule"), [
    (lambda: PlainConvolution(4, 8, 1, "relu"), "`kernel` must be odd, but got kernel=4"),
    (lambda: PlainConvolution(3, 0, 1, "relu"), "`channels` must be at least 1, but got channels=0"),
    (lambda: PlainConvolution(3, 8, 3, "relu"), "`stride` must be 1 or 2, but got stride=3"),
    (lambda: Head(0, "relu", 10), "`channels` must be at least 1, but got channels=0"),
    (lambda: Head(8, "relu", 1), "`classes` must be at least 2, but got n1"),
])
def test_framing_blocks_state_the_rule_that_a_value_breaks(build, rule):
    with pytest.raises(InvalidInput) as error:
        build()
    assert str(error.value) == rule
