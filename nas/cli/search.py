"""The command that searches."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from evaluators.recipe import TEACHING, UNTAUGHT, Recipe
from nas.cli.options import (
    AUGMENTATION,
    REPEATED,
    Data,
    MetricName,
    Precision,
    Resolution,
    SkipBroken,
    Targets,
    Trust,
    budget_options,
    given,
    listed,
    recipe_options,
    recipe_settings,
    search_limits,
    with_options,
)

Storage = Annotated[str | None, typer.Option(
    metavar="URL", help="keep the trials in a database, postgresql://user@host/name  [the run directory]",
    show_default=False, hidden=True)]
Study = Annotated[str | None, typer.Option(
    metavar="NAME", help="name of the study there  [that of the run directory]", show_default=False, hidden=True)]
course = partial(typer.Option, show_default=False, rich_help_panel="Course of the search")


@with_options(limits=budget_options(percentiles=True), recipe=recipe_options(
    Recipe(), parts=UNTAUGHT, epochs="epochs of each; more for few images and early stopping", batch="images in a "
    "training step", augmentation=AUGMENTATION, compile="what is compiled at a time: blocks, shared by candidates, "
    "network, or auto: blocks on CPU, else the faster one, measured", seed="of data split, strategy and training"))
def search_space(
    *,
    space: Annotated[str | None, typer.Option(help="ready space, or FILE.toml  [fitted]", show_default=False)] = None,
    data: Data = None, skip_broken: SkipBroken = None, resolution: Resolution = None, target: Targets = None,
    metric: MetricName = None, precision: Precision = None,
    limits: dict[str, Any],
    objectives: Annotated[str | None, course(
        help="accuracy, alone or with latency, macs or params  [accuracy,latency]")] = None,
    start: Annotated[str | None, course(
        help="published networks, architectures or runs to try first, separated by commas; by-hand: published networks "
        "that fill the budgets; filled: members of the space that do; none  [by-hand,filled in the space fitted]",
        hidden=True)] = None,
    latency_from: Annotated[list[str] | None, course(
        help="predictor: time members of the space first, and no candidate that is surely over the budget; FILE of a "
        "saved predictor: the same with what it knows; timing: time all  [timing, and for commands what earlier "
        "timings leave in doubt]", metavar=REPEATED, hidden=True)] = None,
    strategy: Annotated[str | None, course(
        help="surrogate, random, qmc, grid, tpe, nsga2, nsga3, gp, evolution, local-search, or one of yours as "
        "module:Name  [surrogate]", hidden=True)] = None,
    evaluator: Annotated[str | None, course(
        help="training, or a function of yours as module:function  [training]", hidden=True)] = None,
    trials: Annotated[int | None, course(help="candidates to train  [20, unless --time or --patience]")] = None,
    time: Annotated[str | None, course(help="end after so long, interruptions left out (30m, 1.5h)")] = None,
    patience: Annotated[int | None, course(help="end when the front has not moved for so many candidates")] = None,
    recipe: dict[str, Any],
    early_stopping: Annotated[bool | None, course(
        "--early-stopping/--no-early-stopping",
        help="compare candidates on the way, let the best go on  [with --time alone; --no-early-stopping]")] = None,
    rungs: Annotated[str | None, course(
        help="epochs after which they are compared (1,3)  [a ninth of the training]", hidden=True)] = None,
    brackets: Annotated[int | None, course(
        help="rungs at which candidates may be compared first, as in Hyperband  [1]", hidden=True)] = None,
    workers: Annotated[int | None, course(help="candidates trained at a time  [--time: one a core; 1]")] = None,
    trial_time: Annotated[str | None, course(
        help="a candidate whose training takes longer fails (10m)  [no limit]", hidden=True)] = None,
    trial_memory: Annotated[str | None, course(
        help="a candidate fails whose training process takes more (4GB)  [no limit]", hidden=True)] = None,
    run: Annotated[str | None, typer.Option(
        metavar="DIR", help="run directory; a search that is there goes on  [runs/TIME]", show_default=False)] = None,
    storage: Storage = None, study: Study = None, trust: Trust = False,
) -> None:
    """Search a space under budgets. Interrupted, the same command goes on."""
    from evaluators.machine.memory import use_huge_pages
    from nas.engine.successive_halving import parse_rungs
    from nas.run.config import SearchConfig

    directory = _directory(run, storage, study)
    stored = vars(directory.config) if directory.exists else {}
    config = SearchConfig(**{**stored, **search_limits(limits), **recipe_settings(recipe, TEACHING), **given(
        space=space, data=data, skip_broken=skip_broken, resolution=resolution, target=target, metric=metric,
        precision=precision, strategy=strategy, evaluator=evaluator, trials=trials, patience=patience,
        early_stopping=early_stopping, brackets=brackets, workers=workers, latency_from=latency_from,
        rungs=parse_rungs(rungs) if rungs is not None else None,
        **_limits(time, trial_time, trial_memory),
        objectives=listed("objectives", objectives) if objectives is not None else None,
        start=listed("start", start) if start is not None else None)})
    use_huge_pages()
    _search(config, directory, trust or tuple(given(evaluator=evaluator, strategy=strategy, target=target)))


def _directory(run: str | None, storage: str | None, study: str | None) -> Any:
    """Returns the run directory of a search, the trials of which may be elsewhere."""
    from nas.api import new_run_directory
    from nas.run.directory import RunDirectory
    from nas.run.server import StudyDatabase

    found = RunDirectory(Path(run) if run is not None else new_run_directory())
    if not storage:
        return found
    return RunDirectory(found.path, StudyDatabase(storage, study or found.study_name or found.path.name))


def _limits(time: str | None, trial_time: str | None, trial_memory: str | None) -> dict[str, float | None]:
    """Returns the limits of a search and of its trials, by their fields."""
    from nas.problem.quantities import parse_bytes, parse_duration_s

    return {"time_s": parse_duration_s(time) if time is not None else None,
            "trial_time_s": parse_duration_s(trial_time, "trial-time") if trial_time is not None else None,
            "trial_memory_bytes": parse_bytes(trial_memory, "trial-memory") if trial_memory is not None else None}


def _search(config: Any, directory: Any, trust: Any) -> None:
    from nas.api import Run
    from nas.cli.terminal import Terminal, console_on_stdout, print_front
    from nas.engine.search import run_search

    console = console_on_stdout()
    run, path = Run(directory), directory.path
    try:
        with Terminal(console, config.trials) as monitor:
            monitor.say(f"run: {path}")
            run_search(config, path, monitor, trust=trust, elsewhere=directory.elsewhere)
    except KeyboardInterrupt:
        if run.directory.exists:
            print_front(run, console)
        console.print(f"interrupted; `nas search --run {path}` goes on", highlight=False, soft_wrap=True)
        raise
    run.directory.outlasting(monitor.say, lambda: print_front(run, console))
