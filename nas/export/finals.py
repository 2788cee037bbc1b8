"""The finals of a search: candidates that a brief training cannot tell apart are trained longer, the best of them wins.

Finalists are trained to the end. Where it saves time, a round before leaves the better half of them, at least eight
(successive halving: Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter
optimization", figure 2); its trainings are whole ones of a quarter of the epochs, with a learning rate that ends at 0,
since accuracies on the way say less. The images are those of the search: trained on training images, compared on
validation images, and by their log loss: the accuracy on as many images tells less of a network (docs/spaces.md). One
training is left to chance, so that of the search counts, too, as much less as it is shorter.

The best network made by hand that the search has trained is trained to the end in any case: what one would have taken
without a search is not ruled out by a brief training. So is the best of those that are much faster than the winner,
unless it is clearly worse: such a network may be as good in the end (docs/spaces.md), and one wants to know.
"""

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.datasets import Dataset
from evaluators.datasets.metrics import ACCURACY
from evaluators.evaluator import Diverged, Evaluator, Fidelity, Score
from evaluators.machine.files import locked, write_whole
from evaluators.recipe import Recipe
from evaluators.runtimes.target import FLOAT32
from nas.engine.pool import each
from nas.export.trained import training_id
from nas.problem.candidate import DEFAULT_OBJECTIVES, Candidate, distinct, rank, winner
from nas.run.monitor import Monitor
from search_spaces.architecture import Architecture
from search_spaces.documents import read_json, refused
from search_spaces.errors import require
from search_spaces.numbers import count_of, is_whole

FINALISTS = 8  # at most, by default; so many are trained to the end without a round before
FINALS = "finals.json"  # of a run
OFF = "off"
FIRST_ROUND = 4  # its trainings have one in so many of the final epochs
Key = tuple[str, str, str]  # of a training: what tells it from others, the metric, the precision of the file
LEAST_LOSS = 1e-3  # of a network in a search: below it all are equally good
APART = 1.96  # standard errors of a difference beyond which two accuracies are told apart
MUCH_FASTER = 1.5  # times as fast as another network, at least
FEWEST_IMAGES = 100  # for validation: with fewer, a finalist would win by chance


@dataclass(frozen=True)
class Standing:
    """The outcome of one training of a finalist.

    Attributes:
        training: what tells it from all other trainings.
        architecture: the text of the network.
        epochs: the length of the training.
        accuracy: that on the validation images, or what `metric` says of them.
        metric: of the data.
        calibrated_log_loss: of the validation images, as `Metric.log_loss` says, by which finalists are ranked; None
            where it diverged.
        precision: of the file that the accuracy is of; that of float32 has the accuracy of the network.
    """

    training: str
    architecture: str
    epochs: int
    accuracy: float
    metric: str = ACCURACY
    precision: str = FLOAT32
    calibrated_log_loss: float | None = None

    @property
    def is_comparable(self) -> bool:
        """Tells whether finals can rank the training: earlier versions recorded no log loss, or one of another kind."""
        return self.calibrated_log_loss is not None or not self.accuracy

    @property
    def rank(self) -> tuple[float, float]:
        """The key by which trainings of one length are sorted, the best first."""
        return math.inf if self.calibrated_log_loss is None else self.calibrated_log_loss, -self.accuracy


def parse_finals(text: str) -> int:
    """Returns the largest number of finalists; 1, and so no finals, for `off`.

    >>> parse_finals("6"), parse_finals("off")
    (6, 1)
    """
    require(text == OFF or (is_whole(text) and int(text) >= 1),
            f"finals take a number of candidates, at least 1, or '{OFF}', but got '{text}'")
    return 1 if text == OFF else int(text)


