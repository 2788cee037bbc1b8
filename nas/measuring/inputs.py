"""The images that model files are given: prepared as their networks have seen them, in batches of one size."""

from collections.abc import Callable, Iterator

import numpy as np

from evaluators.datasets import Dataset, Split
from search_spaces.architecture import Architecture

CALIBRATION_IMAGES = 200
RANDOM_IMAGES = 8  # without data; these may be as large as those that a network was published for
BATCH = 100  # images that a file is run on at a time


def calibration_images(architecture: Architecture, dataset: Dataset | None, seed: int) -> np.ndarray:
    """Returns images `[B, H, W, C]` as the network sees them, drawn from all classes, by which int8 files are made."""
    if dataset is None:
        return random_images(architecture, seed)
    drawn = dataset.train.sample(CALIBRATION_IMAGES, seed)
    return np.concatenate(list(batches_of(architecture, dataset, drawn)))[:len(drawn)]


def random_images(architecture: Architecture, seed: int) -> np.ndarray:
    """Returns normal noise `[B, H, W, C]`."""
    shape = (RANDOM_IMAGES, *architecture.program.input_shape)
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def batches_of(architecture: Architecture, dataset: Dataset, part: Split, as_bytes: bool = False
               ) -> Iterator[np.ndarray]:
    """Yields the images of a part, normalised or as bytes `[B, H, W, C]`; the last batch is filled up.

    Bytes of another resolution are rounded.
    """
    size = min(BATCH, len(part))
    for start in range(0, len(part), size):
        places = np.arange(start, start + size)
        images = part.images[np.where(places < len(part), places, start)]
        if not as_bytes:
            yield prepared(architecture, dataset, images)
        elif images.shape[1] == architecture.input.resolution:
            yield images
        else:
            yield np.rint(prepared(architecture, None, images) * 255).astype(np.uint8)


def prepared(architecture: Architecture, dataset: Dataset | None, images: np.ndarray) -> np.ndarray:
    """Returns bytes `[B, H, W, C]` as a network sees them, normalised as its data are; in [0, 1] without data."""
    from evaluators.training.augmentation import prepare

    mean, std = ((0.0,), (1.0,)) if dataset is None else (
        tuple(map(float, values)) for values in (dataset.mean, dataset.std))
    return np.asarray(prepare(images, mean, std, architecture.input.resolution))


def logits_for(run: Callable[[np.ndarray], np.ndarray], batches: Iterator[np.ndarray], images: int) -> np.ndarray:
    """Returns the logits `[N, classes]` of the first so many images of the batches."""
    return np.concatenate([run(batch) for batch in batches])[:images]
