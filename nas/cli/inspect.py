"""The commands that show runs, architectures and spaces, and compare spaces and scores."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from evaluators.recipe import FINAL_EPOCHS, Recipe
from nas.cli.options import (
    AUGMENTATION,
    Data,
    Resolution,
    RunArgument,
    SkipBroken,
    Targets,
    Trust,
    budget_options,
    given,
    recipe_options,
    with_options,
)


def show_front(
    run: RunArgument,
    json: Annotated[bool, typer.Option("--json", help="print every candidate as JSON")] = False,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", show_default=False, help="write every candidate to a CSV "
                                             "file; - is standard output")] = None,
    png: Annotated[Path | None, typer.Option(show_default=False, help="draw accuracy against latency; - is standard "
                                             "output")] = None,
) -> None:
    """Show the Pareto front of a run, finished or not."""
    from evaluators.machine.files import STDOUT, write_whole
    from nas.api import Run
    from nas.cli.terminal import console_on_stdout, print_front
    from nas.report.records import rows, to_csv, to_json
    from search_spaces.errors import require

    found = Run.open(run)
    into_stdout = [one for one in (csv, png) if one in STDOUT]
    require(len(into_stdout) + json <= 1, "standard output takes one of the CSV file, the PNG file and JSON")
    if png is not None:
        found.plot(png)
    records = rows(found.candidates(), found.config.objectives)
    if csv is not None:
        write_whole(csv, to_csv(records).encode())
    if json:
        sys.stdout.write(to_json(records))
    elif not into_stdout:
        print_front(found, console_on_stdout())


def show_layers(
    what: Annotated[str, typer.Argument(metavar="ARCHITECTURE|NAME|FILE.safetensors|DIR", help="text of an "
                                        "architecture, published network, file of one, or run directory, whose winner "
                                        "is shown")],
    trial: Annotated[int | None, typer.Option(help="show this trial of the run", show_default=False)] = None,
) -> None:
    """Show the layers of a network. Each has a shape, parameters and multiply-adds."""
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
    """Show the size of a space and the costs of its members. Budgets are said to be met or not."""
    from nas.cli.terminal import Terminal, console_on_stdout
    from nas.engine.setting import setting_of
    from nas.measuring.meters import file_gauges
    from nas.measuring.survey import require_feasible, survey
    from nas.problem.budgets import parse_limits
    from nas.report.space import survey_table
    from nas.run.config import SearchConfig
    from search_spaces.numbers import rounded

    config = SearchConfig(space=name, seed=seed, **parse_limits(limits),
                          **given(data=data, skip_broken=skip_broken, resolution=resolution, target=target))
    bound = setting_of(config).space
    console, budgets = console_on_stdout(), config.budgets(config.latency_ms)
    console.print(f"{name}: {rounded(bound.size, 3)} architectures, {len(bound.parameters)} choices", highlight=False,
                  soft_wrap=True)
    with Terminal(console) as monitor, file_gauges(config.targets) as gauges:
        member = require_feasible(bound, budgets, gauges, seed, monitor.progress) if budgets.limits else None
        monitor.show(survey_table(survey(bound, gauges, seed, progress=monitor.progress)))
        if member:
            monitor.say(f"{budgets}: can be met, e.g. by {member.text}")


@with_options(limits=budget_options(), recipe=recipe_options(
    Recipe(), batch="images in a training step", augmentation=AUGMENTATION,
    seed="of members, data split and trainings"))
def correlate_scores(
    what: Annotated[str, typer.Argument(metavar="DIR|NAME|FILE.toml", help="a run, whose space, data and budgets are "
                                        "taken, or a space")],
    *,
    data: Data = None, skip_broken: SkipBroken = None, resolution: Resolution = None, target: Targets = None,
    limits: dict[str, Any],
    evaluator: Annotated[str | None, typer.Option(
        help="training, or a function of yours as module:function  [training]", show_default=False,
        hidden=True)] = None,
    epochs: Annotated[str | None, typer.Option(help="lengths of brief trainings, such as 1,3,9  [that of searches]",
                                               show_default=False)] = None,
    to: Annotated[int, typer.Option(help="length of the training to the end")] = FINAL_EPOCHS,
    members: Annotated[int, typer.Option(help="random members of the space within the budgets")] = 20,
    seeds: Annotated[int, typer.Option(help="trainings of each length")] = 2,
    record: Annotated[Path | None, typer.Option(help="file of the scores, to go on with  [DIR/correlation.json, or "
                                                "NAME.correlation.json]", show_default=False)] = None,
    recipe: dict[str, Any],
    trust: Trust = False,
) -> None:
    """Show how brief trainings rank networks, against whole ones. Multiply-adds and parameters rank them too."""
    from nas.cli.terminal import Terminal, console_on_stdout
    from nas.engine.correlation import CORRELATION, correlate, recommendation
    from nas.engine.successive_halving import parse_rungs
    from nas.problem.budgets import parse_limits
    from nas.report.correlation import ranking_table
    from nas.run.config import PLACES, SearchConfig
    from nas.run.directory import RunDirectory
    from nas.run.trust import commands_of, evaluator_of, require_trusted
    from search_spaces.errors import require

    own = {**parse_limits(limits), **recipe, **given(data=data, skip_broken=skip_broken, resolution=resolution,
                                                     target=target, evaluator=evaluator)}
    run = RunDirectory(Path(what))
    if run.exists:
        require(not own, f"a run has its own space, data, budgets and recipe, but got {', '.join(own)}")
        config, budgets, place = run.config, run.budgets, run.place(CORRELATION)
        run.require_there(config, *PLACES)
        require_trusted(run.path, run.identity, (*evaluator_of(config), *commands_of(budgets.measured)), trust)
    else:
        config = SearchConfig(space=what, **own)
        budgets, place = config.budgets(config.latency_ms), Path(f"{Path(what).stem}.{CORRELATION}")
    lengths = parse_rungs(epochs) if epochs else (config.epochs,)
    console = console_on_stdout()
    with Terminal(console) as monitor:
        found = correlate(config, budgets, record or place, lengths, to=to, count=members, seeds=seeds, monitor=monitor)
        monitor.show(ranking_table(found, to))
        monitor.say(recommendation(found))


@with_options(limits=budget_options(), recipe=recipe_options(
    Recipe(), epochs="of each training", batch="images in a training step", augmentation=AUGMENTATION,
    seed="of members, data split and trainings"))
def compare_spaces(
    spaces: Annotated[list[str], typer.Argument(metavar="NAME|FILE.toml...", help="the spaces")],
    *,
    data: Data = None, skip_broken: SkipBroken = None, resolution: Resolution = None, target: Targets = None,
    limits: dict[str, Any],
    members: Annotated[int, typer.Option(help="random members of each space that fill the budget")] = 20,
    png: Annotated[Path | None, typer.Option(show_default=False, help="draw the distributions; - is standard "
                                             "output")] = None,
    record: Annotated[Path, typer.Option(help="file of the scores, to go on with")] = Path("spaces.json"),
    recipe: dict[str, Any],
) -> None:
    """Compare spaces by random members that fill a budget. Published networks that do stand beside them."""
    from evaluators.machine.files import STDOUT, followed, require_writable
    from nas.cli.terminal import Terminal, console_on_stderr, console_on_stdout
    from nas.engine.distributions import compare
    from nas.problem.budgets import parse_limits
    from nas.report.distributions import distribution_table, draw_distributions, verdict
    from nas.report.figure import require_picture, write_figure
    from nas.run.config import SearchConfig
    from search_spaces.errors import require

    if png is not None:
        require_picture(png)
        if png not in STDOUT:
            place = followed(png).parent
            require(place.is_dir(), f"a plot is written into a directory that is there, but got '{png}'")
            require_writable(place, "the place of a plot")
    config = SearchConfig(space=spaces[0], **parse_limits(limits), **recipe, **given(
        data=data, skip_broken=skip_broken, resolution=resolution, target=target))
    budgets = config.budgets(config.latency_ms)
    with Terminal(console_on_stderr() if png in STDOUT else console_on_stdout()) as monitor:
        found = compare(spaces, config, budgets, record, count=members, monitor=monitor)
        monitor.show(distribution_table(found, budgets, config.epochs))
        monitor.say(verdict(found))
    if png is not None:
        write_figure(png, draw_distributions(found, budgets, config.epochs))