def finalists(candidates: Sequence[Candidate], count: int, noise: float = 0.0,
              objectives: Sequence[str] = DEFAULT_OBJECTIVES) -> list[Candidate]:
    """Returns the winner, the candidates that cannot be told apart from it, and the best made by hand, the best first.

    One of three or more is much faster than the winner, if there is such a one. The best are those of the least sum of
    their places by log loss and by multiply-adds, or by the objectives where that is not known of all. The winner is
    among them wherever it stands, as that is what the search has shown. They are told apart by the standard error of
    the difference of two shares of images; an evaluator that counts no images has no known error, and its winner
    stands alone.

    Args:
        candidates: of the search, as its budgets judge them.
        count: the largest number of finalists, at least 1; with 1 the winner alone.
        noise: the standard deviation of an accuracy between seeds of the training, beside that of the images.
        objectives: of the search, by which equal accuracies are ordered.
    """
    networks = distinct(candidates)
    best = winner(networks, objectives)
    if best is None or count == 1 or not best.total:
        return [best] if best else []
    ranked = _ranked([candidate for candidate in networks if candidate.eligible], objectives)
    alike = [candidate for candidate in ranked if not _apart(best, candidate, noise)]
    faster = _best_much_faster(alike, best) if count > 2 else []
    found = distinct([*_best_by_hand(ranked), best, *faster, *alike])[:count]
    return [candidate for candidate in ranked if candidate in found]


def speed_up(latency_ms: float | None, than_ms: float | None) -> float:
    """Returns how many times as fast a latency is as another, 0 where one is not known."""
    return than_ms / latency_ms if latency_ms and than_ms else 0.0


def _ranked(candidates: list[Candidate], objectives: Sequence[str]) -> list[Candidate]:
    """Returns candidates in the order in which they come to the finals.

    Among networks within a budget multiply-adds tell as much of a whole training as a brief one does, and both together
    more (docs/spaces.md).
    """
    ranked = sorted(candidates, key=lambda candidate: rank(candidate, objectives))
    if any(candidate.log_loss is None for candidate in ranked):
        return ranked
    places = Counter[int]()
    for order in (sorted(ranked, key=lambda candidate: candidate.log_loss or 0.0),
                  sorted(ranked, key=lambda candidate: -(candidate.costs.macs or 0))):
        for place, candidate in enumerate(order):
            places[candidate.trial] += place
    return sorted(ranked, key=lambda candidate: places[candidate.trial])


