"""The noise of the score of a search: how far the accuracies of its trainings differ between seeds."""

from collections.abc import Sequence

from evaluators.datasets import Dataset
from evaluators.evaluator import Evaluator, Score
from evaluators.recipe import Recipe
from nas.engine.correlation import CORRELATION
from nas.engine.scores import Noise, ScoreRecord, known_noise
from nas.run.directory import RunDirectory
from nas.run.monitor import Monitor
from search_spaces.architecture import Architecture

SEEDS = 2
NETWORKS_TRAINED_AGAIN = 3


def noise_of(run: RunDirectory) -> Noise | None:
    """Returns the noise of the whole trainings of a search, None as long as it is not known."""
    return known_noise(run.place(CORRELATION), run.config.recipe.epochs)


def measure_noise(run: RunDirectory, dataset: Dataset, evaluators: Sequence[Evaluator], recipe: Recipe,
                  monitor: Monitor) -> None:
    """Trains the first networks made by hand once more, with another seed, where the noise is not known yet.

    The first, since these were not chosen by their accuracies: what was stopped early is trained with both seeds. A
    search without any has no such trainings. All accuracies go to the record of `nas correlate`.
    """
    first = {candidate.architecture: candidate for candidate in run.candidates()
             if candidate.by_hand and candidate.epochs and candidate.state == "complete"
             and candidate.taken_from is None}  # what was taken over has another search's seed
    networks = [Architecture.parse(text) for text in list(first)[:NETWORKS_TRAINED_AGAIN]]
    record = ScoreRecord(run.place(CORRELATION), dataset, recipe, run.config.evaluator)
    try:
        if not networks or noise_of(run) is not None:
            return
        for own in (first[network.text] for network in networks if first[network.text].trained):
            seconds = (own.ended - own.began).total_seconds() if own.began and own.ended else 0.0
            score = Score(own.accuracy or 0.0, log_loss=own.log_loss)
            record.add(own.architecture, recipe.epochs, 0, score, seconds)
        record.sample([(evaluate, evaluate) for evaluate in evaluators], networks, (recipe.epochs,), SEEDS,
                      lambda what, done, total: monitor.progress("trainings with another seed", done, total))
    except Exception as error:  # the search is complete without it
        monitor.say(f"the noise between seeds is not known: {type(error).__name__}: {error}")
