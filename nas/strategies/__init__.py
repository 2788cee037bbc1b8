"""The strategies by name: each is made once for a search, from its problem. A new one is one line here."""

from nas.problem.problem import Problem
from nas.strategies.grid import Grid
from nas.strategies.neighbourhood import evolution, local_search
from nas.strategies.optuna_samplers import gp, nsga2, nsga3, qmc, random, tpe
from nas.strategies.reseeding import reseeded
from nas.strategies.strategy import Maker, Strategy, sampler_of
from nas.strategies.surrogate.strategy import Surrogate

STRATEGIES: dict[str, Maker] = {
    "random": reseeded(random), "qmc": reseeded(qmc), "grid": Grid, "tpe": reseeded(tpe), "nsga2": reseeded(nsga2),
    "nsga3": reseeded(nsga3), "gp": reseeded(gp), "evolution": evolution, "local-search": local_search,
    "surrogate": Surrogate,
}

__all__ = ["STRATEGIES", "Maker", "Problem", "Strategy", "sampler_of"]
