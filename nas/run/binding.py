"""The space of a configuration, bound to its data."""

from evaluators.benchmarks.tables import is_table, load_table
from evaluators.datasets import Dataset, load_dataset
from nas.run.config import SearchConfig
from search_spaces import load_space
from search_spaces.errors import require
from search_spaces.search_space import SearchSpace


def bound_space(config: SearchConfig) -> tuple[SearchSpace, Dataset]:
    """Returns the space of a configuration, bound to its data, and the data; both of the table, if it names one."""
    if is_table(config.data):
        table = load_table(config.data)
        return table.space, table.dataset
    space = load_space(config.space)
    stated = dict(space.input).get("resolution")
    require(stated is None or config.resolution is None,
            f"`resolution` is for spaces that leave it open, but '{config.space}' states {stated}")
    dataset = load_dataset(config.data, seed=config.seed, resolution=max(stated) if stated else config.resolution)
    return space.bind(dataset.resolution, dataset.channels, len(dataset.classes)), dataset
