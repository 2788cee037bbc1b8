"""Spaces by the distributions of the accuracies of their members at equal cost.

As Radosavovic et al. 2020 ("Designing network design spaces", section 3.1) compare them: not by the best network that a
search happened to find, but by all of some random ones. These are widened until they use 90 to 100 % of the budgets,
trained alike and briefly, and scored on validation images. Beside them stand published mobile networks, made to fill
the same budgets in every way of `search_spaces.zoo.handmade`.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.benchmarks.tables import is_table
from evaluators.datasets import Dataset
from evaluators.datasets.metrics import ACCURACY, METRICS, Metric
from evaluators.evaluator import Context
from evaluators.machine.devices import require_devices
from nas.engine.pool import TRAINING, evaluators, training_processes
from nas.engine.scores import ScoreRecord, resamples
from nas.engine.setting import setting_of
from nas.measuring.filling import FULL, WIDTH, Filling, filled, random_fillings
from nas.measuring.meters import Gauges, file_gauges
from nas.measuring.survey import Progress
from nas.problem.budgets import Budgets
from nas.problem.candidate import Interval
from nas.run.config import SearchConfig
from nas.run.monitor import Monitor, Silent
from search_spaces import load_space
from search_spaces.architecture import Architecture
from search_spaces.errors import require
from search_spaces.search_space import SearchSpace
from search_spaces.zoo.handmade import FAMILIES, patterns

MEMBERS = 20
FEWEST = 8  # members, for a distribution that says anything
ATTEMPTS = 20  # random members for each that is wanted
RANGE = f"{100 * FULL:.0f} to 100 %"
BY_HAND = "made by hand"


@dataclass(frozen=True)
class Member:
    """A network that fills the budgets.

    Attributes:
        text: the architecture.
        used: the largest share of a budget that it uses.
        name: that of a network made by hand, and how it was shortened.
    """

    text: str
    used: float
    name: str = ""


@dataclass(frozen=True)
class Distribution:
    """The accuracies of networks that fill the budgets.

    Attributes:
        name: of their space; of networks made by hand, `BY_HAND`.
        members: the networks.
        accuracies: of each.
    """

    name: str
    members: tuple[Member, ...]
    accuracies: tuple[float, ...]

    def percentile(self, percentile: float) -> float:
        """Returns an accuracy that so many per cent of the members do not exceed."""
        return float(np.percentile(self.accuracies, percentile))

    @property
    def median_ci(self) -> Interval:
        """The 95 % bootstrap interval of the median."""
        return self._interval(lambda drawn: np.median(drawn, axis=1))

    def above(self, accuracy: float) -> tuple[float, Interval]:
        """Returns the share of members above an accuracy, and its 95 % bootstrap interval."""
        return (float(np.mean(np.array(self.accuracies) > accuracy)),
                self._interval(lambda drawn: np.mean(drawn > accuracy, axis=1)))

    @property
    def best(self) -> tuple[Member, float]:
        """The member of highest accuracy, and that."""
        return max(zip(self.members, self.accuracies, strict=True), key=lambda one: one[1])

    def _interval(self, statistic: Callable[[np.ndarray], np.ndarray]) -> Interval:
        low, high = np.percentile(statistic(np.array(self.accuracies)[resamples(len(self.members))]), (2.5, 97.5))
        return float(low), float(high)


@dataclass(frozen=True)
class Comparison:
    """The distributions of spaces, and that of the published networks made by hand beside them."""

    by_hand: Distribution
    spaces: tuple[Distribution, ...]
    metric: Metric = METRICS[ACCURACY]


def compare(spaces: Sequence[str], config: SearchConfig, budgets: Budgets, record: Path, *, count: int = MEMBERS,
            monitor: Monitor | None = None) -> Comparison:
    """Returns the distributions of spaces, and that of the published networks made by hand.

    All that is to be trained is found first. What is recorded is neither measured nor trained again.

    Args:
        spaces: names of ready spaces, or TOML files.
        config: the data, targets and recipe.
        budgets: what the networks are to fill.
        record: the file that is gone on with.
        count: members of each space.
        monitor: what to report to.

    Raises:
        InvalidInput: wrong input, a budget that no network made by hand fills, or that too few members of a space do.
    """
    monitor = monitor or Silent()
    require(0 < len(spaces) == len(set(spaces)), f"spaces are compared, each once, but got {', '.join(spaces)}")
    require(bool(budgets.limits), "spaces are compared at equal cost, but got no budget: `--latency 0.1ms` is one")
    require(count >= FEWEST, f"a distribution takes at least {FEWEST} members, but got {count}")
    require(not is_table(config.data), f"spaces are compared by trainings, but the data are '{config.data}'")
    require_devices()
    setting, recipe = setting_of(dataclasses.replace(config, space=spaces[0])), config.recipe
    bound = {name: _bound(name, setting.dataset) for name in spaces}
    scores = ScoreRecord(record, setting.dataset, recipe)
    with file_gauges(budgets.measured) as gauges:
        found = filling(bound, scores, budgets, gauges, count, monitor)
    context = Context(setting.space, setting.dataset, record.parent / "evaluator", recipe)
    networks = [Architecture.parse(text) for text in dict.fromkeys(one.text for of in found.values() for one in of)]
    with evaluators(TRAINING, context, config.workers or training_processes()) as made:
        sample = scores.sample([(one, one) for one in made], networks, (recipe.epochs,), 1, monitor.progress)
    by_hand, *others = (
        Distribution(name, members, tuple(sample.scores[one.text][recipe.epochs][0].accuracy for one in members))
        for name, members in found.items())
    return Comparison(by_hand, tuple(others), METRICS[config.metric])


def filling(spaces: Mapping[str, SearchSpace], record: ScoreRecord, budgets: Budgets, gauges: Gauges, count: int,
            monitor: Monitor) -> dict[str, tuple[Member, ...]]:
    """Returns the networks made by hand that fill the budgets and the random members of each space that do.

    Those of each are recorded once they are found, under the machine, whose latencies are no other one's.

    Raises:
        InvalidInput: a budget that no network made by hand fills, or that too few members of a space do.
    """
    dataset, seed = record.dataset, record.recipe.seed
    by_hand = [pattern for family in FAMILIES
               for pattern in patterns(family, dataset.resolution, dataset.channels, len(dataset.classes))]
    found = {}
    for name in (BY_HAND, *spaces):
        space = spaces.get(name)
        what, text, wanted, fewest = ((f"members of '{name}'", space.text, count, FEWEST) if space else
                                      ("published networks made by hand", "", len(by_hand), 1))
        ways = (zip(repeat(""), islice(random_fillings(space, budgets, gauges, seed), ATTEMPTS * count))
                if space else ((pattern.name, filled(pattern.scaled, budgets, gauges)) for pattern in by_hand))
        find = partial(_full, ways, what, wanted, fewest, budgets, monitor.progress)
        found[name] = tuple(Member(**row) for row in record.members(name, text, budgets, wanted, find))
        if space and len(found[name]) < count:
            monitor.say(f"{name}: {len(found[name])} of {ATTEMPTS * count} random members fill the budget")
    return found


def _full(ways: Iterable[tuple[str, Filling | None]], what: str, wanted: int, fewest: int, budgets: Budgets,
          progress: Progress) -> list[dict[str, Any]]:
    """Returns the values of each `Member` that uses at least `FULL` of a budget; raises `InvalidInput` if few do."""
    found: dict[Architecture, Member] = {}
    over = below = 0
    for name, filling in ways:
        if filling is None:  # too slow at the least width
            over += 1
        elif filling[1] < FULL:  # at the largest width, or at the last before one that is too slow
            below += 1
        else:
            network, used = filling
            found.setdefault(network, Member(network.text, used, name))
        progress(f"filling the budget with {what}", len(found), wanted)
        if len(found) == wanted:
            break
    advice = ("" if over == below == 0 else ": a larger budget or smaller images may help" if over >= below else
              ": a smaller budget or more widths may help")
    require(len(found) >= fewest, f"a comparison takes {what} that use {RANGE} of {budgets}, at least {fewest}, but "
            f"{len(found)} do, {over} exceed it at their least width, {below} use less at the largest width that "
            f"keeps it{advice}")
    return [vars(one) for one in found.values()]


def _bound(name: str, dataset: Dataset) -> SearchSpace:
    space = load_space(name)
    bound = space.bind(dataset.resolution, dataset.channels, len(dataset.classes))
    require(WIDTH in bound.parameters, "members fill a budget by their width, so that a space has a choice of it, such "
            f"as `scale_w0.5/1`, but '{name}' has none")
    stated: Any = dict(space.input).get("resolution", (dataset.resolution,))
    require(max(stated) == dataset.resolution, f"spaces are compared on the same images, but '{name}' states "
            f"{max(stated)} pixels and the images have {dataset.resolution}; it may come first")
    return bound
