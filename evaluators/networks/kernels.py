"""The operations that need another form on some platform.

XLA's CPU backend runs a depthwise `lax.conv_general_dilated` 10 to 50 times slower than memory allows, forward and
backward. There, and there only, it becomes shifted multiply-adds with a backward pass of its own; the choice is made
when the program is lowered, so that one traced program serves every platform.
"""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Pads = tuple[tuple[int, int], tuple[int, int]]

FEW = 4  # channels of an image, which the library's convolution is slow on
FUSED_TAPS = 9  # of a kernel, up to which padding is a condition within the sum over them instead of a copy
SMALL = 64  # pixels out, up to which a product is written out for each of them
PART_BYTES = 10**6  # of the batch at a time, of which two cores find all that they need in their caches
CACHED_BYTES = 4 * 10**6  # of an array that is read again before it has left the caches


def convolution(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads, groups: int) -> jax.Array:
    """Returns the convolution of `[B, H, W, C]` with `[kh, kw, C / groups, F]`."""
    if groups == 1 and x.shape[-1] <= FEW:
        return _convolution_of_few(x, kernel, stride, pads)
    return _library(x, kernel, stride, pads, groups)


def _library(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads, groups: int) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"),
                                    feature_group_count=groups)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolution_of_few(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
    return _few_forward(x, kernel, stride, pads)[0]


def _few_forward(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> tuple[jax.Array, tuple]:
    y = lax.platform_dependent(x, kernel, cpu=functools.partial(_outer_products, stride=stride, pads=pads),
                               default=functools.partial(_library, stride=stride, pads=pads, groups=1))
    return y, (x, kernel)


def _few_backward(stride: int, pads: Pads, saved: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple:
    return jax.vjp(functools.partial(_library, stride=stride, pads=pads, groups=1), *saved)[1](g)


_convolution_of_few.defvjp(_few_forward, _few_backward)


def _outer_products(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
    """Returns the convolution as the sum over taps and channels of a pixel's value times the tap's filters."""
    filters = kernel.reshape(-1, *kernel.shape[2:])
    return functools.reduce(jnp.add, (
        tap[..., channel, None] * weights[channel]
        for tap, weights in zip(_taps(x, kernel.shape, stride, pads), filters, strict=True)
        for channel in range(x.shape[-1])))


@jax.custom_vjp
def pointwise(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns the product `[..., F]` of all pixels of `[..., C]` with a kernel `[C, F]`.

    The library's gradient of the kernel is the transpose of a product of the transposed output's gradient, for which
    XLA's CPU backend writes that transposed copy: three times as long as the products of the whole backward pass. Of a
    product with one narrow side it takes up to twice as long where that is the right one.
    """
    return x @ kernel


def _pointwise_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple]:
    return x @ kernel, (x, kernel)


def _pointwise_backward(saved: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    pixels, gradients = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
    if x.shape[-1] > g.shape[-1]:
        return g @ kernel.T, lax.optimization_barrier(gradients.T @ pixels).T
    return g @ kernel.T, pixels.T @ gradients


pointwise.defvjp(_pointwise_forward, _pointwise_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
    """Returns the convolution of every channel of `[B, H, W, C]` with its own filter of `[kh, kw, 1, C]`."""
    return _forward(x, kernel, stride, pads)[0]


def _forward(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> tuple[jax.Array, tuple]:
    y = lax.platform_dependent(
        x, kernel,
        cpu=functools.partial(_shifted, stride=stride, pads=pads),
        default=functools.partial(_library, stride=stride, pads=pads, groups=x.shape[-1]))
    return y, (x, kernel)


def _backward(stride: int, pads: Pads, saved: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple:
    def library(x: jax.Array, kernel: jax.Array, g: jax.Array) -> tuple:
        return jax.vjp(functools.partial(_library, stride=stride, pads=pads, groups=x.shape[-1]), x, kernel)[1](g)

    return lax.platform_dependent(*saved, g, default=library,
                                  cpu=functools.partial(_shifted_gradients, stride=stride, pads=pads))


depthwise.defvjp(_forward, _backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def batch_norm(x: jax.Array, scale: jax.Array, bias: jax.Array, mean: jax.Array, var: jax.Array, epsilon: float,
               activation: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """Returns `activation((x - mean) / sqrt(var + epsilon) * scale + bias)` of `[B, H, W, C]`, in the type of `x`.

    The gradient takes mean and variance for those of `x` over all axes but the channels. Only `x` is kept for it; the
    normalised input and the activation's slope are computed again, which costs less than storing them.
    """
    return activation(_normalised(x, mean, var, epsilon) * scale + bias).astype(x.dtype)


def _normalised(x: jax.Array, mean: jax.Array, var: jax.Array, epsilon: float) -> jax.Array:
    return (x.astype(mean.dtype) - mean) * lax.rsqrt(var + epsilon)


def _batch_norm_forward(x: jax.Array, scale: jax.Array, bias: jax.Array, mean: jax.Array, var: jax.Array,
                        epsilon: float, activation: Callable) -> tuple[jax.Array, tuple]:
    return batch_norm(x, scale, bias, mean, var, epsilon, activation), (x, scale, bias, mean, var)


def _batch_norm_backward(epsilon: float, activation: Callable, saved: tuple, g: jax.Array) -> tuple:
    x, scale, bias, mean, var = saved
    normalised = _normalised(x, mean, var, epsilon)
    g, = jax.vjp(activation, normalised * scale + bias)[1](g.astype(mean.dtype))
    d_bias, d_scale = _sums(g, g * normalised)
    count = x.size // x.shape[-1]
    d_x = scale * lax.rsqrt(var + epsilon) * (g - (d_bias + normalised * d_scale) / count)
    return (d_x.astype(x.dtype), d_scale.astype(scale.dtype), d_bias.astype(bias.dtype), jnp.zeros_like(mean),
            jnp.zeros_like(var))


batch_norm.defvjp(_batch_norm_forward, _batch_norm_backward)


def _sums(*arrays: jax.Array) -> Sequence[jax.Array]:
    """Returns the sums `[C]` of arrays `[B, H, W, C]` over all axes but the channels.

    XLA on CPU makes no vectors of a sum of products; what fits into cache is written out for a product with ones.
    """
    def summed(*arrays: jax.Array) -> list[jax.Array]:
        return [jnp.sum(array, (0, 1, 2)) for array in arrays]

    def multiplied(*arrays: jax.Array) -> list[jax.Array]:
        ones = jnp.ones((1, arrays[0].size // arrays[0].shape[-1]), arrays[0].dtype)
        return [(ones @ array.reshape(-1, array.shape[-1]))[0] for array in lax.optimization_barrier(arrays)]

    small = arrays[0].size * arrays[0].dtype.itemsize <= CACHED_BYTES
    return lax.platform_dependent(*arrays, cpu=multiplied if small else summed, default=summed)


def _pad(x: jax.Array, pads: Pads) -> jax.Array:
    return jnp.pad(x, ((0, 0), *pads, (0, 0)))


def _window(x: jax.Array, corner: tuple[int, int], stride: int, shape: Sequence[int]) -> jax.Array:
    """Returns a plane `[B, *shape, C]` of the pixels of `[B, H, W, C]` from a corner on, zeros where there are none."""
    edges = [(-first, first + (count - 1) * stride + 1 - size, 0)
             for first, count, size in zip(corner, shape, x.shape[1:3], strict=True)]
    return lax.pad(x, np.zeros((), x.dtype), ((0, 0, 0), *edges, (0, 0, 0)))[:, ::stride, ::stride]


def _taps(x: jax.Array, kernel: tuple[int, ...], stride: int, pads: Pads) -> list[jax.Array]:
    """Returns the pixels that each tap of a kernel meets, `[B, out height, out width, C]`, in row order of the taps."""
    (rows, columns), (top, left) = kernel[:2], (before for before, _ in pads)
    out = [(size + sum(pad) - extent) // stride + 1
           for size, pad, extent in zip(x.shape[1:3], pads, kernel, strict=False)]
    if stride > 1 or rows * columns > FUSED_TAPS:
        x, top, left = _pad(x, pads), 0, 0
    return [_window(x, (row - top, column - left), stride, out) for row in range(rows) for column in range(columns)]


def _shifted(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
    weights = kernel.reshape(-1, kernel.shape[-1])
    return functools.reduce(jnp.add, (
        tap * weight for tap, weight in zip(_taps(x, kernel.shape, stride, pads), weights, strict=True)))


def _shifted_gradients(x: jax.Array, kernel: jax.Array, g: jax.Array, stride: int, pads: Pads) -> tuple:
    return (_gradient_of_input(x.shape[1:3], kernel, g, stride, pads),
            _gradient_by_windows(x, g, kernel.shape[:2], stride, pads).reshape(kernel.shape))


def _gradient_of_input(shape: tuple[int, ...], kernel: jax.Array, g: jax.Array, stride: int, pads: Pads) -> jax.Array:
    """Returns the gradient of the input, by phases: pixels whose places are equal modulo the stride meet the same taps.

    A gradient spread by the stride would hold zeros mostly, three of four for a stride of 2.
    """
    meetings = [[[(tap, (phase + before - tap) // stride) for tap in range(extent)
                  if (phase + before - tap) % stride == 0] for phase in range(stride)]
                for extent, (before, _) in zip(kernel.shape[:2], pads, strict=True)]
    counts = [-(-size // stride) for size in shape]  # of pixels in a phase
    top, left = 0, 0
    if kernel.shape[0] * kernel.shape[1] > FUSED_TAPS:  # what the offsets reach, and no more
        top, left = (max(0, -min(offset for phase in axis for _, offset in phase)) for axis in meetings)
        g = _window(g, (-top, -left), 1, [
            before + count + max(0, *(offset for phase in axis for _, offset in phase))
            for before, count, axis in zip((top, left), counts, meetings, strict=True)])

    def phase(rows: list[tuple[int, int]], columns: list[tuple[int, int]]) -> jax.Array:
        met = [_window(g, (top + down, left + right), 1, counts) * kernel[row, column, 0]
               for row, down in rows for column, right in columns]
        return functools.reduce(jnp.add, met) if met else jnp.zeros((g.shape[0], *counts, g.shape[-1]), g.dtype)

    phases = jnp.stack([jnp.stack([phase(rows, columns) for columns in meetings[1]], 3) for rows in meetings[0]], 2)
    return phases.reshape(g.shape[0], counts[0] * stride, counts[1] * stride, -1)[:, :shape[0], :shape[1]]


def _gradient_by_windows(x: jax.Array, g: jax.Array, extents: tuple[int, ...], stride: int, pads: Pads) -> jax.Array:
    """Returns the gradient `[kh, kw, C]` of the kernel: every result's gradient times the window that it saw, summed.

    A product serves all taps of a row of the kernel, on small planes all taps. It is done in a loop over parts of the
    batch that fit into cache, and because XLA would not make one pass of the products if it saw the last sum.
    """
    least = max(2, x.size * x.dtype.itemsize // PART_BYTES)
    parts = next((parts for parts in range(least, len(x)) if len(x) % parts == 0), len(x))
    small = math.prod(g.shape[1:3]) <= SMALL

    def windows(_: None, part: tuple[jax.Array, jax.Array]) -> tuple[None, list[jax.Array]]:
        (rows, columns), padded, g = extents, _pad(part[0], pads), part[1]
        height, width = g.shape[1:3]
        if small:
            return None, [functools.reduce(jnp.add, (
                padded[:, i * stride:i * stride + rows, j * stride:j * stride + columns] * g[:, i:i + 1, j:j + 1]
                for i in range(height) for j in range(width)))]
        met = (padded[:, row:row + (height - 1) * stride + 1:stride] for row in range(rows))
        return None, [functools.reduce(jnp.add, (
            lines[:, :, j * stride:j * stride + columns] * g[:, :, j:j + 1] for j in range(width))) for lines in met]

    _, products = lax.scan(windows, None, tuple(array.reshape(parts, -1, *array.shape[1:]) for array in (x, g)))
    if small:
        return jnp.sum(products[0], (0, 1))
    return jnp.stack([jnp.sum(product, (0, 1, 2)) for product in products])