def _best_by_hand(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Returns the first network that was made by hand, if there is one."""
    return [candidate for candidate in ranked if candidate.by_hand][:1]


def _best_much_faster(ranked: Sequence[Candidate], than: Candidate) -> list[Candidate]:
    """Returns the first network that is much faster than a candidate, if there is one."""
    return [candidate for candidate in ranked if speed_up(candidate.latency_ms, than.latency_ms) >= MUCH_FASTER][:1]


def play(candidates: Sequence[Candidate], dataset: Dataset, recipe: Recipe, record: Path, monitor: Monitor,
         evaluators: Sequence[Evaluator], precision: str = FLOAT32) -> dict[int, Standing]:
    """Returns the longest training of each finalist by its trial, the winner of the finals first.

    Trainings are recorded as they end, and what is recorded is not trained again.

    Args:
        candidates: the finalists, the best of the search first.
        dataset: the images of the search.
        recipe: the final training.
        record: the file that trainings are recorded in.
        monitor: what to report to.
        evaluators: that train, one network at a time each, and score the files of the precision.
        precision: of the files.
    """
    standings: dict[int, Standing] = {}
    left = list(candidates)
    first, kept = recipe.epochs // FIRST_ROUND, max(FINALISTS, math.ceil(len(left) / 2))
    saves_time = len(left) * first < (len(left) - kept) * recipe.epochs
    tells_more = first > max(candidate.epochs for candidate in left)
    for epochs in (first, recipe.epochs) if saves_time and tells_more else (recipe.epochs,):
        of_round = dataclasses.replace(recipe, epochs=epochs)
        standings |= _round(left, dataset, of_round, record, monitor, evaluators, precision)
        keys = _sort_keys(candidates, standings)
        ranked = sorted(left, key=lambda candidate: keys[candidate.trial])
        left = distinct([*ranked[:kept], *_best_by_hand(ranked), *_best_much_faster(ranked, ranked[0])])
    order = sorted(standings, key=lambda trial: (-standings[trial].epochs, *keys[trial]))
    return {trial: standings[trial] for trial in order}


def _sort_keys(candidates: Sequence[Candidate], standings: Mapping[int, Standing]) -> dict[int, tuple[float, float]]:
    """Returns by trials the keys by which trainings of one length are sorted, the best first.

    Where the log losses of the search are known of all, they count too: of two trainings of a network each by its
    epochs, in a geometric mean.
    """
    searched = {candidate.trial: candidate for candidate in candidates}
    known = all(candidate.log_loss is not None for candidate in candidates)

    def key(trial: int, standing: Standing) -> tuple[float, float]:
        loss, less = standing.rank
        before, share = searched[trial].log_loss or 0.0, searched[trial].epochs / standing.epochs
        return loss * max(before, LEAST_LOSS)**share if known else loss, less
    return {trial: key(trial, standing) for trial, standing in standings.items()}


def _round(candidates: Sequence[Candidate], dataset: Dataset, recipe: Recipe, record: Path, monitor: Monitor,
           evaluators: Sequence[Evaluator], precision: str) -> dict[int, Standing]:
    """Returns the trainings of a round by their trials; those that lack are added to the record."""
    record.parent.mkdir(parents=True, exist_ok=True)
    known = _by_key(record)
    keys: dict[int, Key] = {candidate.trial: (
        training_id(Architecture.parse(candidate.architecture), dataset.fingerprint, recipe, {}), dataset.metric,
        precision) for candidate in candidates}
    lacking = [candidate for candidate in candidates
               if keys[candidate.trial] not in known or not known[keys[candidate.trial]].is_comparable]

    def train(evaluate: Evaluator, candidate: Candidate) -> Standing:
        return _trained(candidate.architecture, keys[candidate.trial][0], dataset, recipe, evaluate, precision)

    name, before = f"finals of {count_of(recipe.epochs, 'epoch')}, trainings", len(candidates) - len(lacking)
    monitor.progress(name, before, len(candidates))
    for done, (candidate, standing) in enumerate(each(evaluators, train, lacking), before + 1):
        with locked(record.parent, waits=True):  # another export of the run may have trained meanwhile
            known = _by_key(record) | {keys[candidate.trial]: standing}
            write_whole(record, (json.dumps([vars(one) for one in known.values()], indent=2) + "\n").encode())
        monitor.progress(name, done, len(candidates))
    return {trial: known[key] for trial, key in keys.items()}


def _by_key(record: Path) -> dict[Key, Standing]:
    return {(standing.training, standing.metric, standing.precision): standing for standing in recorded(record)}


def _trained(text: str, training: str, dataset: Dataset, recipe: Recipe, evaluate: Evaluator, precision: str
             ) -> Standing:
    """Returns the outcome of a training; where it diverges, its accuracy is 0."""
    try:
        score = evaluate(Architecture.parse(text), dataset, Fidelity(recipe))
    except Diverged:
        return Standing(training, text, recipe.epochs, 0.0, dataset.metric, precision)
    assert isinstance(score, Score)
    return Standing(training, text, recipe.epochs, score.accuracy, dataset.metric, precision, score.log_loss)


def recorded(record: Path) -> list[Standing]:
    """Returns the trainings in a record, in the order in which they ended; none where there is no record yet."""
    if not record.exists():
        return []
    with refused(f"the record of finals must be as an export has written it, but '{record}' is not"):
        return [_standing(**values) for values in read_json(record)]


def _standing(correct: int = 0, total: int = 0, log_loss: float | None = None, **values: Any) -> Standing:
    """Returns a training as it was recorded.

    Earlier versions wrote how many of the images it classified rightly, and the log loss of logits as they are.
    """
    found = Standing(**{"accuracy": correct / total} | values if total else values)
    require(isinstance(found.accuracy, int | float) and isinstance(found.epochs, int),
            f"it holds numbers, but got accuracy {found.accuracy!r} after {found.epochs!r} epochs")
    return found


def _apart(best: Candidate, other: Candidate, noise: float) -> bool:
    """Tells whether the accuracies of two candidates differ by more than chance, on images drawn independently.

    They are the same images, so that the true error is smaller: rather one finalist too many.
    """
    variances = [_accuracy(one) * (1 - _accuracy(one)) / max(1, one.total) + noise**2 for one in (best, other)]
    return _accuracy(best) - _accuracy(other) > APART * math.sqrt(sum(variances))


def _accuracy(candidate: Candidate) -> float:
    return candidate.accuracy or 0.0
