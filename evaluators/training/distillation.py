"""Distillation: a network learns from the predictions of trained ones, its teachers, on the images that it sees itself.

The loss is (1 - w) times the cross-entropy of the labels, plus w T^2 times the divergence of softened predictions,
softmax(logits / T), from the mean of the teachers' (Hinton et al. 2015, section 2).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evaluators.networks.network import forward
from evaluators.networks.weights import Weights
from evaluators.recipe import Recipe
from evaluators.training.executables import Executable
from evaluators.training.teacher import Normalisation, Teacher
from search_spaces.architecture import Architecture

Draw = Callable[..., tuple[jax.Array, "jax.Array | Taught"]]


class Taught(NamedTuple):
    """The labels of a batch with the softened predictions of teachers `[B, classes]`, and how far they count."""

    labels: jax.Array
    softened: jax.Array
    weight: jax.Array
    temperature: jax.Array


def taught(draw: Draw, teachers: Sequence[Teacher], recipe: Recipe, normalisation: Normalisation) -> Draw:
    """Returns a drawing of batches whose labels are `Taught`; the networks of all teachers are one compiled function.

    Args:
        draw: of images, normalised, and labels.
        teachers: at least one.
        recipe: how far they count.
        normalisation: mean and deviation of the drawn images.
    """
    forms = [(teacher.architecture, teacher.normalisation) for teacher in teachers]
    arrays, weight, temperature = jax.device_put((
        [teacher.arrays for teacher in teachers], np.float32(recipe.distillation_weight),
        np.float32(recipe.distillation_temperature)))

    def softened(arrays: list[Weights], images: jax.Array, temperature: jax.Array) -> jax.Array:
        return sum(_softened(architecture, own, shown(images, architecture.input.resolution, normalisation, wanted),
                             temperature)
                   for (architecture, wanted), own in zip(forms, arrays, strict=True)) / len(forms)

    predict = Executable(softened, forms, normalisation)

    def drawn(*arguments: object) -> tuple[jax.Array, Taught]:
        images, labels = draw(*arguments)
        return images, Taught(labels, predict(arrays, images, temperature), weight, temperature)

    return drawn


def shown(images: jax.Array, resolution: int, given: Normalisation, wanted: Normalisation | None) -> jax.Array:
    """Returns images `[B, H, W, C]`, normalised in a given way, as a teacher takes them, in the type that they have."""
    x = images.astype(jnp.float32)
    if wanted not in (None, given):
        x = (x * jnp.asarray(given[1]) + jnp.asarray(given[0]) - jnp.asarray(wanted[0])) / jnp.asarray(wanted[1])
    if x.shape[1] != resolution:
        x = jax.image.resize(x, (len(x), resolution, resolution, x.shape[3]), "linear")
    return x.astype(images.dtype)


def divergence(logits: jax.Array, of: Taught) -> jax.Array:
    """Returns the T^2-fold divergence `[B]` of a pupil's softened predictions from its teachers', from its logits."""
    return of.temperature**2 * optax.kl_divergence(jax.nn.log_softmax(logits / of.temperature), of.softened)


def _softened(architecture: Architecture, arrays: Weights, images: jax.Array, temperature: jax.Array) -> jax.Array:
    logits = forward(architecture.program, arrays, images)
    return jax.nn.softmax(logits.astype(jnp.promote_types(logits.dtype, jnp.float32)) / temperature)
