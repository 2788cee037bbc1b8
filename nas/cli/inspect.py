"""The commands that show the front of a run, the layers of an architecture, the costs in a space."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.cli.options import Data, Resolution, RunArgument, SkipBroken, Targets, budget_options, given, with_options


def show_front(
    run: RunArgument,
    json: Annotated[bool, typer.Option("--json", help="print every candidate as JSON")] = False,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="write every candidate to a CSV file",
                                             show_default=False)] = None,
    png: Annotated[Path | None, typer.Option(help="draw accuracy against latency", show_default=False)] = None,
) -> None:
    """Show the Pareto front of a run, finished or not."""
    from evaluators.machine.files import write_whole
    from nas.api import Run
    from nas.cli.terminal import console_on_stdout, print_front
    from nas.report.records import rows, to_csv, to_json

    found = Run.open(run)
    if png is not None:
        found.plot(png)
    records = rows(found.candidates(), found.config.objectives)
    if csv is not None:
        write_whole(csv, to_csv(records).encode())
    if json:
        sys.stdout.write(to_json(records))
    else:
        print_front(found, console_on_stdout())


def show_layers(
    what: Annotated[str, typer.Argument(metavar="ARCHITECTURE|NAME|FILE.safetensors|DIR", help="text of an "
                                        "architecture, published network, file of one, or run directory, whose winner "
                                        "is shown")],
    trial: Annotated[int | None, typer.Option(help="show this trial of the run", show_default=False)] = None,
) -> None:
    """Show the layers of an architecture: shapes, parameters, multiply-adds."""
    from nas.cli.terminal import console_on_stdout
    from nas.export.named_network import named_network
    from nas.report.layers import forms_table, layer_table
    from nas.run.directory import RunDirectory
    from search_spaces.architecture import Architecture

    if trial is not None or (os.path.isdir(what) and RunDirectory(Path(what)).exists):  # noqa: PTH112 - false for a text too long for a path
        architecture = Architecture.parse(_text_of(what, trial))
    else:
        architecture = named_network(what).architecture
    console = console_on_stdout()
    console.print(architecture.text, soft_wrap=True, highlight=False)
    console.print(layer_table(architecture))
    forms = forms_table(architecture)
    if forms is not None:
        console.print(forms)


def _text_of(run: str, trial: int | None) -> str:
    from nas.api import Run
    from search_spaces.errors import InvalidInput

    found = Run.open(run)
    chosen = found.best() if trial is None else next((c for c in found.candidates() if c.trial == trial), None)
    if chosen is None:
        raise InvalidInput(f"a run with such a trial is meant, but '{run}' has no "
                           + ("winner yet" if trial is None else f"trial {trial}"))
    return chosen.architecture


@with_options(limits=budget_options())
def show_space(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="ready space, or FILE.toml")],
    *,
    data: Data = None, skip_broken: SkipBroken = None, resolution: Resolution = None, target: Targets = None,
    limits: dict[str, Any],
    seed: Annotated[int, typer.Option(help="of the members that are drawn")] = 0,
) -> None:
    """Show the size of a space and what its members cost, and whether budgets can be met."""
    from nas.cli.terminal import Terminal, console_on_stdout
    from nas.engine.setting import setting_of
    from nas.measuring.meters import file_gauges
    from nas.measuring.survey import require_feasible, survey
    from nas.problem.budgets import parse_limits
    from nas.report.space import survey_table
    from nas.run.config import SearchConfig

    config = SearchConfig(space=name, seed=seed, **parse_limits(limits),
                          **given(data=data, skip_broken=skip_broken, resolution=resolution, target=target))
    bound = setting_of(config).space
    console, budgets = console_on_stdout(), config.budgets(config.latency_ms)
    console.print(f"{name}: {float(bound.size):.3g} architectures, {len(bound.parameters)} choices", highlight=False,
                  soft_wrap=True)
    with Terminal(console) as monitor, file_gauges(config.targets) as gauges:
        monitor.show(survey_table(survey(bound, gauges, seed, progress=monitor.progress)))
        if budgets.limits:
            member = require_feasible(bound, budgets, gauges, seed, monitor.progress)
            monitor.say(f"{budgets}: can be met, e.g. by {member.text}")
