"""The command that writes a report."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import RunArgument

if TYPE_CHECKING:
    from nas.report.html.findings import Findings
    from nas.run.directory import RunDirectory


def write_report(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", show_default=False, help="where to; - is standard "
                                             "output  [report.html in the run directory]")] = None,
    time_blocks: Annotated[bool, typer.Option("--time-blocks", help="measure first what each block of the network that "
                                              "is drawn takes on the first target")] = False,
    live: Annotated[bool, typer.Option("--live", help="serve it to browsers of this machine instead, following the "
                                       "search until Ctrl-C")] = False,
    dashboard: Annotated[bool, typer.Option("--dashboard", help="serve optuna-dashboard for its trials instead (extra "
                                            "`dashboard`)")] = False,
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
    require(live + dashboard + (out is not None) <= 1, "one of `--out`, `--live` and `--dashboard` is taken at a time")
    require(live or dashboard or port is None, f"a port is of what is served, but got {port} for a file")
    if time_blocks:
        _time_blocks(findings_of(directory), directory.path)
    if live or dashboard:
        _serve(directory, dashboard, port)
        return
    place, content = out or directory.place("report.html"), report(findings_of(directory))
    write_whole(place, content)
    if place not in STDOUT:
        typer.echo(f"{place}: {format_bytes(len(content))}")


def _serve(run: "RunDirectory", dashboard: bool, port: int | None) -> None:
    from nas.report.dashboard import SHOWN, dashboard_server
    from nas.report.html.live import live_server

    os.nice(10)  # a search is to have its machine
    server, address = dashboard_server(run, port) if dashboard else live_server(run.path, port)
    with server:
        typer.echo(f"{address}\nserved on this machine only, to who has this address; Ctrl-C ends it")
        if dashboard:
            typer.echo(SHOWN)
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
