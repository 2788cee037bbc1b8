import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.runtimes.folding import fold_batch_norm
from evaluators.runtimes.quantisation import LARGEST_BIAS, Grid, mean_change, quantised, without_norms
from search_spaces.layers import Activation, BatchNorm, Branches, Concatenate, Convolution, Dense, Pool, Sequence, Slice
from search_spaces.program import trace

BOUNDS = st.floats(-1e3, 1e3, width=32)


def _images(program, batch=8, seed=0):
    return np.random.default_rng(seed).standard_normal((batch, *program.input_shape), np.float32)


@settings(max_examples=40, deadline=None)
@given(BOUNDS, BOUNDS)
def test_a_grid_has_0_and_all_between_its_bounds_to_half_a_step(one, other):
    low, high = sorted((one, other))
    grid = Grid.spanning(low, high)
    assert grid.rounded(np.zeros(1)) == 0
    values = np.linspace(low, high, 50)
    assert np.abs(grid.rounded(values) - values).max() <= grid.scale * 1.0001
    assert -128 <= grid.zero <= 127
    assert grid.integers(values).dtype == np.int8


@pytest.mark.parametrize("layer", [
    Convolution(6, (3, 3), padding="valid"), Convolution(6, (3, 3), groups=2, padding="valid"),
    Convolution(4, (1, 3), groups=4, padding="valid"), Convolution(8, groups=4), Dense(5)])
def test_the_mean_that_changed_weights_move_is_known_from_the_means_of_what_they_read(
        layer, random_arrays, numpy_forward):
    program = trace(layer, (5, 5, 4))
    arrays, generator = random_arrays(program, 0), np.random.default_rng(1)
    name = f"{program.operations[0].name}/kernel"
    change = generator.normal(0, 0.1, arrays[name].shape)
    means = generator.standard_normal(4)
    images = np.broadcast_to(means, (1, 5, 5, 4))  # every pixel is the mean
    moved = numpy_forward(program, arrays | {name: arrays[name] + change}, images) - numpy_forward(
        program, arrays, images)
    np.testing.assert_allclose(mean_change(program.operations[0], change, means), moved.mean((0, 1, 2)), atol=1e-6)


def test_norms_that_nothing_swallows_become_convolutions_of_one_pixel(random_arrays, numpy_forward):
    program = trace(Sequence((BatchNorm(epsilon=0.01), Activation("relu"), Convolution(3), BatchNorm())), (4, 4, 5))
    arrays, images = random_arrays(program, 0), _images(program)
    plain, folded = without_norms(*fold_batch_norm(program, arrays))
    assert not any(isinstance(operation.layer, BatchNorm) for operation in plain.operations)
    np.testing.assert_allclose(numpy_forward(plain, folded, images), numpy_forward(program, arrays, images), atol=1e-5)


def test_weights_have_a_scale_for_each_filter_of_which_they_are_multiples(random_arrays):
    program = trace(Sequence((Convolution(4, (3, 3)), Activation("relu"), Dense(3))), (5, 5, 2))
    arrays = random_arrays(program, 0)
    network = quantised(program, arrays, _images(program), largest_weight=64)
    for name, scales in network.scales.items():
        integers = network.kernel(name)
        assert np.all(np.abs(integers).max(tuple(range(integers.ndim - 1))) == 64)
        np.testing.assert_allclose(integers * scales, network.arrays[name], rtol=1e-6)
        assert np.all(np.abs(network.arrays[name] - arrays[name]) <= scales * 0.5001)


def test_no_bias_leaves_32_bits_however_small_the_weights(random_arrays):
    program = trace(Convolution(3, bias=True), (4, 4, 2))
    arrays = random_arrays(program, 0)
    arrays["convolution/kernel"][..., 0], arrays["convolution/kernel"][..., 1] = 0, 1e-12
    arrays["convolution/bias"][:] = 1
    network = quantised(program, arrays, _images(program))
    steps = network.arrays["convolution/bias"] / network.bias_scales("convolution", network.grids["image"])
    assert np.all(np.abs(steps) <= 1.01 * LARGEST_BIAS)


def test_what_moves_values_keeps_their_grid_and_an_activation_gives_its_own_to_what_it_changes(random_arrays):
    layer = Sequence((Convolution(4), Activation("relu6"), Pool("max", 2, 2), Slice(0, 2),
                      Branches(Concatenate(), (Activation("sigmoid"), Activation("hswish")))))
    program = trace(layer, (6, 6, 3))
    network = quantised(program, random_arrays(program, 0), _images(program))
    grids = network.grids
    assert network.inner == {"convolution"}
    assert grids["convolution"] == grids["activation"] == grids["pool"] == grids["slice"]
    assert 0 <= grids["activation"].range[0] < grids["activation"].range[1] <= 6.001
    assert grids["activation_2"] == Grid(1 / 256, -128)


def test_ranges_are_clipped_where_a_few_values_would_make_all_others_coarse(random_arrays):
    program = trace(Convolution(4, bias=True), (8, 8, 3))
    images = _images(program, 1000)
    assert quantised(program, random_arrays(program, 0), images).grids["image"].range[1] < 0.95 * images.max()
