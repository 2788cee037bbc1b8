"""The setting of a search: where its networks, their images, scores and costs come from."""

import dataclasses
import math
from dataclasses import dataclass

from evaluators.benchmarks.tables import is_table, load_table
from evaluators.datasets import Dataset, load_dataset
from evaluators.evaluator import Make
from evaluators.machine.devices import processor
from evaluators.recipe import brief_epochs
from evaluators.runtimes import Place, parse_target, runtime_of
from nas.engine.successive_halving import FEWEST_STEPS, longer
from nas.measuring.meters import Gauges
from nas.measuring.scoring import as_shipped
from nas.run.config import SearchConfig, evaluator_named
from nas.run.directory import RunDirectory
from search_spaces import load_space
from search_spaces.errors import require
from search_spaces.search_space import SearchSpace
from search_spaces.space import Space


@dataclass(frozen=True)
class Setting:
    """The space, data and evaluator of a configuration.

    Attributes:
        name: that of the space.
        space: the space, bound to the data.
        dataset: the images.
        make: makes the evaluator.
        epochs: of a whole training.
        stops_early: whether candidates are compared on the way.
        gauges: the costs on each target, where they are known without files that are timed.
        side_by_side: whether evaluations take so long that several workers make them in processes of their own.
    """

    name: str
    space: SearchSpace
    dataset: Dataset
    make: Make
    epochs: int
    stops_early: bool
    gauges: Gauges | None = None
    side_by_side: bool = True


def setting_of(config: SearchConfig) -> Setting:
    """Returns the setting of a configuration.

    Raises:
        InvalidInput: a space, data or an evaluator that is not there, or that does not fit the others.
    """
    return _of_table(config) if is_table(config.data) else _of_images(config)


def setting_of_run(run: RunDirectory, place: str | None = None) -> Setting:
    """Returns the setting of a search that was begun, whatever became of its files; raises as `data_of` does.

    Args:
        run: the run directory.
        place: where its data are now, if they have moved.
    """
    if is_table(run.config.data):
        return _of_table(run.config)
    return _of(run.config, Space.parse(run.resolved.space), data_of(run, place))


def data_of(run: RunDirectory, place: str | None) -> Dataset:
    """Returns the data of a search from where they are now; raises `InvalidInput` for others, or none."""
    config = dataclasses.replace(run.config, data=place or run.config.data)
    run.require_there(config, "data")
    dataset = load_dataset(config.data, seed=config.seed, skip_broken=config.skip_broken, metric=config.metric,
                           resolution=run.resolved.resolution)
    require(dataset.fingerprint == run.resolved.data_fingerprint, "an export or a comparison of scores needs the data "
            f"of the search, but '{config.data}' has {'others' if place else 'changed since'}; `--data` takes another "
            "path")
    return dataset


def require_latencies(setting: Setting, config: SearchConfig) -> None:
    """Raises `InvalidInput` if a configuration asks for latencies where the setting has none."""
    timed = config.budgets(config.latency_ms).timed or config.latency_percentile is not None
    require(setting.gauges is None or bool(setting.gauges) or not (timed or "latency" in config.objectives),
            f"a latency must be in the table, but {setting.name} has none; `--objectives accuracy,macs` asks for none")


def require_own_processor(run: RunDirectory) -> None:
    """Raises `InvalidInput` if budgets or objectives of a run need timings, and another processor has made the first.

    Devices elsewhere and predictions are the same for every machine.
    """
    begun = next((one.get("processor") for one in run.environments), None)
    needed = {*run.budgets.timed, *(run.config.targets[:1] if "latency" in run.config.objectives else ())}
    timed = any(runtime_of(parse_target(target)).place in (Place.HERE, Place.APART) for target in needed)
    require(not timed or begun in (None, processor()),
            f"the latencies of a search are timed on processors of one name, but '{run.path}' has those of '{begun}' "
            f"and this machine is '{processor()}'; `nas worker --trains` here trains what others have timed, and "
            "`nas search --start DIR` times anew what has been trained there")


def _of_table(config: SearchConfig) -> Setting:
    table = load_table(config.data)
    return Setting(table.space.text, table.space, table.dataset, lambda context: table, table.epochs,
                   config.stops_early, dict.fromkeys(config.targets, table) if table.latencies_ms else {},
                   side_by_side=False)


def _of_images(config: SearchConfig) -> Setting:
    space = load_space(config.space)
    stated = dict(space.input).get("resolution")
    require(stated is None or config.resolution is None,
            f"`resolution` is for spaces that leave it open, but '{config.space}' states {stated}")
    dataset = load_dataset(config.data, seed=config.seed, skip_broken=config.skip_broken, metric=config.metric,
                           resolution=max(stated) if stated else config.resolution)
    return _of(config, space.bind(dataset.resolution, dataset.channels, len(dataset.classes)), dataset)


def _of(config: SearchConfig, space: SearchSpace, dataset: Dataset) -> Setting:
    named = evaluator_named(config.evaluator)
    return Setting(config.space, space, dataset,
                   lambda context: as_shipped(named(context), config.targets[0], config.precision),
                   *_course(config, len(dataset.train)))


def _course(config: SearchConfig, images: int) -> tuple[int, bool]:
    """Returns the epochs of a whole training, and whether candidates are compared on the way.

    By default they are not where a ninth of the training is less than an epoch, or images are so few that nothing is
    known after it.
    """
    brief, stops_early = brief_epochs(images, config.batch), config.stops_early
    epochs = config.epochs or (longer(brief) if stops_early else brief)
    steps = epochs // 9 * math.ceil(images / config.batch)
    if config.early_stopping is None and steps < FEWEST_STEPS:
        return config.epochs or brief, False
    return epochs, stops_early
