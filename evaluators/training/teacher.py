"""A teacher: a trained network from whose predictions others learn."""

import dataclasses
from dataclasses import dataclass

from evaluators.networks.weights import Weights
from search_spaces.architecture import Architecture

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Teacher:
    """A trained network from which others learn.

    Attributes:
        name: what to call it.
        architecture: of the classes and channels of the data, of any resolution.
        arrays: weights and running statistics by name.
        sha256: that of its file.
        normalisation: mean and deviation of images in [0, 1] as it takes them, if not those of the data.
    """

    name: str
    architecture: Architecture
    arrays: Weights = dataclasses.field(repr=False)
    sha256: str
    normalisation: Normalisation | None = None
