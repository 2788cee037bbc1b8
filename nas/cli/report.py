"""The command that writes a report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import RunArgument

if TYPE_CHECKING:
    from nas.report.html.findings import Findings


def write_report(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", show_default=False, help="where to; - is standard "
                                             "output  [report.html in the run directory]")] = None,
    time_blocks: Annotated[bool, typer.Option("--time-blocks", help="measure first what each block of the network that "
                                              "is drawn takes on the first target")] = False,
) -> None:
    """Write a report of a run, finished or not. It is one HTML file that needs no network."""
    from evaluators.machine.files import STDOUT, write_whole
    from nas.problem.quantities import format_bytes
    from nas.report.html.findings import findings_of
    from nas.report.html.page import report
    from nas.run.directory import RunDirectory

    directory = RunDirectory.existing(run)
    place, found = out or directory.place("report.html"), findings_of(directory)
    if time_blocks:
        _time_blocks(found, directory.path)
        found = findings_of(directory)
    content = report(found)
    write_whole(place, content)
    if place not in STDOUT:
        typer.echo(f"{place}: {format_bytes(len(content))}")


def _time_blocks(found: "Findings", directory: Path) -> None:
    from evaluators.machine.files import held
    from nas.cli.terminal import Terminal, console_on_stderr
    from nas.measuring.blocks import BLOCKS, time_blocks
    from search_spaces.errors import InvalidInput

    if found.shown is None:
        raise InvalidInput(f"the blocks of a winner are timed, but '{directory}' has none yet")
    with Terminal(console_on_stderr()) as monitor:
        time_blocks(found.architectures[found.shown.architecture], found.config.targets[0], held(directory, BLOCKS),
                    monitor.progress)
