import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.errors import InvalidInput
from search_spaces.layers import (
    ACTIVATIONS,
    GATES,
    IDENTITY,
    PADDINGS,
    Activation,
    Add,
    BatchNorm,
    Branches,
    Concatenate,
    Convolution,
    Dense,
    GlobalPool,
    Multiply,
    Sequence,
    Shuffle,
    padding_of,
)
from search_spaces.program import Program, chain, trace

CHANNELS = 4
sizes = st.integers(1, 40)
kernels = st.integers(1, 9)
strides = st.integers(1, 3)


@given(sizes, kernels, strides, st.sampled_from(PADDINGS))
def test_output_size_is_the_number_of_windows_on_the_padded_axis(size, kernel, stride, mode):
    out, before, after = padding_of(size, kernel, stride, mode)
    padded = np.pad(np.zeros(size), (before, after))
    if kernel > padded.size:
        assert out <= 0
    else:
        assert out == len(np.lib.stride_tricks.sliding_window_view(padded, kernel)[::stride])


@given(sizes, kernels, strides)
def test_same_padding_is_that_of_xla(size, kernel, stride):
    _, before, after = padding_of(size, kernel, stride, "same")
    assert [(before, after)] == jax.lax.padtype_to_pads((size,), (kernel,), (stride,), "SAME")


@given(sizes, kernels, strides)
def test_same_padding_is_the_least_that_gives_the_ceiling_of_size_over_stride(size, kernel, stride):
    out, before, after = padding_of(size, kernel, stride, "same")

    def windows(padding):
        return sum(start % stride == 0 for start in range(size + padding - kernel + 1))

    assert out == math.ceil(size / stride) == windows(before + after)
    assert after - before in (0, 1)
    if before + after and kernel >= stride:
        assert windows(before + after - 1) < out


@given(sizes, st.integers(0, 4), strides)
def test_symmetric_padding_is_half_the_kernel_on_both_sides(size, half, stride):
    out, before, after = padding_of(size, 2 * half + 1, stride, "symmetric")
    assert (before, after) == (half, half)
    assert out == len(range(0, size, stride)), "an odd kernel is centred on every stride-th pixel"


@settings(max_examples=40)
@given(st.integers(1, 20), st.integers(1, 20), kernels, strides, st.sampled_from(PADDINGS), st.integers(1, 3),
       st.integers(1, 3))
def test_convolution_shape_is_that_of_xla(height, width, kernel, stride, mode, groups, multiple):
    shape, layer = (height, width, 2 * groups), Convolution(multiple * groups, (kernel, kernel), stride, groups, mode)
    pads = [padding_of(size, kernel, stride, mode)[1:] for size in (height, width)]
    weights = layer.weights(shape)["kernel"]
    try:
        expected = jax.eval_shape(
            lambda x, w: jax.lax.conv_general_dilated(x, w, (stride, stride), pads, feature_group_count=groups,
                                                      dimension_numbers=("NHWC", "HWIO", "NHWC")),
            jax.ShapeDtypeStruct((1, *shape), "float32"), jax.ShapeDtypeStruct(weights, "float32")).shape[1:]
    except ValueError:  # the window is larger than the padded image
        expected = (0,)
    if 0 in expected:
        with pytest.raises(InvalidInput, match="must keep at least one pixel"):
            layer.output_shape(shape)
    else:
        assert layer.output_shape(shape) == expected


@settings(max_examples=30)
@given(st.integers(1, 6), st.sampled_from((1, 3)), st.integers(1, 2), st.integers(1, 3), st.integers(1, 3),
       st.integers(1, 3))
def test_macs_are_the_products_that_a_naive_convolution_adds_up(size, kernel, stride, groups, own_in, own_out):
    operation = trace(Convolution(own_out * groups, (kernel, kernel), stride, groups), (size, size, own_in * groups)
                      ).operations[0]
    products = 0
    for _ in np.ndindex(*operation.output_shape):  # each output pixel reads one window of its group's channels
        for _ in np.ndindex(kernel, kernel, own_in):
            products += 1
    assert operation.macs == products


