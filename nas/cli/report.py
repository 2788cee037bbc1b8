"""The command that writes a report."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import RunArgument


def write_report(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", show_default=False, help="where to; - is standard "
                                             "output  [report.html in the run directory]")] = None,
) -> None:
    """Write a report of a run, finished or not: one HTML file that needs no network."""
    from evaluators.machine.files import STDOUT, write_whole
    from nas.problem.quantities import format_bytes
    from nas.report.html.findings import findings_of
    from nas.report.html.page import report
    from nas.run.directory import RunDirectory

    directory = RunDirectory.existing(run)
    place, content = out or directory.path / "report.html", report(findings_of(directory))
    write_whole(place, content)
    if place not in STDOUT:
        typer.echo(f"{place}: {format_bytes(len(content))}")
