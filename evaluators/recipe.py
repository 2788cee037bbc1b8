"""The recipe of a training: all its settings and their checks stand here, and nowhere else.

The rate, the warm-up and the optimizer's constants are those of short trainings on small images: few epochs take a high
rate and a short memory of squared gradients.
"""

import math
from dataclasses import dataclass

from search_spaces.errors import require, unknown
from search_spaces.numbers import make_plain

AUGMENTATIONS = ("none", "shift", "shift-flip")
COMPILE = AUTO, BLOCKS, NETWORK = "auto", "blocks", "network"  # what is compiled at a time
MOST_EPOCHS, MOST_BATCH, MOST_SEED = 10**6, 2**16, 2**32 - 1
FINAL_EPOCHS = 20  # of the training of an export


@dataclass(frozen=True)
class Optimizer:
    """The constants of AdamW (Loshchilov and Hutter 2019, algorithm 2); weight decay is for kernels only.

    Epsilon is larger than usual, so that weights whose gradient is zero but for rounding (a bias that the next batch
    norm takes away again) stay where they are.
    """

    weight_decay: float = 0.05
    momentum: float = 0.9
    second_momentum: float = 0.99
    label_smoothing: float = 0.1
    epsilon: float = 1e-5


@dataclass(frozen=True)
class Recipe:
    """The settings of a training: AdamW, one cycle of the learning rate, augmentation by shifts and mirror images.

    Attributes:
        epochs: passes over the training images; 0 leaves a network as it is.
        batch: images in a training step.
        augmentation: one of `AUGMENTATIONS`.
        compile: one of `COMPILE`; the same numbers but for rounding, in another time. See
            docs/decisions/0002-compiled-pieces.md.
        seed: of the data split, the initial weights, and the order and augmentation of the images.
        peak_rate: the highest learning rate.
        warm_up: the share of the steps in which the rate rises to it.
        optimizer: the constants of AdamW.
    """

    epochs: int = 3
    batch: int = 64
    augmentation: str = "shift"
    compile: str = AUTO
    seed: int = 0
    peak_rate: float = 6e-3
    warm_up: float = 0.25
    optimizer: Optimizer = Optimizer()

    def __post_init__(self) -> None:
        make_plain(self)
        require(self.epochs >= 0, f"`epochs` must not be negative, but got {self.epochs}")
        require(self.batch >= 1, f"`batch` must be at least 1, but got {self.batch}")
        require(self.seed >= 0, f"`seed` must not be negative, but got {self.seed}")
        for name, most in (("epochs", MOST_EPOCHS), ("batch", MOST_BATCH), ("seed", MOST_SEED)):
            value = getattr(self, name)
            require(value <= most, f"`{name}` must be at most {most}, but got {value}")
        if self.augmentation not in AUGMENTATIONS:
            raise unknown("augmentation", self.augmentation, AUGMENTATIONS)
        if self.compile not in COMPILE:
            raise unknown("way to compile", self.compile, COMPILE)

    def require_training(self) -> None:
        """Raises `InvalidInput` for a recipe that trains nothing."""
        require(self.epochs >= 1, f"`epochs` must be at least 1, but got {self.epochs}")

    def rate(self, progress: float) -> float:
        """Returns the learning rate after a share of the steps: linear up, cosine down (Smith 2018, one cycle)."""
        if progress < self.warm_up:
            return self.peak_rate * (progress / self.warm_up)
        return self.peak_rate * 0.5 * (1 + math.cos(math.pi * (progress - self.warm_up) / (1 - self.warm_up)))
