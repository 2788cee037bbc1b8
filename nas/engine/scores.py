"""The scores of networks by trainings of several lengths and seeds, in a file that is gone on with after a kill."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evaluators.datasets import Dataset
from evaluators.datasets.metrics import ACCURACY
from evaluators.evaluator import Diverged, Evaluator, Fidelity, Score
from evaluators.machine.devices import processor
from evaluators.machine.files import locked, require_writable, write_whole
from evaluators.recipe import Recipe
from nas.engine.pool import TRAINING, each
from nas.measuring.survey import Progress
from nas.problem.budgets import Budgets
from search_spaces.architecture import Architecture
from search_spaces.documents import read_json, refused
from search_spaces.errors import require

OF, NETWORKS = "of", "networks"  # keys: data and recipe; network -> epochs, or `_whole` -> the row of each seed
MEMBERS = "filling"  # key: budgets and machine -> a name -> the members that meet them
RESAMPLES = 1000


class Row(NamedTuple):
    """The outcome of one training, in a record a list of the values that are known."""

    accuracy: float
    seconds: float
    log_loss: float | None = None


class Job(NamedTuple):
    """A training: of which network, for how many epochs, and the how manieth of those, from 0."""

    network: Architecture
    epochs: int
    seed: int


class Kept(NamedTuple):
    """The members of a space that meet budgets, in a record: its text, how many were asked for, and those found."""

    space: str
    asked: int
    members: list[Any]


@dataclass(frozen=True)
class Sample:
    """Networks with their scores: by text and number of epochs a row for each seed."""

    scores: Mapping[str, Mapping[int, Sequence[Row]]]

    def accuracies(self, epochs: int) -> np.ndarray:
        """Returns the accuracies after some epochs, `[networks, seeds]`."""
        return np.array([[row.accuracy for row in of[epochs]] for of in self.scores.values()])

    def log_losses(self, epochs: int) -> np.ndarray | None:
        """Returns the log losses after some epochs, `[networks, seeds]`; None unless all are known.

        That of a training which diverged, with an accuracy of 0, is above all others.
        """
        rows = [of[epochs] for of in self.scores.values()]
        known = [row.log_loss for of in rows for row in of if row.log_loss is not None]
        if not known or any(row.log_loss is None and row.accuracy for of in rows for row in of):
            return None
        worst = max(known) + 1
        return np.array([[worst if row.log_loss is None else row.log_loss for row in of] for of in rows])

    @property
    def lengths(self) -> list[int]:
        """The epochs after which every network has a score, in their order."""
        return sorted(set.intersection(*(set(of) for of in self.scores.values())))

    def seconds(self, epochs: int) -> float:
        """Returns the median duration of a training of some epochs."""
        return float(np.median([row.seconds for of in self.scores.values() for row in of[epochs]]))


@dataclass(frozen=True)
class Noise:
    """The standard deviation of an accuracy between seeds of the training, and of how many networks that is known."""

    deviation: float
    networks: int


@dataclass(frozen=True)
class ScoreRecord:
    """The file of the scores of networks, which several processes may go on with.

    Attributes:
        path: the file.
        dataset: the images.
        recipe: of the trainings; its seed is the first of those used.
        evaluator: what gives the scores but those after the training to the end.
    """

    path: Path
    dataset: Dataset
    recipe: Recipe
    evaluator: str = TRAINING

    def content(self) -> dict[str, Any]:
        """Returns what the file holds, no scores where there is none yet.

        Raises:
            InvalidInput: it was recorded on other data, by another metric or evaluator, or with another recipe.
        """
        recipe = self.recipe
        of: dict[str, Any] = {"data": self.dataset.fingerprint, "batch": recipe.batch,
                              "augmentation": recipe.augmentation, "seed": recipe.seed, **recipe.changed}
        if self.dataset.metric != ACCURACY:
            of["metric"] = self.dataset.metric
        if self.evaluator != TRAINING:
            of |= {"evaluator": self.evaluator, "whole trainings": "apart"}  # they were not in earlier versions
        content = {OF: of, NETWORKS: {}, **read_scores(self.path)}
        require(content[OF] == of, "a record of scores goes on with its own data, evaluator and recipe, but "
                f"'{self.path}' is of {content[OF]}; `--record FILE` begins another one")
        return content

    @contextlib.contextmanager
    def changed(self) -> Iterator[dict[str, Any]]:
        """Yields the content to be changed, and writes it; other processes that change it wait meanwhile.

        Raises:
            InvalidInput: as `content` does.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.parent, waits=True):
            content = self.content()
            yield content
            networks = _each_row(content[NETWORKS], lambda row: [value for value in row if value is not None])
            write_whole(self.path, (json.dumps({**content, NETWORKS: networks}, indent=1) + "\n").encode())

    def members(self, name: str, space: str, budgets: Budgets, count: int, find: Callable[[], list[Any]]) -> list[Any]:
        """Returns the members that meet budgets, as they are in the record or else are found and recorded.

        They are kept with the processor, since latencies are its own, and found again for another one, another space or
        more members than were asked for. Of two processes that find at once, the first to record has them for both.

        Args:
            name: that tells them from others that meet the same budgets.
            space: the text of their space.
            budgets: those that they meet.
            count: at most so many are returned.
            find: finds them, as JSON has them.
        """
        where = ", ".join((str(budgets), *budgets.targets, processor()))

        def known(content: Mapping[str, Any]) -> Kept | None:
            of = content.get(MEMBERS, {}).get(where, {}).get(name)
            return Kept(**of) if of and of["space"] == space and of["asked"] >= count else None

        if (kept := known(self.content())) is None:
            self._require_writable()
            found = Kept(space, count, find())
            with self.changed() as content:
                kept = known(content) or found
                content.setdefault(MEMBERS, {}).setdefault(where, {})[name] = kept._asdict()
        return kept.members[:count]

    def _require_writable(self) -> None:
        require_writable(self.path.parent, "the place of a record")

    def add(self, text: str, length: int | str, seed: int, score: Score | float, seconds: float) -> dict[str, Any]:
        """Records the score of a network with a seed, if none is known; returns all rows of the record.

        The length is a number of epochs, or for a training beside scores of another evaluator as `_whole` has it.
        """
        accuracy, log_loss = (score.accuracy, score.log_loss) if isinstance(score, Score) else (score, None)
        row = Row(float(accuracy), round(seconds, 2), None if log_loss is None else float(log_loss))  # not NumPy's
        with self.changed() as content:
            kept = content[NETWORKS].setdefault(text, {}).setdefault(str(length), [])
            if len(kept) == seed:
                kept.append(row)
            return content[NETWORKS]

    def sample(self, evaluators: Sequence[tuple[Evaluator, Evaluator]], networks: Sequence[Architecture],
               epochs: Sequence[int], seeds: int, progress: Progress) -> Sample:
        """Returns the scores of networks; what is recorded is not trained again.

        A score is recorded as soon as it and those of earlier seeds are known. A network whose training diverges has an
        accuracy of 0.

        Args:
            evaluators: of each worker the one that gives the scores of all numbers of epochs but the last, and the one
                that gives those after the last.
            networks: what to score.
            epochs: the lengths of the trainings, the one to the end last.
            seeds: trainings of each length.
            progress: is told how far it has come.

        Raises:
            InvalidInput: as `content` does.
        """
        rows = self.content()[NETWORKS]
        jobs = [Job(network, length, seed) for network in networks for length in epochs for seed in range(seeds)]
        trains = self.evaluator == TRAINING or all(brief is final for brief, final in evaluators)
        keys = {length: str(length) if trains or length < epochs[-1] else _whole(length) for length in epochs}
        ended: dict[Job, tuple[Score | float, float]] = {}  # those that wait for an earlier seed

        def known(job: Job) -> int:
            return len(rows.get(job.network.text, {}).get(keys[job.epochs], ()))

        def train(each_one: tuple[Evaluator, Evaluator], job: Job) -> tuple[Score | float, float] | None:
            if known(job) > job.seed:  # recorded by another process meanwhile
                return None
            return _trained(self.dataset, self.recipe, each_one[job.epochs == epochs[-1]], job)

        lacking = [job for job in jobs if known(job) <= job.seed]
        if lacking:
            self._require_writable()
        progress("trainings", len(jobs) - len(lacking), len(jobs))
        for done, (job, outcome) in enumerate(each(evaluators, train, lacking), len(jobs) - len(lacking) + 1):
            if outcome is not None:
                ended[job] = outcome
            while (next_one := job._replace(seed=known(job))) in ended:
                rows = self.add(job.network.text, keys[job.epochs], next_one.seed, *ended.pop(next_one))
            progress("trainings", done, len(jobs))
        return Sample({network.text: {length: rows[network.text][keys[length]][:seeds] for length in epochs}
                       for network in networks})


