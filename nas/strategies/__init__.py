"""The strategies by name: each makes an Optuna sampler from a seed. A new one is one function and one line here."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from nas.strategies.optuna_samplers import nsga2, random, tpe

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

Strategy = Callable[[int], "BaseSampler"]

STRATEGIES: dict[str, Strategy] = {"random": random, "tpe": tpe, "nsga2": nsga2}

__all__ = ["STRATEGIES", "Strategy"]
