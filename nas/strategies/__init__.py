"""The strategies by name: each makes an Optuna sampler from a seed and a problem. A new one is one line here."""

from nas.problem.problem import Problem
from nas.strategies.grid import GridSampler
from nas.strategies.neighbourhood import evolution, local_search
from nas.strategies.optuna_samplers import gp, nsga2, nsga3, qmc, random, tpe
from nas.strategies.strategy import Strategy
from nas.strategies.surrogate.sampler import SurrogateSampler

STRATEGIES: dict[str, Strategy] = {
    "random": random, "qmc": qmc, "grid": GridSampler, "tpe": tpe, "nsga2": nsga2, "nsga3": nsga3, "gp": gp,
    "evolution": evolution, "local-search": local_search, "surrogate": SurrogateSampler,
}
SAYS_WHO_GOES_ON = frozenset({"surrogate"})  # what these propose again after it was stopped early goes on

__all__ = ["SAYS_WHO_GOES_ON", "STRATEGIES", "Problem", "Strategy"]
