"""The importance of each choice of a space for accuracy and for latency, by what a search has seen.

PED-ANOVA (Watanabe, Bansal and Hutter 2023, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
Subspaces"), with choices that do not matter in every network as Optuna has it: how far the values of a choice among the
best tenth of the networks differ from its values among all of them. It gives the numbers of
`optuna.importance.PedAnovaImportanceEvaluator`, fast enough to be repeated with the losses shuffled among the networks:
what a choice then comes to is chance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_spaces.search_space import Assignment

FEWEST = 30  # networks: the best tenth of fewer is no more than two
BEST = 0.1  # of the networks
SHUFFLES = 200
CHANCE = 95  # per cent of the shuffled importances are below what counts as chance


@dataclass(frozen=True)
class Importance:
    """The importance of a choice.

    Attributes:
        choice: its name.
        share: of all choices' importances together.
        chance: the share up to which it may come by chance.
    """

    choice: str
    share: float
    chance: float


def importances(choices: Sequence[Assignment], losses: Sequence[float]) -> list[Importance]:
    """Returns the importance of each choice for a low loss, the largest first; none for fewer than `FEWEST` networks.

    Args:
        choices: of each network, those that matter in it.
        losses: of each network, to be minimised.
    """
    if len(losses) < FEWEST or len(set(losses)) < 2:
        return []
    names = list(dict.fromkeys(name for assignment in choices for name in assignment))
    codes = {name: _codes([assignment.get(name) for assignment in choices]) for name in names}
    codes = {name: code for name, code in codes.items() if code.max() > 0}
    values = np.asarray(losses)
    generator = np.random.default_rng(0)
    own = _importances(codes, values)
    shuffled = [_importances(codes, generator.permutation(values)) for _ in range(SHUFFLES)]
    chance = np.percentile(shuffled, CHANCE, axis=0)
    total = own.sum() or 1.0
    found = [Importance(*row) for row in zip(codes, (own / total).tolist(), (chance / total).tolist(), strict=True)]
    return sorted(found, key=lambda one: -one.share)


def _codes(values: Sequence[object]) -> NDArray[np.int64]:
    """Returns the number of each value, -1 where the choice does not matter."""
    numbers = {value: number for number, value in enumerate(dict.fromkeys(one for one in values if one is not None))}
    return np.array([-1 if value is None else numbers[value] for value in values])


def _importances(codes: dict[str, NDArray[np.int64]], losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the importance of each choice, up to a factor that all have in common."""
    last = math.ceil(BEST * len(losses)) - 1
    best = losses <= np.partition(losses, last)[last]
    return np.array([_importance(code, best, int(code.max()) + 1) for code in codes.values()])


def _importance(codes: NDArray[np.int64], best: NDArray[np.bool_], values: int) -> float:
    matters = codes >= 0
    among_all = np.bincount(codes[matters], minlength=values)
    among_best = np.bincount(codes[matters & best], minlength=values)
    if among_all.sum() < 2 or not among_best.sum():
        return 0.0
    weight = (among_best.sum() / best.sum())**2 / (among_all.sum() / len(codes))
    of_all = _density(among_all)
    return float(weight * (of_all @ (_density(among_best) / of_all - 1)**2))


def _density(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns the Parzen estimate of the density of counted values, with a uniform prior of weight 1."""
    count, kernels, values = counts.sum(), np.count_nonzero(counts) + 1, len(counts)
    kernel = (count / kernels + counts) / (values / kernels + 1)
    return (kernel + 1 / values) / (count + 1)
