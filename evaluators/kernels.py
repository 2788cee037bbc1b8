"""The operations that need another form on some platform.

XLA's CPU backend runs a depthwise `lax.conv_general_dilated` 10 to 50 times slower than memory allows, forward and
backward. There, and there only, it becomes shifted multiply-adds with a backward pass of its own; the choice is made
when the program is lowered, so that one traced program serves every platform.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

Pads = tuple[tuple[int, int], tuple[int, int]]


def convolution(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads, groups: int) -> jax.Array:
    """Returns the library's convolution of `[B, H, W, C]` with `[kh, kw, C / groups, F]`."""
    return lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"),
                                    feature_group_count=groups)


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

    # Gradient of the kernel: image by image, so that the taps' sums stay in cache.
    def accumulate(total: jax.Array, pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        image, gradient = pair
        taps = _taps(image, kernel.shape, stride, out)
        return total + jnp.stack([jnp.sum(tap * gradient, (0, 1)) for tap in taps]), None

    start = jnp.zeros((extents[0] * extents[1], x.shape[-1]), kernel.dtype)
    dw, _ = lax.scan(accumulate, start, (_pad(x, pads), g))
    return dx, dw.reshape(kernel.shape)
