"""The networks of `mobile` in plain Flax: `nnx.Conv` with `feature_group_count`, split once, one `jax.jit` a step.

The arrays and the data are on the device, old state is donated, augmentation is inside the compiled step.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from evaluators.recipe import Recipe
from evaluators.training.augmentation import Drawing, augmented
from evaluators.training.train import Images
from search_spaces import Architecture
from search_spaces.blocks.conventions import round_channels
from search_spaces.blocks.mobilenet import InvertedBottleneck
from search_spaces.blocks.plain import Head, PlainConvolution

ACTIVATIONS = {"": lambda x: x, "relu": jax.nn.relu, "relu6": jax.nn.relu6, "hswish": jax.nn.hard_swish,
               "swish": jax.nn.swish}


class ConvBnAct(nnx.Module):
    """Convolution, batch norm and, if one is named, activation."""

    def __init__(self, channels: int, filters: int, kernel: int = 1, stride: int = 1, groups: int = 1,
                 activation: str = "", *, rngs: nnx.Rngs) -> None:
        """Makes the layers."""
        self.conv = nnx.Conv(channels, filters, (kernel, kernel), stride, padding=kernel // 2,
                             feature_group_count=groups, use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(filters, momentum=0.9, rngs=rngs)
        self.activation = activation

    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns the output for `x` `[B, H, W, C]`."""
        return ACTIVATIONS[self.activation](self.norm(self.conv(x)))


class SqueezeExcite(nnx.Module):
    """Squeeze-and-excitation with a hard sigmoid as gate."""

    def __init__(self, channels: int, ratio: float, *, rngs: nnx.Rngs) -> None:
        """Makes the layers; the squeezed channels are a share of all, rounded to a multiple of 8."""
        squeezed = round_channels(channels * ratio, 8)
        self.squeeze = nnx.Linear(channels, squeezed, rngs=rngs)
        self.excite = nnx.Linear(squeezed, channels, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns `x` `[B, H, W, C]`, gated."""
        return x * jax.nn.hard_sigmoid(self.excite(jax.nn.relu(self.squeeze(x.mean((1, 2), keepdims=True)))))


class Inverted(nnx.Module):
    """Expand, depthwise convolution, squeeze-and-excitation, project, and a skip where shapes agree."""

    def __init__(self, channels: int, block: InvertedBottleneck, *, rngs: nnx.Rngs) -> None:
        """Makes the module of a block for so many channels in."""
        expanded = round(channels * block.expansion)
        layers: list[nnx.Module] = []
        if expanded != channels:
            layers.append(ConvBnAct(channels, expanded, activation=block.activation, rngs=rngs))
        layers.append(ConvBnAct(expanded, expanded, block.kernel, block.stride, expanded, block.activation, rngs=rngs))
        if block.se_ratio:
            layers.append(SqueezeExcite(expanded, block.se_ratio, rngs=rngs))
        layers.append(ConvBnAct(expanded, block.channels, rngs=rngs))
        self.body = nnx.Sequential(*layers)
        self.skips = block.stride == 1 and channels == block.channels

    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns the block's output for `x` `[B, H, W, C]`."""
        return x + self.body(x) if self.skips else self.body(x)


def network(architecture: Architecture, rngs: nnx.Rngs) -> nnx.Sequential:
    """Returns the module of an architecture of plain convolutions, inverted bottlenecks and a head."""
    channels = architecture.input.channels
    layers: list[Callable] = []
    for block in architecture.blocks:
        match block:
            case PlainConvolution():
                layers.append(ConvBnAct(channels, block.channels, block.kernel, block.stride, 1, block.activation,
                                        rngs=rngs))
            case InvertedBottleneck():
                layers.append(Inverted(channels, block, rngs=rngs))
            case Head():
                layers += [ConvBnAct(channels, block.channels, activation=block.activation, rngs=rngs),
                           lambda x: x.mean((1, 2)), nnx.Linear(block.channels, block.classes, rngs=rngs)]
        channels = getattr(block, "channels", channels)
    return nnx.Sequential(*layers)


def training_step(architecture: Architecture, data: Images, recipe: Recipe) -> Callable[[np.ndarray], jax.Array]:
    """Returns `step(chosen [B]) -> loss`, at the largest learning rate."""
    settings = recipe.optimizer
    drawing = Drawing(data.mean, data.std, architecture.input.resolution, recipe.augmentation)
    abstract = nnx.eval_shape(lambda: network(architecture, nnx.Rngs(0)))  # made eagerly, it would take 8 to 18 s
    graph, weights, rest = nnx.split(abstract, nnx.Param, ...)
    weights, rest = jax.tree.map(_initial, weights), jax.tree.map(_initial, rest)
    transform = optax.adamw(recipe.peak_rate, settings.momentum, settings.second_momentum, settings.epsilon,
                            weight_decay=settings.weight_decay,
                            mask=lambda tree: jax.tree.map(lambda leaf: leaf.ndim > 1, tree))

    def loss_of(weights: nnx.State, rest: nnx.State, images: jax.Array, labels: jax.Array
                ) -> tuple[jax.Array, nnx.State]:
        model = nnx.merge(graph, weights, rest, copy=True)
        targets = optax.smooth_labels(jax.nn.one_hot(labels, architecture.classes), settings.label_smoothing)
        loss = optax.softmax_cross_entropy(model(images), targets).mean()
        return loss, nnx.split(model, nnx.Param, ...)[2]

    def update(state: tuple, images: jax.Array, labels: jax.Array, chosen: jax.Array, seed: jax.Array
               ) -> tuple[tuple, jax.Array]:
        weights, rest, moments = state
        batch = augmented(images, labels, chosen, seed, drawing)
        (loss, rest), gradient = jax.value_and_grad(loss_of, has_aux=True)(weights, rest, *batch)
        changes, moments = transform.update(gradient, moments, weights)
        return (optax.apply_updates(weights, changes), rest, moments), loss

    compiled = jax.jit(update, donate_argnums=0)
    state = weights, rest, transform.init(weights)
    generator = np.random.default_rng(0)

    def step(chosen: np.ndarray) -> jax.Array:
        nonlocal state
        state, loss = compiled(state, data.images, data.labels, chosen, generator.integers(2**32))
        return loss

    return step


def _initial(leaf: jax.ShapeDtypeStruct) -> jax.Array:
    """Returns small kernels, and ones for arrays of one axis."""
    if len(leaf.shape) == 1:
        return jnp.ones(leaf.shape, leaf.dtype)
    return jnp.asarray(np.random.default_rng(0).standard_normal(leaf.shape, np.float32)
                       / np.sqrt(np.prod(leaf.shape[:-1])))
