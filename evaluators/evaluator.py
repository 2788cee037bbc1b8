"""The contract of an evaluator: an architecture, data and a fidelity go in, a score comes out.

What is registered by name in `EVALUATORS` makes one for a context, so that it may know the space before it is asked for
the first score, and keep files of its own. A user's own is any function of an evaluator's form.

That is enough for early stopping too: the same architecture is then asked for with few epochs first, and with more if
it is worth it. An evaluator that would rather go on than begin anew leaves what it needs in the checkpoint of its
score, and finds it in the fidelity of the next call; without one there (the file may have been removed) it must give
the same score from the beginning. To be comparable, scores at equal epochs must come from the same course of training:
a learning rate that follows a schedule follows that of `fidelity.recipe.epochs`. One that has something open, such as a
process, may have a `close()`, which ends that and whatever evaluation waits for it, and may be called again. One whose
loss is no longer finite raises `Diverged`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evaluators.datasets import Dataset
from evaluators.recipe import Recipe
from search_spaces.architecture import Architecture
from search_spaces.errors import require
from search_spaces.search_space import SearchSpace


@dataclass(frozen=True)
class Fidelity:
    """The fidelity of an evaluation: the epochs of a recipe's training, and the checkpoint that they go on from.

    Attributes:
        recipe: the whole training.
        epochs: of these so many, counted from the first; by default all.
        checkpoint: what an evaluation of the same architecture for fewer epochs has left; empty to begin anew.
    """

    recipe: Recipe
    epochs: int = 0
    checkpoint: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.epochs:
            object.__setattr__(self, "epochs", self.recipe.epochs)
        require(1 <= self.epochs <= self.recipe.epochs, f"`epochs` must be at least 1 and at most those of the recipe, "
                f"but got {self.epochs} of {self.recipe.epochs}")


@dataclass(frozen=True)
class Score:
    """The worth of an architecture.

    Attributes:
        accuracy: the share of validation images that it classifies rightly, in [0, 1], or what the metric of the data
            (`Dataset.metric`) says of it.
        total: how many images that is a share of, as `Metric.measured` says; 0 where the score has no such
            count, and so no interval.
        arrays: weights and running statistics by name, where there are any worth keeping.
        checkpoint: all that a later evaluation of the same architecture needs to go on from here, as arrays by name.
        compiled: what was compiled at a time, blocks or the network; empty where nothing was.
        float32_accuracy: that of the network itself where `accuracy` is that of a quantised file of it.
        log_loss: of the validation images, as `Metric.log_loss` says; None where it is not known.
    """

    accuracy: float
    total: int = 0
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    checkpoint: Mapping[str, np.ndarray] = field(default_factory=dict)
    compiled: str = ""
    float32_accuracy: float | None = None
    log_loss: float | None = None

    def __post_init__(self) -> None:
        require(0 <= self.accuracy <= 1, f"an accuracy must lie in [0, 1], but got {self.accuracy!r}")


@dataclass(frozen=True)
class Context:
    """The context in which evaluators are made: the space, data and recipe of a search. Each worker has its own.

    Attributes:
        space: the space, bound to the data.
        dataset: the images that the evaluator will be given.
        directory: for the files of the evaluator, all workers' and those of a search that is resumed; made by whoever
            needs it.
        recipe: the whole training of a candidate.
    """

    space: SearchSpace
    dataset: Dataset
    directory: Path
    recipe: Recipe


class Diverged(RuntimeError):
    """The failure of a training whose loss became infinite or not a number."""


Evaluator = Callable[[Architecture, Dataset, Fidelity], "Score | float"]
Make = Callable[[Context], Evaluator]


def close(evaluator: Evaluator) -> None:
    """Closes an evaluator: calls its `close()` if it has one."""
    if end := getattr(evaluator, "close", None):
        end()
