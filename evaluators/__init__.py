"""The costs and the worth of a network: Flax modules, training, runtimes, measured latency."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluators.evaluator import Context, Evaluator, Fidelity, Score
    from evaluators.networks.checkpoint import load_network
    from evaluators.recipe import Recipe
    from evaluators.registry import EVALUATORS
    from evaluators.training.train import evaluate

__all__ = ["EVALUATORS", "Context", "Evaluator", "Fidelity", "Recipe", "Score", "evaluate", "load_network"]

_HOME = {"EVALUATORS": "evaluators.registry", "Context": "evaluators.evaluator",
         "Evaluator": "evaluators.evaluator", "Fidelity": "evaluators.evaluator",
         "Recipe": "evaluators.recipe", "Score": "evaluators.evaluator", "evaluate": "evaluators.training.train",
         "load_network": "evaluators.networks.checkpoint"}


def __getattr__(name: str) -> Any:
    """Imports a public name from its module when it is used, so that `import evaluators` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'evaluators' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)
