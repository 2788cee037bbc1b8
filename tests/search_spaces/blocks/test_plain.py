import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.blocks.conventions import Input
from search_spaces.blocks.plain import Classifier, Head, PlainConvolution
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


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6), st.integers(1, 6))
def test_factors_of_a_head_have_the_weights_that_the_paper_says(channels, last, hidden, classes):
    # Sainath et al. 2013: m x n weights become r (m + n), where that is fewer; a quarter of these needs no rounding
    widths = channels, last, hidden, classes = [32 * width for width in (channels, last, hidden, classes)]
    program = trace(Head(last, "relu", classes, hidden, rank=0.25).layers(channels, CONVENTIONS), (7, 7, channels))
    costs = [min(m * n, min(m, n) // 4 * (m + n)) for m, n in itertools.pairwise(widths)]
    assert program.macs == 7 * 7 * costs[0] + costs[1] + costs[2]
    assert program.params == sum(costs) + 2 * last + hidden + classes


def test_factors_of_a_classifier_have_one_bias_and_nothing_between_them():
    program = trace(Classifier(96, rank=0.5).layers(128, CONVENTIONS), (7, 7, 128))
    assert [operation.weights for operation in program.operations] == [
        {}, {"dense/kernel": (128, 48)}, {"dense_2/kernel": (48, 96), "dense_2/bias": (96,)}]


def test_a_layer_whose_factors_would_be_no_smaller_stays_whole():
    for classes, rank in ((64, 0.5), (10, 1.0), (2, 0.01)):
        program, whole = (trace(Classifier(classes, rank=share).layers(64, CONVENTIONS), (7, 7, 64))
                          for share in (rank, 1.0))
        assert program == whole


@pytest.mark.parametrize(("build", "rule"), [
    (lambda: PlainConvolution(4, 8, 1, "relu"), "`kernel` must be odd, but got kernel=4"),
    (lambda: PlainConvolution(3, 0, 1, "relu"), "`channels` must be at least 1, but got channels=0"),
    (lambda: PlainConvolution(3, 8, 3, "relu"), "`stride` must be 1 or 2, but got stride=3"),
    (lambda: Head(0, "relu", 10), "`channels` must be at least 1, but got channels=0"),
    (lambda: Classifier(10, rank=0.0), "`rank` must be above 0 and at most 1, but got rank0"),
    (lambda: Head(8, "relu", 10, rank=1.5), "`rank` must be above 0 and at most 1, but got rank1.5"),
    (lambda: Head(8, "relu", 1), "`classes` must be at least 2, but got n1"),
])
def test_framing_blocks_state_the_rule_that_a_value_breaks(build, rule):
    with pytest.raises(InvalidInput) as error:
        build()
    assert str(error.value) == rule
