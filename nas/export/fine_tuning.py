"""Quantisation-aware fine-tuning: a trained network learns to be right with rounded weights and values.

The forward pass rounds them as the file does (Jacob et al. 2018, "Quantization and Training of Neural Networks",
section 3); gradients pass through the rounding as if it were not there (Bengio et al. 2013, "Estimating or Propagating
Gradients Through Stochastic Neurons"), and not where values are clipped. Running statistics stay.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evaluators.networks.network import execute
from evaluators.networks.weights import Weights
from evaluators.recipe import Recipe
from evaluators.runtimes.folding import fold_batch_norm
from evaluators.runtimes.onnx_graph import INPUT
from evaluators.runtimes.quantisation import Grid, Quantised, quantised, without_norms
from evaluators.training.step import loss_function
from evaluators.training.train import Images
from search_spaces.architecture import Architecture
from search_spaces.program import Program

PEAK_RATE = 5e-4  # of Adam; it falls to 0 by a cosine
LEARNED = "/kernel", "/bias"


def fine_tuned(architecture: Architecture, arrays: Weights, calibration: np.ndarray, training: Images, recipe: Recipe,
               largest_weight: int = 127) -> Weights:
    """Returns arrays by name whose weights are multiples of their scales already, so that a file of int8 has them all.

    Args:
        architecture: the network.
        arrays: its weights and running statistics after a training.
        calibration: normalised images `[B, H, W, C]`, by which the ranges of values are chosen.
        training: the images to learn from.
        recipe: epochs, batch, augmentation, labels and seed.
        largest_weight: the largest integer of weights.
    """
    program = architecture.program
    network = quantised(program, arrays, calibration, largest_weight)
    learned = {name: jnp.asarray(array) for name, array in arrays.items() if name.endswith(LEARNED)}
    fixed = {name: array for name, array in arrays.items() if name not in learned}
    draw = training.training_batches(architecture.input.resolution, recipe, architecture.classes)
    batch = min(recipe.batch, len(training.labels))
    per_epoch = len(training.labels) // batch
    optimizer = optax.adam(optax.cosine_decay_schedule(PEAK_RATE, recipe.epochs * per_epoch))
    loss_of = loss_function(recipe.label_smoothing)

    @jax.jit
    def step(learned: Weights, state: optax.OptState, images: jax.Array, labels: jax.Array
             ) -> tuple[Weights, optax.OptState]:
        logits, backward = jax.vjp(
            lambda own: rounded_forward(network, {**fixed, **own}, program, images, largest_weight), learned)
        updates, state = optimizer.update(backward(loss_of(logits, labels)[1])[0], state)
        return optax.apply_updates(learned, updates), state

    state, generator = optimizer.init(learned), np.random.default_rng((recipe.seed, 3))
    for _ in range(recipe.epochs):
        for chosen in generator.permutation(len(training.labels))[:per_epoch * batch].reshape(per_epoch, batch):
            images, labels = draw(training.images, training.labels, chosen, generator.integers(2**32))
            learned, state = step(learned, state, images, labels)
    return _on_multiples(program, {**fixed, **{name: np.asarray(array) for name, array in learned.items()}},
                         largest_weight)


def rounded_forward(network: Quantised, arrays: Mapping[str, jax.Array], program: Program, images: jax.Array,
                    largest_weight: int) -> jax.Array:
    """Returns the output `[B, H, W, C]` of a program for normalised images, on the grids of its quantised form."""
    _, folded = without_norms(*fold_batch_norm(program, arrays))
    weights = {name: _rounded_kernel(array, largest_weight) if name.endswith("/kernel") else array
               for name, array in folded.items()}
    values = [_rounded(images, network.grids[INPUT])]
    for operation in network.program.operations:
        inputs = [values[value] for value in operation.inputs]
        alone = dataclasses.replace(operation, inputs=tuple(range(len(inputs))))
        value = execute((alone,), inputs, weights, _no_norms)
        values.append(value if operation.name in network.inner else _rounded(value, network.grids[operation.name]))
    return values[-1]


def _no_norms(*_: object) -> tuple[jax.Array, jax.Array]:
    raise NotImplementedError("a quantised network has no batch norms")


def _rounded_kernel(kernel: jax.Array, largest_weight: int) -> jax.Array:
    scale = jnp.abs(kernel).max(tuple(range(kernel.ndim - 1))) / largest_weight
    scale = jax.lax.stop_gradient(jnp.where(scale > 0, scale, 1))
    return kernel + jax.lax.stop_gradient(jnp.rint(kernel / scale) * scale - kernel)


def _rounded(values: jax.Array, grid: Grid) -> jax.Array:
    clipped = jnp.clip(values, *grid.range)
    return clipped + jax.lax.stop_gradient(jnp.rint(clipped / grid.scale) * grid.scale - clipped)


def _on_multiples(program: Program, arrays: Weights, largest_weight: int) -> Weights:
    """Returns the arrays with kernels that are multiples of their scales once norms are folded into them."""
    ones = {name: np.ones_like(array) if name.endswith("/kernel") else array for name, array in arrays.items()}
    factors, folded = (fold_batch_norm(program, of)[1] for of in (ones, arrays))
    found = dict(arrays)
    for name, factor in factors.items():
        if name.endswith("/kernel"):
            rounded = np.asarray(_rounded_kernel(folded[name], largest_weight))
            found[name] = np.where(factor == 0, arrays[name], rounded / np.where(factor == 0, 1, factor))
    return found
