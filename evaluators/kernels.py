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
import numpy as np
from jax import lax

Pads = tuple[tuple[int, int], tuple[int, int]]

SMALL = 64 * 64  # pixels in times pixels out, up to which matrix products are faster than taps


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
    out = g.shape[1:3]
    extents = kernel.shape[:2]
    # Gradient of the input: the output's gradient, spread by the stride, correlated with the flipped kernel.
    edges = [(extent - 1 - before, size + before - (length - 1) * stride - 1, stride - 1)
             for extent, (before, _), size, length in zip(extents, pads, x.shape[1:3], out, strict=True)]
    spread = lax.pad(g, jnp.zeros((), g.dtype), ((0, 0, 0), *edges, (0, 0, 0)))
    flipped = kernel[::-1, ::-1].reshape(-1, kernel.shape[-1])
    dx = functools.reduce(jnp.add, (
        tap * weight for tap, weight in zip(_taps(spread, kernel.shape, 1, x.shape[1:3]), flipped, strict=True)))
    small = math.prod(x.shape[1:3]) * math.prod(out) <= SMALL
    return dx, (_gradient_by_products if small else _gradient_by_taps)(x, g, extents, stride, pads)


def _gradient_by_taps(x: jax.Array, g: jax.Array, extents: tuple[int, int], stride: int, pads: Pads) -> jax.Array:
    """Returns the gradient of the kernel, tap by tap in a loop: the program is small however large the kernel is."""
    padded = _pad(x, pads)
    height, width = ((size - 1) * stride + 1 for size in g.shape[1:3])

    def tap(place: jax.Array) -> jax.Array:
        start = (0, place // extents[1], place % extents[1], 0)
        met = lax.dynamic_slice(padded, start, (x.shape[0], height, width, x.shape[-1]))[:, ::stride, ::stride]
        return jnp.sum(met * g, (0, 1, 2))

    return lax.map(tap, jnp.arange(math.prod(extents))).reshape(*extents, 1, -1)


def _gradient_by_products(x: jax.Array, g: jax.Array, extents: tuple[int, int], stride: int, pads: Pads) -> jax.Array:
    """Returns the gradient of the kernel by one matrix product for each channel: every pixel in with every pixel out.

    The pairs that a tap brings together are then summed. On small planes that is little more work than the taps alone,
    and runs at the speed of matrix products.
    """
    (batch, height, width, channels), out = x.shape, g.shape[1:3]
    pairs = jnp.einsum("bnc,bmc->cnm", x.reshape(batch, -1, channels), g.reshape(batch, -1, channels))
    rows, columns = (_meetings(size, length, extent, stride, before) for size, length, extent, (before, _) in zip(
        (height, width), out, extents, pads, strict=True))
    meetings = np.einsum("ipq,jrt->ijprqt", rows, columns).reshape(math.prod(extents), -1)
    return (meetings.astype(x.dtype) @ pairs.reshape(channels, -1).T).reshape(*extents, 1, channels)


def _meetings(size: int, out: int, extent: int, stride: int, before: int) -> np.ndarray:
    """Returns `[extent, size, out]`: whether a tap brings a pixel in and a pixel out together along one axis."""
    tap, pixel, result = np.ogrid[:extent, :size, :out]
    return (pixel == result * stride + tap - before).astype(np.float32)
