"""The commands that show runs, architectures and spaces, and compare spaces and scores."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evaluators.recipe import FINAL_EPOCHS, Recipe
from nas.cli.options import (
    AUGMENTATION,
    Data,
    MetricName,
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
from nas.cli.output import Csv, Json, Output, Png, Svg
from search_spaces.numbers import count_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nas.measuring.blocks import BlockTimes
    from nas.run.directory import RunDirectory
    from search_spaces.architecture import Architecture


def show_front(run: RunArgument, json: Json = False, csv: Csv = None, png: Png = None, svg: Svg = None) -> None:
    """Show the Pareto front of a run, finished or not. JSON and CSV have every candidate."""
    from nas.api import Run
    from nas.cli.terminal import print_front
    from nas.report.records import COLUMNS, rows

    found, output = Run.open(run), Output(json, csv, png, svg)
    candidates = found.candidates()

    def draw() -> "Figure":
        from nas.report.plot import draw_front

        return draw_front(candidates, found.budgets, found.config.objectives,
                          easy_accuracy=found.directory.resolved.easy_accuracy)

    output.write(rows(candidates, found.config.objectives), COLUMNS, draw)
    if (png or svg) and candidates and not any(candidate.latency_ms for candidate in candidates):
        output.console.print("the picture is empty: it is of accuracy against latency, but no candidate has one; "
                             "`nas report` draws other costs")
    if not output.takes_stdout:
        print_front(found, output.console)


def show_layers(
    what: Annotated[str, typer.Argument(metavar="ARCHITECTURE|NAME|FILE.safetensors|DIR", help="text of an "
                                        "architecture, published network, file of one, or run directory, whose winner "
                                        "is shown")],
    trial: Annotated[int | None, typer.Option(help="show this trial of the run", show_default=False)] = None,
    time_blocks: Annotated[bool, typer.Option("--time-blocks", help="measure what each block takes, some seconds a "
                                              "block; a run keeps it, and shows it from then on")] = False,
    target: Annotated[str | None, typer.Option(help="runtime to measure on  [that of the run, or onnxruntime]",
                                               show_default=False)] = None,
    json: Json = False, csv: Csv = None,
) -> None:
    """Show the layers of a network. Each has a shape, parameters and multiply-adds, a block a measured time."""
    from nas.export.named_network import named_network
    from nas.report.layers import forms_table, layer_rows, layer_table, time_table
    from nas.run.directory import RunDirectory
    from search_spaces.architecture import Architecture
    from search_spaces.errors import require

    output, run = Output(json, csv), None
    require(time_blocks or target is None, f"`--target` is where `--time-blocks` measures, but got '{target}' alone")
    if trial is not None or (os.path.isdir(what) and RunDirectory(Path(what)).exists):  # noqa: PTH112 - false for a text too long for a path
        run, architecture = RunDirectory(Path(what)), Architecture.parse(_text_of(what, trial))
    else:
        architecture = named_network(what).architecture
    times = _times_of(architecture, run, time_blocks, target) if time_blocks or run else None
    output.write(layer_rows(architecture, times))
    if output.takes_stdout:
        return
    output.console.print(architecture.text, soft_wrap=True, highlight=False)
    for table in (layer_table(architecture), time_table(architecture, times) if times else None,
                  forms_table(architecture)):
        if table is not None:
            output.console.print(table)


def _times_of(architecture: "Architecture", run: "RunDirectory | None", measured: bool, target: str | None
              ) -> "BlockTimes | None":
    """Returns the times of the blocks of a network, measured now or as its run has recorded them."""
    from evaluators.runtimes import parse_target
    from nas.cli.terminal import Terminal, console_on_stderr
    from nas.measuring.blocks import BLOCKS, recorded_times, time_blocks

    record = run.place(BLOCKS) if run else None
    targets = run.config.targets if run and not target else (parse_target(target or "onnxruntime").text,)
    if measured:
        with Terminal(console_on_stderr()) as monitor:
            return time_blocks(architecture, targets[0], record, monitor.progress)
    known = (recorded_times(record, architecture, one) for one in targets if record)
    return next(filter(None, known), None)


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
    json: Json = False, csv: Csv = None,
) -> None:
    """Show the size of a space and the costs of its members. Budgets are said to be met or not."""
    from nas.cli.terminal import Terminal
    from nas.engine.setting import setting_of
    from nas.measuring.meters import file_gauges
    from nas.measuring.survey import require_feasible, survey
    from nas.problem.budgets import parse_limits
    from nas.report.space import survey_rows, survey_table
    from nas.run.config import SearchConfig
    from search_spaces.numbers import rounded

    output = Output(json, csv)
    config = SearchConfig(space=name, seed=seed, **parse_limits(limits),
                          **given(data=data, skip_broken=skip_broken, resolution=resolution, target=target))
    bound = setting_of(config).space
    console, budgets = output.console, config.budgets(config.latency_ms)
    console.print(f"{name}: {rounded(bound.size, 3)} architectures, {count_of(len(bound.parameters), 'choice')}",
                  highlight=False, soft_wrap=True)
    with Terminal(console) as monitor, file_gauges(config.targets) as gauges:
        member = require_feasible(bound, budgets, gauges, seed, monitor.progress) if budgets.limits else None
        found = survey(bound, gauges, seed, progress=monitor.progress)
        monitor.show(survey_table(found))
        if member:
            monitor.say(f"{budgets}: can be met, e.g. by {member.text}")
    output.write(survey_rows(found))


@with_options(limits=budget_options(), recipe=recipe_options(
    Recipe(), batch="images in a training step", augmentation=AUGMENTATION,
    seed="of members, data split and trainings"))
def correlate_scores(
    what: Annotated[str, typer.Argument(metavar="DIR|NAME|FILE.toml", help="a run, whose space, data and budgets are "
                                        "taken, or a space")],
    *,
    data: Data = None, skip_broken: SkipBroken = None, resolution: Resolution = None, target: Targets = None,
    metric: MetricName = None,
    limits: dict[str, Any],
    evaluator: Annotated[str | None, typer.Option(
        help="training, or a function of yours as module:function  [training]", show_default=False,
        hidden=True)] = None,
    epochs: Annotated[str | None, typer.Option(help="lengths of brief trainings, such as 1,3,9  [that of DIR, or of a "
                                               "search that stops none]", show_default=False)] = None,
    to: Annotated[int | None, typer.Option(help="length of the training to the end  [20, or twice a brief one that is "
                                           "longer]", show_default=False)] = None,
    members: Annotated[int, typer.Option(help="random members of the space within the budgets")] = 20,
    seeds: Annotated[int, typer.Option(help="trainings of each length")] = 2,
    record: Annotated[Path | None, typer.Option(help="file of the scores, to go on with  [DIR/correlation.json, or "
                                                "NAME.correlation.json]", show_default=False)] = None,
    recipe: dict[str, Any],
    trust: Trust = False, json: Json = False, csv: Csv = None,
) -> None:
    """Show how brief trainings rank networks, against whole ones. Multiply-adds and parameters rank them too."""
    from evaluators.datasets.metrics import METRICS
    from nas.cli.terminal import Terminal
    from nas.engine.correlation import CORRELATION, correlate, recommendation
    from nas.engine.setting import setting_of, setting_of_run
    from nas.engine.successive_halving import parse_rungs
    from nas.problem.budgets import parse_limits
    from nas.report.correlation import ranking_rows, ranking_table
    from nas.run.config import SearchConfig
    from nas.run.directory import RunDirectory
    from nas.run.trust import commands_of, evaluator_of, require_trusted
    from search_spaces.errors import require

    output = Output(json, csv)
    own = {**parse_limits(limits), **recipe, **given(skip_broken=skip_broken, resolution=resolution, target=target,
                                                     metric=metric, evaluator=evaluator)}
    run = RunDirectory(Path(what))
    if run.exists:
        require(not own, f"a run has its own space, data, budgets and recipe, but got {', '.join(own)}")
        config, budgets, place = run.config, run.budgets, run.place(CORRELATION)
        require_trusted(run.path, run.identity, (*evaluator_of(config), *commands_of(budgets.measured)), trust)
        setting = setting_of_run(run, data)
    else:
        config = SearchConfig(space=what, **own, **given(data=data))
        setting = setting_of(config)
        budgets, place = config.budgets(config.latency_ms), Path(f"{Path(what).stem}.{CORRELATION}")
    lengths = parse_rungs(epochs) if epochs is not None else (setting.epochs,)
    if to is None:
        to = FINAL_EPOCHS if max(lengths) < FINAL_EPOCHS else 2 * max(lengths)
    with Terminal(output.console) as monitor:
        found = correlate(config, budgets, record or place, lengths, to=to, count=members, seeds=seeds,
                          setting=setting, monitor=monitor)
        monitor.show(ranking_table(found, to, METRICS[config.metric]))
        monitor.say(recommendation(found))
    output.write(ranking_rows(found))


@with_options(limits=budget_options(), recipe=recipe_options(
    Recipe(), epochs="of each training; more where images are few", batch="images in a training step",
    augmentation=AUGMENTATION, seed="of members, data split and trainings"))
def compare_spaces(
    spaces: Annotated[list[str], typer.Argument(metavar="NAME|FILE.toml...", help="the spaces")],
    *,
    data: Data = None, skip_broken: SkipBroken = None, resolution: Resolution = None, target: Targets = None,
    metric: MetricName = None,
    limits: dict[str, Any],
    members: Annotated[int, typer.Option(help="random members of each space that fill the budget")] = 20,
    record: Annotated[Path, typer.Option(help="file of the scores, to go on with")] = Path("spaces.json"),
    json: Json = False, csv: Csv = None, png: Png = None, svg: Svg = None,
    recipe: dict[str, Any],
) -> None:
    """Compare spaces by random members that fill a budget. Published networks that do stand beside them."""
    from nas.cli.terminal import Terminal
    from nas.engine.distributions import compare
    from nas.engine.setting import setting_of
    from nas.problem.budgets import parse_limits
    from nas.report.distributions import distribution_rows, distribution_table, draw_distributions, verdict
    from nas.run.config import SearchConfig

    output = Output(json, csv, png, svg)
    config = SearchConfig(space=spaces[0], **parse_limits(limits), **recipe, **given(
        data=data, skip_broken=skip_broken, resolution=resolution, target=target, metric=metric))
    if config.epochs is None:
        config = dataclasses.replace(config, epochs=setting_of(config).epochs)
    budgets = config.budgets(config.latency_ms)
    with Terminal(output.console) as monitor:
        found = compare(spaces, config, budgets, record, count=members, monitor=monitor)
        monitor.show(distribution_table(found, budgets, config.recipe.epochs))
        monitor.say(verdict(found))
    output.write(distribution_rows(found), draw=lambda: draw_distributions(found, budgets, config.recipe.epochs))
