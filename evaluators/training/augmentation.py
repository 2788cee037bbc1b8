"""Batches as a training takes them: chosen, augmented, prepared and blended, all in one compiled function.

All of it is a function of a batch's seed.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from evaluators.recipe import BALANCED, NONE, Recipe

GEOMETRIC = ("shift_rows", "shift_columns", "rotate", "shear_rows", "shear_columns")
OPERATIONS = (*GEOMETRIC, "brightness", "contrast", "cutout")
# At magnitude 1. Shifts and the square of cutout in sides of the image (AutoAugment takes 0.45 for shifts, cutout on
# CIFAR-10 half of the side), rotations in radians (30 degrees), all else as factors.
LARGEST = {"shift_rows": 0.3, "shift_columns": 0.3, "rotate": np.pi / 6, "shear_rows": 0.3, "shear_columns": 0.3,
           "brightness": 0.9, "contrast": 0.9, "cutout": 0.5}


@dataclass(frozen=True)
class Drawing:
    """The settings that a batch depends on besides images, labels, choice and seed.

    Attributes:
        mean, std: those of the images, scaled to [0, 1].
        resolution: pixels that images are resized to.
        augmentation, magnitude, operations, mixup, cutmix: as in `evaluators.recipe.Recipe`.
        class_weights: the weight of each class, or none where labels stay numbers of classes.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    resolution: int
    augmentation: str = NONE
    magnitude: float = Recipe.magnitude
    operations: int = Recipe.operations
    mixup: float = 0.0
    cutmix: float = 0.0
    class_weights: tuple[float, ...] = ()


def weights_of_classes(recipe: Recipe, labels: np.ndarray, classes: int) -> tuple[float, ...]:
    """Returns the weight of each class in the loss, or none where a recipe needs labels as numbers of classes only.

    Balanced ones are images / (classes * images of the class); that of a class without any is 0.
    """
    if recipe.class_weights == BALANCED:
        counts = np.bincount(labels, minlength=classes)
        return tuple(float(len(labels) / (classes * count)) if count else 0.0 for count in counts)
    return (1.0,) * classes if recipe.mixup or recipe.cutmix else ()


def augmented(images: jax.Array, labels: jax.Array, chosen: jax.Array, seed: jax.Array, drawing: Drawing
              ) -> tuple[jax.Array, jax.Array]:
    """Returns the chosen ones of uint8 images `[N, H, W, C]`, augmented and prepared, and their labels.

    Labels are numbers of classes `[B]`, or the weighted shares of each class `[B, classes]`.
    """
    x, key = images[chosen], jax.random.key(seed)
    if drawing.augmentation.startswith("shift"):
        shift_key, flip_key = jax.random.split(key)
        x = _shifted(x, shift_key)
    elif drawing.augmentation != NONE:
        policy_key, flip_key = jax.random.split(jax.random.fold_in(key, 1))
        x = changed(x, policy_key, drawing)
    if drawing.augmentation.endswith("flip"):
        x = jnp.where(jax.random.bernoulli(flip_key, shape=(len(x), 1, 1, 1)), x[:, :, ::-1], x)
    x, of = prepare(x, drawing.mean, drawing.std, drawing.resolution), labels[chosen]
    if drawing.class_weights:
        of = jax.nn.one_hot(of, len(drawing.class_weights)) * jnp.asarray(drawing.class_weights)[of][:, None]
    if drawing.mixup or drawing.cutmix:
        x, of = blended(x, of, jax.random.fold_in(key, 2), drawing.mixup, drawing.cutmix)
    return x.astype(compute_type()), of


def prepare(images: jax.Array, mean: tuple[float, ...], std: tuple[float, ...], resolution: int) -> jax.Array:
    """Returns images `[B, H, W, C]` of values up to 255, normalised and resized (bilinear, antialiased), float32."""
    x = (images.astype(jnp.float32) / 255 - jnp.asarray(mean)) / jnp.asarray(std)
    if images.shape[1] == resolution:
        return x
    return jax.image.resize(x, (x.shape[0], resolution, resolution, x.shape[3]), "linear")


def compute_type() -> jnp.dtype:
    """Returns the type that layers compute in: bfloat16 on accelerators, float32 on CPU."""
    return jnp.dtype(jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16)


def _shifted(x: jax.Array, key: jax.Array) -> jax.Array:
    count, height, width, _ = x.shape
    reach = max(1, round(0.04 * height))
    padded = jnp.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    corners = jax.random.randint(key, (count, 2), 0, 2 * reach + 1)
    return jax.vmap(lambda image, corner: jax.lax.dynamic_slice(
        image, (corner[0], corner[1], 0), (height, width, image.shape[2])))(padded, corners)