def _trained(dataset: Dataset, recipe: Recipe, evaluate: Evaluator, job: Job) -> tuple[Score | float, float]:
    """Returns the score of a training without its arrays, and the seconds that it took."""
    began_s = time.monotonic()
    fidelity = Fidelity(dataclasses.replace(recipe, epochs=job.epochs, seed=recipe.seed + job.seed))
    try:
        score = evaluate(job.network, dataset, fidelity)
    except Diverged:
        score = 0.0
    if isinstance(score, Score):
        score = dataclasses.replace(score, arrays={}, checkpoint={})
    return score, time.monotonic() - began_s


def known_noise(record: Path, epochs: int) -> Noise | None:
    """Returns the noise of trainings of some epochs that a record tells of; None where it tells none.

    Networks that lost a training, with an accuracy of 0, do not count: that is no noise.
    """
    rows = read_scores(record).get(NETWORKS, {}).values()
    return noise_among([[row.accuracy for row in of.get(str(epochs), ())] for of in rows])


def noise_among(accuracies: Iterable[Sequence[float]]) -> Noise | None:
    """Returns the noise between the accuracies of each network; None where none has two that were not lost."""
    variances = [np.var(own, ddof=1) for own in accuracies if len(own) > 1 and all(own)]
    return Noise(float(np.sqrt(np.mean(variances))), len(variances)) if variances else None