def test_weights_and_macs_of_hand_figures():
    # MobileNets (Howard et al. 2017), section 3.1: 3 * 3 * 3 * 4 weights for a standard convolution of 3 -> 4
    # channels, 3 * 3 * 3 + 3 * 4 for its separable form; on a 5x5 output each weight is used 25 times.
    standard = trace(Convolution(4, (3, 3)), (5, 5, 3))
    separable = trace(Sequence((Convolution(3, (3, 3), groups=3), Convolution(4))), (5, 5, 3))
    assert (standard.params, standard.macs) == (108, 2700)
    assert [operation.params for operation in separable.operations] == [27, 12]
    assert (separable.params, separable.macs) == (39, 975)


def test_a_bias_counts_as_a_parameter_and_not_as_a_product():
    with_bias, without = (trace(Convolution(4, (3, 3), bias=bias), (5, 5, 3)) for bias in (True, False))
    assert with_bias.params == without.params + 4
    assert with_bias.macs == without.macs


def test_batch_norm_has_two_parameters_a_channel_and_its_statistics_are_none():
    operation = trace(BatchNorm(), (5, 5, 7)).operations[0]
    assert operation.params == 14
    assert operation.macs == 0
    assert operation.statistics == {"batch_norm/mean": (7,), "batch_norm/var": (7,)}


def test_dense_reads_all_pixels_of_its_input():
    program = trace(Dense(10), (7, 7, 64))
    assert (program.params, program.macs) == (7 * 7 * 64 * 10 + 10, 7 * 7 * 64 * 10)
    assert program.output_shape == (1, 1, 10)


def test_only_a_convolution_with_one_channel_a_filter_is_depthwise():
    assert Convolution(8, groups=8).is_depthwise(8)
    assert not Convolution(16, groups=8).is_depthwise(8)
    assert not Convolution(8, groups=4).is_depthwise(8)
    assert not Convolution(1).is_depthwise(1), "with one channel a full convolution is the same thing"


def test_pooling_keeps_one_pixel_and_concatenation_adds_up_channels():
    pooled = Sequence((GlobalPool(),))
    assert trace(pooled, (7, 5, 3)).output_shape == (1, 1, 3)
    both = Branches(Concatenate(), (IDENTITY, Convolution(5), IDENTITY))
    assert trace(both, (7, 5, 3)).output_shape == (7, 5, 11)


@pytest.mark.parametrize(("layer", "rule"), [
    (Convolution(4, groups=2), "divide the channels in and out, but got groups=2 for 3 -> 4 channels"),
    (Convolution(4, groups=3), "divide the channels in and out, but got groups=3 for 3 -> 4 channels"),
    (Convolution(4, groups=0), "`groups` must be at least 1 and divide the channels in and out, but got groups=0"),
    (Convolution(0), "`filters` must be at least 1, but got filters=0"),
    (Dense(0), "`features` must be at least 1, but got features=0"),
    (Shuffle(0), "`groups` must be at least 1 and divide the channels, but got groups=0 for 3 channels"),
    (Convolution(4, (7, 7), padding="valid"), "keep at least one pixel, but 7x7 stride 1 on 6x5 leaves 0x-1"),
    (Branches(Add(), (IDENTITY, Convolution(4))), "added branches must have one shape, but got 6x5x3 and 6x5x4"),
    (Branches(Multiply(), (IDENTITY, Convolution(4))), "a gate must fit what it gates, but got 6x5x3 and 6x5x4"),
    (Branches(Concatenate(), (IDENTITY, GlobalPool())), "must have one height and width, but got 6x5x3 and 1x1x3"),
])
def test_layers_that_do_not_fit_say_which_rule_and_which_layer(layer, rule):
    with pytest.raises(InvalidInput) as error:
        trace(Sequence((Sequence((layer,), "inner"),), "outer"), (6, 5, 3))
    assert rule in str(error.value)
    assert "(layer outer/inner/" in str(error.value)


def test_unknown_activations_are_refused():
    with pytest.raises(InvalidInput, match=r"`activation` must be one of relu, .*, but got 'gelu'"):
        Activation("gelu")


def test_names_are_unique_and_come_from_the_expression():
    block = Sequence((Sequence((Convolution(4), BatchNorm()), "expand"), Sequence((Convolution(4),), "expand"),
                      Branches(Multiply(), (IDENTITY, GlobalPool()), "gate")))
    names = [operation.name for operation in trace(block, (4, 4, 4)).operations]
    assert names == ["expand/convolution", "expand/batch_norm", "expand/convolution_2", "gate/global_pool",
                     "gate/multiply"]