def changed(x: jax.Array, key: jax.Array, drawing: Drawing) -> jax.Array:
    """Returns images `[B, H, W, C]` after the operations of RandAugment, in [0, 255].

    Each image gets so many operations, drawn with repetition, each of a strength drawn from [-magnitude, magnitude];
    what is drawn twice adds up. Geometric ones make one map of coordinates, so that an image is interpolated once.
    """
    kind_key, strength_key, box_key = jax.random.split(key, 3)
    drawn = (len(x), drawing.operations)
    kinds = jax.random.randint(kind_key, drawn, 0, len(OPERATIONS))
    strengths = jax.random.uniform(strength_key, drawn, minval=-drawing.magnitude, maxval=drawing.magnitude)
    each = jnp.einsum("bn,bnk->kb", strengths, jax.nn.one_hot(kinds, len(OPERATIONS)))
    amounts = {name: LARGEST[name] * jnp.clip(each[index], -1, 1) for index, name in enumerate(OPERATIONS)}
    y = jax.vmap(moved)(x.astype(jnp.float32), *(amounts[name] for name in GEOMETRIC))
    y = y * (1 + amounts["brightness"])[:, None, None, None]
    grey = jnp.mean(y, (1, 2, 3), keepdims=True)
    y = jnp.clip(grey + (y - grey) * (1 + amounts["contrast"])[:, None, None, None], 0, 255)
    cut = _boxes(box_key, x.shape[:3], jnp.abs(amounts["cutout"]))
    return jnp.where(cut[..., None], 255 * jnp.asarray(drawing.mean), y)


def moved(image: jax.Array, shift_rows: jax.Array, shift_columns: jax.Array, angle: jax.Array, shear_rows: jax.Array,
          shear_columns: jax.Array) -> jax.Array:
    """Returns an image `[H, W, C]` that is rotated, sheared and shifted about its centre; 0 comes in at the edges.

    Shifts are in sides of the image, the angle in radians.
    """
    height, width, _ = image.shape
    rows, columns = jnp.meshgrid(jnp.arange(height) - (height - 1) / 2, jnp.arange(width) - (width - 1) / 2,
                                 indexing="ij")
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    rows, columns = cosine * rows + sine * columns, cosine * columns - sine * rows
    rows, columns = rows + shear_rows * columns, columns + shear_columns * rows
    places = (rows - shift_rows * height + (height - 1) / 2, columns - shift_columns * width + (width - 1) / 2)
    return jax.vmap(lambda channel: map_coordinates(channel, places, order=1), -1, -1)(image)


def blended(x: jax.Array, targets: jax.Array, key: jax.Array, mixup: float, cutmix: float
            ) -> tuple[jax.Array, jax.Array]:
    """Returns images `[B, H, W, C]` blended in pairs, and their targets `[B, classes]` by the shares of both.

    One share for the batch, as in the code of both papers; a batch takes one of both ways, with even chances.
    """
    order_key, way_key, mix_key, cut_key, box_key = jax.random.split(key, 5)
    order = jax.random.permutation(order_key, len(x))
    if cutmix:
        side = jnp.sqrt(1 - jax.random.beta(cut_key, cutmix, cutmix))
        kept = ~_boxes(box_key, (1, *x.shape[1:3]), side[None])[..., None].astype(bool)
        pasted, own = jnp.where(kept, x, x[order]), jnp.mean(kept)
    if mixup:
        share = jax.random.beta(mix_key, mixup, mixup)
        mixed = share * x + (1 - share) * x[order]
        if not cutmix:
            pasted, own = mixed, share
        else:
            mixing = jax.random.bernoulli(way_key)
            pasted, own = jnp.where(mixing, mixed, pasted), jnp.where(mixing, share, own)
    return pasted, own * targets + (1 - own) * targets[order]


def _boxes(key: jax.Array, shape: tuple[int, ...], side: jax.Array) -> jax.Array:
    """Returns masks `[B, H, W]` of rectangles about random pixels; `side` `[B]` is a share of the image's."""
    count, height, width = shape
    row_key, column_key = jax.random.split(key)
    inside = []
    for of_axis, extent in ((row_key, height), (column_key, width)):
        centre = jax.random.uniform(of_axis, (count, 1), maxval=extent)
        inside.append(jnp.abs(jnp.arange(extent) + 0.5 - centre) < side[:, None] * extent / 2)
    return inside[0][:, :, None] & inside[1][:, None, :]
