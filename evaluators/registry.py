"""The evaluators by name. A new one is one line here."""

from evaluators.datasets import Dataset
from evaluators.evaluator import Evaluator, Fidelity, Score
from search_spaces.architecture import Architecture


def _training(architecture: Architecture, data: Dataset, fidelity: Fidelity) -> Score:
    from evaluators.training.train import evaluate  # imports jax

    return evaluate(architecture, data, fidelity)


EVALUATORS: dict[str, Evaluator] = {"training": _training}
