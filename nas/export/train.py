"""A network that was named instead of searched for: trained, and delivered with a certificate as a winner is."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluators.datasets import Dataset, load_dataset
from evaluators.datasets.metrics import ACCURACY
from evaluators.latency import NoTurn
from evaluators.machine.devices import require_devices
from evaluators.machine.files import at_home
from evaluators.recipe import FINAL_EPOCHS, Recipe
from evaluators.runtimes import in_precision, parse_target
from nas.export.certificate import ACCURACY_LOSS_POINTS, WAIT_S, Exported
from nas.export.delivery import Order, deliver, is_trained, require_deliverable
from nas.export.formats import FLAX
from nas.export.named_network import NamedNetwork, files_among, named_network
from nas.export.teachers import as_names, teachers_named
from nas.export.trained import require_seeds
from nas.measuring.meters import costs_within, file_gauges
from nas.problem.budgets import Budgets, is_feasible
from nas.run.monitor import Monitor, Silent
from search_spaces.architecture import Architecture
from search_spaces.errors import InvalidInput, require
from search_spaces.numbers import count_of

DATA = "fashion-mnist"
SHOWN = 3  # names in a line


def train(network: str, *, data: str | None = None, skip_broken: bool = False, resolution: int | None = None,
          classes: int | None = None, budgets: Budgets | None = None, formats: Sequence[str] = (FLAX,),
          out: str | Path | None = None, accuracy_loss: float = ACCURACY_LOSS_POINTS,
          preprocess_inside: bool = False, teacher: str | Sequence[str] = (), seeds: int = 1, metric: str = ACCURACY,
          precision: str | None = None, monitor: Monitor | None = None, **settings: Any) -> Exported:
    """Returns a network that was trained, written, timed and certified.

    A network is put to the data: their channels and classes, and a published one to their resolution. What of its
    weights no longer fits, such as a classifier of other classes, is drawn anew.

    Args:
        network: the name of a published network, the text of an architecture, or a file with a network's weights.
        data: name of an embedded data set, or a path; by default the embedded one, and none for 0 epochs: the network
            is then exported as it is, compared on random images, and its accuracy is not stated.
        skip_broken: whether image files that are broken are left out; the split names them.
        resolution: pixels of the network and the images.
        classes: classes of a network that is exported without data.
        budgets: what the files must meet, and the targets that they are for.
        formats: names of `nas.export.formats.FORMATS` besides those of the targets.
        out: where to; by default the network's name with `.trained`.
        accuracy_loss: percentage points that a file may be less accurate than the network.
        preprocess_inside: whether the files of runtimes take bytes and normalise them themselves.
        teacher: a file of a trained network, or several, from whose predictions it learns, see `nas.export.teachers`.
        seeds: how many trainings, from so many seeds in a row, tell how far the accuracy is due to chance; the network
            of the first is delivered.
        precision: of the files of the targets, one of `PRECISIONS`; by default as the targets say.
        metric: by which files are judged, a name of `evaluators.datasets.metrics.METRICS`.
        monitor: what to report to.
        settings: of the training on training and validation images, by the names of `evaluators.Recipe`; by default
            it has 20 epochs, and with 0 there is none.

    Raises:
        InvalidInput: wrong input, a network that is over a budget before it is trained, or a directory of something
            else than an export; nothing is written.
    """
    monitor, recipe = monitor or Silent(), Recipe(**{"epochs": FINAL_EPOCHS, **settings})
    named = named_network(network)
    directory = at_home(out) if out is not None else Path(f"{named.name}.trained")
    require_deliverable(formats, directory, accuracy_loss, files_among((network, *as_names(teacher))))
    require_seeds(recipe, seeds)
    require_devices()
    budgets = budgets or Budgets()
    budgets = dataclasses.replace(budgets, targets=tuple(
        in_precision(text, precision) if precision else parse_target(text).text for text in budgets.targets))
    named, dataset = _put_to_data(named, data or (DATA if recipe.epochs else None), resolution, classes, recipe.seed,
                                  monitor, skip_broken=skip_broken, metric=metric)
    teachers = teachers_named(as_names(teacher), dataset, recipe)
    order = Order(named.name, named.architecture, dataset, budgets.targets, budgets, recipe, formats,
                  named.arrays, teachers, origin={"network": named.name}, accuracy_loss_points=accuracy_loss,
                  preprocess_inside=preprocess_inside, seeds=seeds, texts=named.texts)
    if recipe.epochs and not is_trained(order, directory):
        _require_within(named.architecture, budgets, monitor)
    return deliver(order, directory, monitor)


def _put_to_data(named: NamedNetwork, data: str | None, resolution: int | None, classes: int | None, seed: int,
                 monitor: Monitor, *, skip_broken: bool, metric: str) -> tuple[NamedNetwork, Dataset | None]:
    """Returns the network as the data need it, and the data."""
    if data is None:
        require(metric == ACCURACY, f"a metric is of data, but got {metric} and none")
        return named.adapted(resolution, None, classes), None
    require(classes is None,
            f"`classes` is for networks that are exported without data, but got {classes} and '{data}'")
    if resolution is None and not named.published:
        resolution = named.architecture.input.resolution
    dataset = load_dataset(data, seed=seed, resolution=resolution, skip_broken=skip_broken, metric=metric)
    found = named.adapted(dataset.resolution, dataset.channels, len(dataset.classes))
    monitor.say(f"data: {dataset.summary}")
    lost = [name for name in named.arrays if name not in found.arrays]
    if lost:
        more = f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
        monitor.say(f"drawn anew, since the data have {count_of(dataset.channels, 'channel')} and "
                    f"{len(dataset.classes)} classes: {', '.join(lost[:SHOWN])}{more}")
    return found, dataset


def _require_within(architecture: Architecture, budgets: Budgets, monitor: Monitor) -> None:
    """Raises `InvalidInput` if a network exceeds a budget, which does not depend on its training.

    Where no turn comes to time it, it is trained all the same: its files are judged afterwards.
    """
    if not budgets.limits:
        return
    monitor.progress("measuring the network", 0, 1)
    try:
        with file_gauges(budgets.targets, wait_s=WAIT_S) as gauges:
            costs = costs_within(architecture, budgets, gauges, budgets.timed)
    except NoTurn as error:
        monitor.say(f"not timed before its training: {error}")
        return
    if not is_feasible(budgets.violations(costs)):
        raise InvalidInput(f"a network is trained if it meets its budgets, but got {budgets.excess(costs)}")
