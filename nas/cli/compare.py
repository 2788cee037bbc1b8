"""The command that compares runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.output import Csv, Json, Output, Png, Svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def compare_runs(
    runs: Annotated[list[str], typer.Argument(metavar="DIR", help="2 to 6 run directories; all are compared with the "
                                              "first")],
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", show_default=False, help="write a page of it that "
                                             "needs no network; - is standard output")] = None,
    json: Json = False, csv: Csv = None, png: Png = None, svg: Svg = None,
) -> None:
    """Compare runs by their fronts and winners. Differences have intervals."""
    from nas.report.fronts import compare_runs
    from nas.report.fronts_table import comparison_rows, comparison_table, plot_fronts, verdicts
    from nas.run.directory import RunDirectory

    output = Output(json, csv, png, svg, out)
    found = compare_runs([RunDirectory.existing(run) for run in runs])

    def draw() -> "Figure":
        from nas.report.fronts_figure import draw_fronts

        return draw_fronts(found)

    def page() -> bytes:
        from nas.report.html.fronts import comparison_page

        return comparison_page(found)

    output.write(comparison_rows(found), draw=draw, page=page)
    if not output.takes_stdout:
        output.console.print(plot_fronts(found))
        output.console.print(comparison_table(found))
        for line in (*verdicts(found), *found.remarks):
            output.console.print(line, highlight=False, soft_wrap=True)
