"""The contract of an evaluator: an architecture, data and a fidelity go in, a score comes out.

Registered by name in `EVALUATORS`; a user's own is any function of the same form.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from evaluators.datasets import Dataset
from search_spaces.architecture import Architecture
from search_spaces.errors import unknown
from search_spaces.layers import require

AUGMENTATIONS = ("none", "shift", "shift-flip")


@dataclass(frozen=True)
class Fidelity:
    """How much effort an evaluation may take.

    Attributes:
        epochs: passes over the training images.
        seed: of whatever is random.
        batch: images in a training step.
        augmentation: one of `AUGMENTATIONS`.
    """

    epochs: int
    seed: int = 0
    batch: int = 64
    augmentation: str = "shift"

    def __post_init__(self) -> None:
        if self.augmentation not in AUGMENTATIONS:
            raise unknown("augmentation", self.augmentation, AUGMENTATIONS)
        for name in ("epochs", "batch"):
            require(getattr(self, name) >= 1, f"`{name}` must be at least 1, but got {getattr(self, name)}")


@dataclass(frozen=True)
class Score:
    """What an architecture is worth.

    Attributes:
        accuracy: the share of validation images that it classifies rightly, in [0, 1].
        total: how many images that is a share of; 0 where the score has no such count, and so no interval.
        arrays: weights and running statistics by name, where there are any worth keeping.
    """

    accuracy: float
    total: int = 0
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(0 <= self.accuracy <= 1, f"an accuracy must lie in [0, 1], but got {self.accuracy!r}")


Evaluator = Callable[[Architecture, Dataset, Fidelity], "Score | float"]


def _training(architecture: Architecture, data: Dataset, fidelity: Fidelity) -> Score:
    from evaluators.training import evaluate  # imports jax

    return evaluate(architecture, data, fidelity)


EVALUATORS: dict[str, Evaluator] = {"training": _training}
