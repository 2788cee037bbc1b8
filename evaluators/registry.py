"""The evaluators by name. A new one is one line here."""

from evaluators.evaluator import Context, Evaluator, Make


def _training(context: Context) -> Evaluator:
    """Returns the brief training of a recipe, and the share of validation images that it then gets right."""
    from evaluators.training.train import evaluate  # imports jax

    return evaluate


EVALUATORS: dict[str, Make] = {"training": _training}
