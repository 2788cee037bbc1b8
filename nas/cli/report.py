"""The command that writes a report."""

import contextlib
import os
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
    live: Annotated[bool, typer.Option("--live", help="serve it to browsers of this machine instead, following the "
                                       "search until Ctrl-C")] = False,
    port: Annotated[int | None, typer.Option(show_default=False, help="where to serve it  [any that is free]")] = None,
) -> None:
    """Write a report of a run, finished or not. It is one HTML file that needs no network."""
    from evaluators.machine.files import STDOUT, write_whole
    from nas.problem.quantities import format_bytes
    from nas.report.html.findings import findings_of
    from nas.report.html.page import report
    from nas.run.directory import RunDirectory
    from search_spaces.errors import require

    directory = RunDirectory.existing(run)
    require(live or port is None, f"a port is of a report that is served (`--live`), but got {port} for a file")
    require(not (live and out), f"a report is served or written, but got `--live` and '{out}'")
    if live:
        _serve(directory.path, port)
        return
    place, found = out or directory.place("report.html"), findings_of(directory)
    if time_blocks:
        _time_blocks(found, directory.path)
        found = findings_of(directory)
    content = report(found)
    write_whole(place, content)
    if place not in STDOUT:
        typer.echo(f"{place}: {format_bytes(len(content))}")


def _serve(run: Path, port: int | None) -> None:
    from nas.report.html.live import live_server

    os.nice(10)  # a search is to have its machine
    server, address = live_server(run, port)
    with server, contextlib.suppress(KeyboardInterrupt):
        typer.echo(f"{address}\nserved on this machine only, to who has this address; Ctrl-C ends it")
        server.serve_forever()


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
