"""The step of AdamW on flat arrays, as a compiled piece of a network takes it."""

import jax
import jax.numpy as jnp
import numpy as np

from evaluators.recipe import Optimizer


def coefficients(optimizer: Optimizer, rate: float, count: int) -> np.ndarray:
    """Returns the learning rate and both bias corrections `[3]` of step `count`, from 1, as float32."""
    return np.array([rate, 1 / (1 - optimizer.momentum**count), 1 / (1 - optimizer.second_momentum**count)], np.float32)


def update(optimizer: Optimizer, weights: jax.Array, moments: jax.Array, gradient: jax.Array, coefficients: jax.Array,
           decayed: int) -> tuple[jax.Array, jax.Array]:
    """Returns weights `[n]` and moments `[2, n]` after a step.

    Args:
        optimizer: its constants.
        weights: flat, `[n]`.
        moments: of the gradient and of its square, `[2, n]`.
        gradient: of the loss, `[n]`.
        coefficients: those of the step, `[3]`.
        decayed: how many of the weights, from the first, are subject to weight decay.
    """
    rate, correction, second_correction = coefficients.astype(weights.dtype)
    first = optimizer.momentum * moments[0] + (1 - optimizer.momentum) * gradient
    second = optimizer.second_momentum * moments[1] + (1 - optimizer.second_momentum) * gradient * gradient
    direction = first * correction / (jnp.sqrt(second * second_correction) + optimizer.epsilon)
    decay = jnp.where(jnp.arange(weights.size) < decayed, optimizer.weight_decay, 0).astype(weights.dtype)
    return weights - rate * (direction + decay * weights), jnp.stack([first, second])
