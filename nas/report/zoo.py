"""The published networks as a table."""

from rich import box
from rich.console import Group
from rich.table import Table

from nas.report.records import Row
from search_spaces.errors import unknown
from search_spaces.numbers import count_of
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


def zoo_rows(family: str | None = None) -> list[Row]:
    """Returns a row for each published network; raises as `zoo_report` does."""
    families = {published.family for published in ZOO.values()}
    if family is not None and family not in families:
        raise unknown("family", family, families)
    return [{"name": name, "family": published.family, "resolution": architecture.input.resolution,
             "params": architecture.params, "macs": architecture.macs, "source": published.source,
             "rows": list(published.rows)} for name, published in ZOO.items() if family in (None, published.family)
            for architecture in (published.architecture(),)]


def _networks(family: str | None) -> Table:
    """Returns each network: parameters, multiply-adds, its paper and the published rows that have these figures."""
    table = Table(box=box.SIMPLE_HEAD, caption_justify="left")
    table.add_column("name", no_wrap=True)
    table.add_column("input", justify="right")
    table.add_column("params", justify="right")
    table.add_column("MACs (M)", justify="right")
    table.add_column("source, = rows with these figures")
    for row in zoo_rows(family):
        table.add_row(row["name"], str(row["resolution"]), f"{row['params']:,}", f"{row['macs'] / 1e6:,.1f}",
                      "\n= ".join((row["source"], *row["rows"])))
    table.caption = f"{count_of(table.row_count, 'network')}; `nas show NAME` lists the layers of one"
    return table
