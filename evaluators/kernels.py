"""The operations that need another form on some platform.

XLA's CPU backend runs a depthwise `lax.conv_general_dilated` 10 to 50 times slower than memory allows, forward and
backward. There, and there only, it becomes shifted multiply-adds with a backward pass of its own; the choice is made
when the program is lowered, so that one traced program serves every platform.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

Pads = tuple[tuple[int, int], tuple[int, int]]

SMALL = 64  # pixels out, up to which a product is written out for each of them
PART_BYTES = 5 * 10**6  # of the batch at a time; smaller parts would not be shared by the cores


def convolution(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads, groups: int) -> jax.Array:
    """Returns the library's convolution of `[B, H, W, C]` with `[kh, kw, C / groups, F]`."""
    return lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"),
                                    feature_group_count=groups)


@jax.custom_vjp
def pointwise(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns the product `[..., F]` of all pixels of `[..., C]` with a kernel `[C, F]`.

    The library's gradient of the kernel is the transpose of a product of the transposed output's gradient, for which
    XLA's CPU backend writes that transposed copy: three times as long as the products of the whole backward pass.
    """
    return x @ kernel


def _pointwise_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple]:
    return x @ kernel, (x, kernel)


def _pointwise_backward(saved: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    return g @ kernel.T, x.reshape(-1, x.shape[-1]).T @ g.reshape(-1, g.shape[-1])


pointwise.defvjp(_pointwise_forward, _pointwise_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
    """Returns the convolution of every channel of `[B, H, W, C]` with its own filter of `[kh, kw, 1, C]`."""
    return _forward(x, kernel, stride, pads)[0]


def _forward(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> tuple[jax.Array, tuple]:
    y = lax.platform_dependent(
        x, kernel,
        cpu=functools.partial(_shifted, stride=stride, pads=pads),
        default=functools.partial(convolution, stride=stride, pads=pads, groups=x.shape[-1]))
    return y, (x, kernel)


def _backward(stride: int, pads: Pads, saved: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple:
    def library(x: jax.Array, kernel: jax.Array, g: jax.Array) -> tuple:
        return jax.vjp(functools.partial(convolution, stride=stride, pads=pads, groups=x.shape[-1]), x, kernel)[1](g)

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
    d_bias, d_scale = jnp.sum(g, (0, 1, 2)), jnp.sum(g * normalised, (0, 1, 2))
    count = x.size // x.shape[-1]
    d_x = scale * lax.rsqrt(var + epsilon) * (g - (d_bias + normalised * d_scale) / count)
    return (d_x.astype(x.dtype), d_scale.astype(scale.dtype), d_bias.astype(bias.dtype), jnp.zeros_like(mean),
            jnp.zeros_like(var))


batch_norm.defvjp(_batch_norm_forward, _batch_norm_backward)


def _taps(padded: jax.Array, kernel: tuple[int, ...], stride: int, out: tuple[int, int]) -> list[jax.Array]:
    """Returns for each tap of the kernel, in row order, the pixels that it meets: `[..., out height, out width, C]`."""
    height, width = ((size - 1) * stride + 1 for size in out)
    return [padded[..., i:i + height:stride, j:j + width:stride, :] for i in range(kernel[0]) for j in range(kernel[1])]


def _pad(x: jax.Array, pads: Pads) -> jax.Array:
    return jnp.pad(x, ((0, 0), *pads, (0, 0)))


def _shifted(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
    padded = _pad(x, pads)
    out = tuple((size - extent) // stride + 1 for size, extent in zip(padded.shape[1:3], kernel.shape[:2], strict=True))
    weights = kernel.reshape(-1, kernel.shape[-1])
    return functools.reduce(jnp.add, (
        tap * weight for tap, weight in zip(_taps(padded, kernel.shape, stride, out), weights, strict=True)))


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
    height, width = counts = [-(-size // stride) for size in shape]  # of pixels in a phase
    offsets = [[offset for phase in axis for _, offset in phase] for axis in meetings]
    top, left = (max(0, -min(axis)) for axis in offsets)
    margins = [(low, max(0, max(axis) + count - size)) for low, axis, count, size in zip(
        (top, left), offsets, counts, g.shape[1:3], strict=True)]
    padded = _pad(g, (margins[0], margins[1]))

    def phase(rows: list[tuple[int, int]], columns: list[tuple[int, int]]) -> jax.Array:
        met = [padded[:, top + down:top + down + height, left + right:left + right + width] * kernel[row, column, 0]
               for row, down in rows for column, right in columns]
        return functools.reduce(jnp.add, met) if met else jnp.zeros((g.shape[0], height, width, g.shape[-1]), g.dtype)

    phases = jnp.stack([jnp.stack([phase(rows, columns) for columns in meetings[1]], 3) for rows in meetings[0]], 2)
    return phases.reshape(g.shape[0], height * stride, width * stride, -1)[:, :shape[0], :shape[1]]


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
