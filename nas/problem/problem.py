"""The problem of a search: all knowledge of a strategy besides the trials."""

from dataclasses import dataclass, field

from nas.problem.budgets import Budgets
from search_spaces.search_space import SearchSpace


@dataclass(frozen=True)
class Problem:
    """A space, the objectives of its members, and the limits of their costs.

    Attributes:
        space: the choices, bound to the data.
        objectives: `accuracy`, which is maximised, and what is minimised beside it; the values of a trial.
        budgets: what limits costs; a trial has a constraint of the same name for each.
        seed: of the study, for what all its trials share; each trial has a seed of its own.
        epochs: of a whole training.
    """

    space: SearchSpace
    objectives: tuple[str, ...] = ("accuracy", "latency")
    budgets: Budgets = field(default_factory=Budgets)
    seed: int = 0
    epochs: int = 1
