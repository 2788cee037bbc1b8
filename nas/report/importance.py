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
    generator = np.random.default_rng(0)
    rows = np.array([losses, *(generator.permutation(losses) for _ in range(SHUFFLES))])
    own, *shuffled = _importances(codes, rows)
    chance = np.percentile(shuffled, CHANCE, axis=0)
    total = own.sum() or 1.0
    found = [Importance(*row) for row in zip(codes, (own / total).tolist(), (chance / total).tolist(), strict=True)]
    return sorted(found, key=lambda one: -one.share)


def _codes(values: Sequence[object]) -> NDArray[np.int64]:
    """Returns the number of each value, -1 where the choice does not matter."""
    numbers = {value: number for number, value in enumerate(dict.fromkeys(one for one in values if one is not None))}
    return np.array([-1 if value is None else numbers[value] for value in values])


def _importances(codes: dict[str, NDArray[np.int64]], losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the importances `[S, choices]` for losses `[S, N]`, up to a factor that all in a row have in common."""
    last = math.ceil(BEST * losses.shape[1]) - 1
    best = (losses <= np.partition(losses, last, axis=1)[:, [last]]).astype(float)
    return np.stack([_importance(code, best) for code in codes.values()], axis=1)


def _importance(codes: NDArray[np.int64], best: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the importances `[S]` of a choice; `best` `[S, N]` is 1 for the best networks."""
    chosen = (codes[:, None] == np.arange(codes.max() + 1)).astype(float)
    among_all, among_best = chosen.sum(axis=0), best @ chosen
    if among_all.sum() < 2:
        return np.zeros(len(best))
    weight = (among_best.sum(axis=1) / best.sum(axis=1))**2 / (among_all.sum() / len(codes))
    of_all = _density(among_all)
    return weight * ((_density(among_best) / of_all - 1)**2 @ of_all)


def _density(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the Parzen estimates `[..., values]` of the density of counted values, with a uniform prior."""
    count = counts.sum(axis=-1, keepdims=True)
    kernels, values = np.count_nonzero(counts, axis=-1, keepdims=True) + 1, counts.shape[-1]
    kernel = (count / kernels + counts) / (values / kernels + 1)
    return (kernel + 1 / values) / (count + 1)
