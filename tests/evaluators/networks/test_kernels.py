import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from evaluators.networks import kernels
from search_spaces.layers import padding_of

sizes = st.integers(3, 11)


def library(x, kernel, stride, pads):
    return lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"),
                                    feature_group_count=x.shape[-1])


def with_gradients(function, g, *arguments):
    """Returns the value of a function of arrays, and its gradients, given that of the value."""
    @jax.jit
    def both(g, *arguments):
        value, pullback = jax.vjp(function, *arguments)
        return value, pullback(g)

    return both(g, *arguments)


def assert_close(actual, expected):
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10 * max(1, float(jnp.abs(other).max())))


@settings(max_examples=8, deadline=None)
@given(height=sizes, width=sizes, kernel=st.sampled_from([1, 3, 5, 7]), stride=st.sampled_from([1, 2]),
       mode=st.sampled_from(["same", "symmetric"]), channels=st.integers(2, 3), seed=st.integers(0, 99))
def test_depthwise_equals_the_library_with_both_gradients(height, width, kernel, stride, mode, channels, seed):
    with jax.enable_x64(True):
        generator = np.random.default_rng(seed)
        (rows, *high), (columns, *wide) = (padding_of(size, kernel, stride, mode) for size in (height, width))
        pads = tuple(high), tuple(wide)
        x = generator.standard_normal((2, height, width, channels))
        weights = generator.standard_normal((kernel, kernel, 1, channels))
        g = generator.standard_normal((2, rows, columns, channels))
        assert_close(*(with_gradients(lambda x, w, function=function: function(x, w, stride, pads), g, x, weights)
                       for function in (kernels.depthwise, library)))


@pytest.mark.parametrize("filters", [2, 9])
def test_pointwise_has_the_gradients_that_autodiff_finds(filters):
    with jax.enable_x64(True):
        generator = np.random.default_rng(0)
        x, kernel, g = (generator.standard_normal(shape) for shape in ((3, 4, 5, 6), (6, filters), (3, 4, 5, filters)))
        assert_close(*(with_gradients(function, g, x, kernel) for function in (kernels.pointwise, jnp.matmul)))


@pytest.mark.parametrize(("channels", "kernel", "stride"), [(1, 3, 2), (3, 3, 1), (4, 5, 2), (3, 1, 1)])
def test_a_convolution_of_few_channels_equals_the_library_with_both_gradients(channels, kernel, stride):
    def few(x, weights):
        return kernels.convolution(x, weights, stride, pads, 1)

    def plain(x, weights):
        return lax.conv_general_dilated(x, weights, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))

    with jax.enable_x64(True):
        generator = np.random.default_rng(0)
        rows, *pad = padding_of(9, kernel, stride, "same")
        pads = (tuple(pad),) * 2
        x, weights, g = (generator.standard_normal(shape) for shape in (
            (2, 9, 9, channels), (kernel, kernel, channels, 6), (2, rows, rows, 6)))
        assert_close(*(with_gradients(function, g, x, weights) for function in (few, plain)))


@pytest.mark.parametrize(("kernel", "stride", "size"),
                         [((1, 1), 1, (9, 10)), ((3, 3), 1, (9, 10)), ((5, 3), 2, (19, 18)), ((1, 7), 1, (4, 9))])
@pytest.mark.parametrize("batch", [1, 6])
def test_the_kernel_gradient_of_large_and_small_planes_equals_the_library(kernel, stride, size, batch):
    with jax.enable_x64(True):
        generator = np.random.default_rng(0)
        (rows, *high), (columns, *wide) = (
            padding_of(length, extent, stride, "same") for length, extent in zip(size, kernel, strict=True))
        x, g = generator.standard_normal((batch, *size, 3)), generator.standard_normal((batch, rows, columns, 3))
        weights = generator.standard_normal((*kernel, 1, 3))
        pads = tuple(high), tuple(wide)
        assert_close(*(with_gradients(lambda x, w, function=function: function(x, w, stride, pads), g, x, weights)
                       for function in (kernels.depthwise, library)))


@pytest.mark.parametrize("activation", [jax.nn.swish, jax.nn.relu6, lambda x: x])
def test_batch_norm_has_the_gradient_that_autodiff_finds_through_the_batch_statistics(activation):
    def plain(x, scale, bias):
        mean, var = jnp.mean(x, (0, 1, 2)), jnp.var(x, (0, 1, 2))
        return activation((x - mean) / jnp.sqrt(var + 1e-3) * scale + bias)

    def ours(x, scale, bias):
        mean, var = (lax.stop_gradient(moment) for moment in (jnp.mean(x, (0, 1, 2)), jnp.var(x, (0, 1, 2))))
        return kernels.batch_norm(x, scale, bias, mean, var, 1e-3, activation)

    with jax.enable_x64(True):
        generator = np.random.default_rng(0)
        arguments = generator.standard_normal((4, 5, 3, 2)) + 1, np.array([0.5, 2.0]), np.array([-1.0, 0.3])
        g = generator.standard_normal((4, 5, 3, 2))
        assert_close(*(with_gradients(function, g, *arguments) for function in (ours, plain)))