elementwise = st.one_of(st.just(BatchNorm()), st.sampled_from(ACTIVATIONS + GATES).map(Activation))
same_shape = st.one_of(
    elementwise, st.sampled_from((1, 3)).map(lambda kernel: Convolution(CHANNELS, (kernel, kernel))))


def _compositions(layers):
    return st.one_of(
        st.lists(layers, max_size=4).map(lambda parts: Sequence(tuple(parts))),
        st.lists(layers, min_size=2, max_size=3).map(lambda parts: Branches(Add(), tuple(parts))),
        st.lists(layers, min_size=2, max_size=3).map(
            lambda parts: Sequence((Branches(Concatenate(), tuple(parts)), Convolution(CHANNELS)))),
        layers.map(lambda gate: Branches(Multiply(), (IDENTITY, Sequence((GlobalPool(), gate))))),
        elementwise.map(lambda wide: Sequence((Convolution(9), wide, Convolution(CHANNELS)))),
    )


expressions = st.recursive(same_shape, _compositions, max_leaves=12).map(
    lambda layer: Sequence((Convolution(CHANNELS), layer)))
programs = expressions.map(lambda layer: trace(layer, (6, 6, 3)))


def _peak_by_definition(program: Program) -> int:
    """Counts for every operation what must exist while it runs: what is read by it or by any later one."""
    def elements(value):
        return math.prod(program.input_shape if value == 0 else program.operations[value - 1].output_shape)

    peak = elements(0)
    for index, operation in enumerate(program.operations):
        needed_later = {program.output}.union(*(later.inputs for later in program.operations[index + 1:]))
        held = [value for value in range(index + 1) if value in needed_later or value in operation.inputs]
        total = sum(map(elements, held)) + elements(index + 1)
        if operation.layer.label in ("batch_norm", "activation") and operation.inputs[0] not in needed_later:
            total -= elements(index + 1)
        peak = max(peak, total)
    return 4 * peak


@settings(max_examples=200)
@given(programs)
def test_memory_is_the_peak_of_a_liveness_simulation(program):
    assert program.memory_bytes == _peak_by_definition(program)


@given(programs)
def test_programs_are_in_execution_order_with_unique_names(program):
    for index, operation in enumerate(program.operations):
        assert all(value <= index for value in operation.inputs)
    names = [operation.name for operation in program.operations]
    assert len(set(names)) == len(names)


@given(programs)
def test_the_readers_of_a_value_are_the_operations_that_name_it(program):
    for value, readers in enumerate(program.readers):
        assert list(readers) == [index for index, operation in enumerate(program.operations)
                                 if value in operation.inputs]


@given(programs)
def test_the_arrays_of_a_program_are_those_of_its_operations(program):
    expected = []
    for operation in program.operations:
        expected += [*operation.weights.items(), *operation.statistics.items()]
    assert list(program.arrays.items()) == expected


@given(programs)
def test_the_last_use_of_a_value_is_its_last_reader_and_the_output_outlives_all(program):
    for value, last in enumerate(program.last_use):
        readers = [index for index, operation in enumerate(program.operations) if value in operation.inputs]
        assert last == (len(program.operations) if value == program.output else readers[-1])


def test_memory_of_a_residual_block_by_hand():
    # 2x2 pixels: the input has 4 floats, the wide layer 12 (what follows it works in place), the result 4.
    body = Sequence((Convolution(3), BatchNorm(), Activation("relu"), Convolution(1)))
    assert trace(body, (2, 2, 1)).memory_bytes == (12 + 4) * 4
    assert trace(Branches(Add(), (IDENTITY, body)), (2, 2, 1)).memory_bytes == (4 + 12 + 4) * 4


@given(expressions, expressions)
def test_a_chain_of_programs_is_the_program_of_the_sequence(first, second):
    head = trace(first, (6, 6, 3))
    chained = chain([("0.a", head), ("1.b", trace(second, head.output_shape))])
    whole = trace(Sequence((Sequence((first,), "0.a"), Sequence((second,), "1.b"))), (6, 6, 3))
    for ours, expected in zip(chained.operations, whole.operations, strict=True):
        assert (ours.layer, ours.inputs, ours.input_shapes, ours.output_shape) == (
            expected.layer, expected.inputs, expected.input_shapes, expected.output_shape)
        assert ours.name == expected.name
    assert chained.input_shape == (6, 6, 3)
