"""The command that examines a run directory."""

import json as text
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import RunArgument


def examine_run(
    run: RunArgument,
    repair: Annotated[bool, typer.Option("--repair", help="do what can be done, while nobody searches; nothing that is "
                                         "intact is taken away")] = False,
    json: Annotated[bool, typer.Option("--json", help="print what was found as JSON")] = False,
) -> None:
    """Say what is inconsistent in a run, searching or not."""
    from nas.export.doctor import examined, repaired

    path = Path(run)
    found = repaired(path) if repair else [(finding, None) for finding in examined(path)]
    if json:
        typer.echo(text.dumps([{"path": finding.path, "found": finding.words, "done": done,
                                "repairable": finding.repair is not None} for finding, done in found], indent=2))
    else:
        for finding, done in found:
            typer.echo(f"{finding.path}: {finding.words}" + (f"; {done}" if done else ""))
        if not found:
            typer.echo("sound")
        elif not repair and any(finding.repair for finding, _ in found):
            typer.echo(f"`nas doctor --repair {run}` does what can be done")
    if any(done is None for _, done in found):
        raise typer.Exit(1)
