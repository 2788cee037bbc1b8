"""The costs of the members of a space, as a table."""

from rich import box
from rich.table import Table

from nas.measuring.survey import PERCENTILES, Survey
from nas.problem.quantities import QUANTITIES
from nas.report.records import Row


def survey_rows(survey: Survey) -> list[Row]:
    """Returns a row for each quantity with its percentiles, in the unit that it is stored in."""
    return [{"quantity": QUANTITIES[name.partition("@")[0]].field, "target": name.partition("@")[2] or None,
             **{f"p{percentile}": value for percentile, value in zip(PERCENTILES, survey.percentiles(name),
                                                                     strict=True)}} for name in survey.values]


def survey_table(survey: Survey) -> Table:
    """Returns a line for each quantity and a column for each percentile of it over the sample."""
    count = len(next(iter(survey.values.values())))
    table = Table(box=box.SIMPLE_HEAD, caption=f"percentiles of {count} random members", caption_justify="left")
    table.add_column("cost")
    for percentile in PERCENTILES:
        table.add_column({0: "least", 50: "median", 100: "most"}.get(percentile, f"p{percentile}"), justify="right")
    for name in survey.values:
        quantity, at, target = name.partition("@")
        table.add_row(f"{quantity} on {target}" if at else quantity,
                      *(QUANTITIES[quantity].scale.format(value) for value in survey.percentiles(name)))
    return table