def known_sample(record: Path, fewest: int) -> Sample | None:
    """Returns the networks of a record that were trained as long as any, by the lengths that they have in common.

    None unless there are at least `fewest`, with two lengths in common. Of each length as many seeds count as all have.
    """
    rows = {text: _by_length(of) for text, of in read_scores(record).get(NETWORKS, {}).items()}
    longest = max((length for of in rows.values() for length in of), default=0)
    whole = Sample({text: of for text, of in rows.items() if longest in of})
    if len(whole.scores) < fewest or len(whole.lengths) < 2:
        return None
    seeds = {length: min(len(of[length]) for of in whole.scores.values()) for length in whole.lengths}
    return Sample({text: {length: of[length][:count] for length, count in seeds.items()}
                   for text, of in whole.scores.items()})


def _whole(epochs: int) -> str:
    """Returns the length of a training to the end as a record has it whose evaluator is another one."""
    return f"{epochs} {TRAINING}"


def _by_length(of: Mapping[str, Sequence[Row]]) -> dict[int, Sequence[Row]]:
    """Returns the rows of a network by epochs; the longest training to the end, if there is any, ends them."""
    rows = {int(length): own for length, own in of.items() if length.isdecimal() and own}
    longest = max((int(length.split()[0]) for length, own in of.items() if not length.isdecimal() and own), default=0)
    if not longest:
        return rows
    return {length: own for length, own in rows.items() if length < longest} | {longest: of[_whole(longest)]}


def resamples(count: int) -> np.ndarray:
    """Returns the indices `[RESAMPLES, count]` of bootstrap samples, always the same ones."""
    return np.random.default_rng(0).integers(count, size=(RESAMPLES, count))


def _each_row(networks: Mapping[str, Mapping[str, Sequence[Any]]], form: Callable[[Any], Any]) -> dict[str, Any]:
    """Returns the networks of a record with each row in another form."""
    return {text: {epochs: [form(row) for row in rows] for epochs, rows in of.items()}
            for text, of in networks.items()}


def read_scores(record: Path) -> dict[str, Any]:
    """Returns the content of a record; none where there is no record yet."""
    if not record.exists():
        return {}
    with refused("a record of scores must be as `nas correlate` or `nas compare-spaces` has written it, but "
                 f"'{record}' is not"):
        content = read_json(record)
        networks = _each_row(content[NETWORKS], lambda row: Row(*map(float, row)))
        for spaces in content.get(MEMBERS, {}).values():
            for of in spaces.values():
                kept = Kept(**of)
                require(isinstance(kept.members, list) and isinstance(kept.asked, int), f"members are not {of}")
        return {**content, OF: dict(content[OF]), NETWORKS: networks}
