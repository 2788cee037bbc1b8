"""The noise of the score of a search: how far the accuracies of its trainings differ between seeds."""

from evaluators.datasets import Dataset
from evaluators.evaluator import Evaluator
from evaluators.recipe import Recipe
from nas.engine.correlation import CORRELATION
from nas.engine.scores import NETWORKS, Noise, keep, known_noise, opened, scored
from nas.run.directory import RunDirectory
from nas.run.monitor import Monitor
from search_spaces.architecture import Architecture

SEEDS = 2


def noise_of(run: RunDirectory) -> Noise | None:
    """Returns the noise of the whole trainings of a search, None as long as it is not known."""
    return known_noise(run.path / CORRELATION, run.config.epochs)


def measure_noise(run: RunDirectory, dataset: Dataset, evaluate: Evaluator, recipe: Recipe, monitor: Monitor) -> None:
    """Trains the first network made by hand once more, with another seed, where the noise is not known yet.

    The first, since that was not chosen by its accuracy. A search without any has no such training. Both accuracies go
    to the record of `nas correlate`.
    """
    first = next((candidate for candidate in run.candidates() if candidate.by_hand and candidate.trained), None)
    if first is None or first.accuracy is None or noise_of(run) is not None:
        return
    record = run.path / CORRELATION
    content = opened(record, dataset, recipe)
    seconds = (first.ended - first.began).total_seconds() if first.began and first.ended else 0.0
    content[NETWORKS].setdefault(first.architecture, {}).setdefault(
        str(recipe.epochs), [[first.accuracy, round(seconds, 2)]])
    keep(record, content)
    try:
        scored(dataset, evaluate, evaluate, recipe, [Architecture.parse(first.architecture)], (recipe.epochs,), SEEDS,
               record, lambda what, done, total: monitor.progress("training with another seed", done, total))
    except Exception as error:  # the search is complete without it
        monitor.say(f"trial {first.trial} failed with another seed: {type(error).__name__}: {error}")
