"""The published networks as a table."""

from rich import box
from rich.console import Group
from rich.table import Table

from search_spaces.errors import unknown
from search_spaces.zoo import NOT_REPRODUCED, ZOO


def zoo_report(family: str | None = None) -> Group:
    """Returns the published networks; of all families, also the published figures that are not reproduced, and why.

    Raises:
        InvalidInput: no network is of the family; lists the known ones.
    """
    if family is not None:
        return Group(_networks(family))
    table = Table(box=box.SIMPLE_HEAD, title="Published figures that are not reproduced", title_justify="left")
    table.add_column("row", no_wrap=True)
    table.add_column("why")
    for row, reason in NOT_REPRODUCED.items():
        table.add_row(row, reason)
    return Group(_networks(None), table)


def _networks(family: str | None) -> Table:
    """Returns each network: parameters, multiply-adds, its paper and the published rows that have these figures."""
    families = {published.family for published in ZOO.values()}
    if family is not None and family not in families:
        raise unknown("family", family, families)
    table = Table(box=box.SIMPLE_HEAD, caption_justify="left")
    table.add_column("name", no_wrap=True)
    table.add_column("input", justify="right")
    table.add_column("params", justify="right")
    table.add_column("MACs (M)", justify="right")
    table.add_column("source, = rows with these figures")
    for name, published in ZOO.items():
        if family in (None, published.family):
            architecture = published.architecture()
            table.add_row(name, str(architecture.input.resolution), f"{architecture.params:,}",
                          f"{architecture.macs / 1e6:,.1f}", "\n= ".join((published.source, *published.rows)))
    table.caption = f"{table.row_count} networks; `nas show NAME` lists the layers of one"
    return table
