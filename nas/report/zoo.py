"""The published networks as a table."""

from rich import box
from rich.table import Table

from search_spaces.errors import unknown
from search_spaces.zoo import ZOO


def zoo_table(family: str | None = None) -> Table:
    """Returns a line for each published network: parameters, multiply-adds and its paper.

    Raises:
        InvalidInput: no network is of the family; lists the known ones.
    """
    families = {published.family for published in ZOO.values()}
    if family is not None and family not in families:
        raise unknown("family", family, families)
    table = Table(box=box.SIMPLE_HEAD, caption_justify="left")
    table.add_column("name", no_wrap=True)
    table.add_column("input", justify="right")
    table.add_column("params", justify="right")
    table.add_column("MACs (M)", justify="right")
    table.add_column("source")
    for name, published in ZOO.items():
        if family in (None, published.family):
            architecture = published.architecture()
            table.add_row(name, str(architecture.input.resolution), f"{architecture.params:,}",
                          f"{architecture.macs / 1e6:,.1f}", published.source)
    table.caption = f"{table.row_count} networks; `nas show NAME` lists the layers of one"
    return table
