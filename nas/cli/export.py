"""The commands that deliver: the winner of a run, a named network, and a certificate of more timings."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from evaluators.recipe import FINAL_EPOCHS, PARTS, Recipe
from nas.cli.options import (
    AUGMENTATION,
    REPEATED,
    Formats,
    MetricName,
    Precision,
    RunArgument,
    SkipBroken,
    Targets,
    Trust,
    budget_options,
    given,
    listed,
    recipe_options,
    recipe_settings,
    with_options,
)

PreprocessInside = Annotated[bool | None, typer.Option(
    "--preprocess-inside", help="let files take bytes (uint8, NHWC) and normalise them themselves; not that of flax",
    show_default=False, hidden=True)]
AccuracyLoss = Annotated[float | None, typer.Option(
    help="percentage points that a file may be less accurate than the network  [1]", show_default=False, hidden=True)]
Seeds = Annotated[int | None, typer.Option(
    help="train the network from so many seeds in a row, state mean and deviation of its test accuracy, and deliver "
    "that of the first  [1]", show_default=False, hidden=True)]
TeacherOf = partial(typer.Option, "--teacher", metavar=REPEATED, show_default=False, hidden=True)


@with_options(limits=budget_options(), recipe=recipe_options(
    None, parts=PARTS, batch="images in a training step", augmentation=AUGMENTATION))
def export_best(
    run: RunArgument,
    *,
    trial: Annotated[int | None, typer.Option(help="export this trial instead of the winner",
                                              show_default=False)] = None,
    precision: Precision = None,
    limits: dict[str, Any],
    format: Formats = "flax",
    out: Annotated[Path | None, typer.Option(help="where to  [DIR/export]", show_default=False)] = None,
    epochs: Annotated[int | None, typer.Option(help="length of the final training  [20]", show_default=False)] = None,
    recipe: dict[str, Any],
    teacher: Annotated[list[str] | None, TeacherOf(
        help="learn from a trained network too: front, the most accurate candidate of the run, front:N, an ensemble of "
        "so many, a .safetensors file, or a NAME with imported weights; again for an ensemble")] = None,
    seeds: Seeds = None,
    finals: Annotated[str | None, typer.Option(
        metavar="N|off", help="candidates at most that are trained longer to choose the winner among those that the "
        "search cannot tell apart  [8]", show_default=False)] = None,
    accuracy_loss: AccuracyLoss = None,
    preprocess_inside: PreprocessInside = None,
    data: Annotated[str | None, typer.Option(help="where the data of the run are now, if they have moved",
                                             show_default=False)] = None,
    trust: Trust = False,
) -> None:
    """Train the winner to the end and certify its files."""
    import dataclasses

    from evaluators.machine.memory import use_huge_pages
    from nas.api import Run
    from nas.cli.terminal import Terminal, console_on_stdout
    from nas.export.finals import parse_finals
    from nas.problem.budgets import parse_limits

    settings = given(accuracy_loss=accuracy_loss, data=data, preprocess_inside=preprocess_inside, teacher=teacher,
                     precision=precision, seeds=seeds, finals=parse_finals(finals) if finals else None)
    found, formats = Run.open(run), listed("format", format)
    budgets = dataclasses.replace(found.budgets, **parse_limits(limits)) if limits else None
    use_huge_pages()
    console = console_on_stdout()
    with Terminal(console) as monitor:
        exported = found.export(trial=trial, budgets=budgets, formats=formats, out=out, trust=trust,
                                monitor=monitor, **recipe_settings(recipe | given(epochs=epochs)), **settings)
    _print_certificate(exported, console)


@with_options(limits=budget_options(), recipe=recipe_options(
    Recipe(FINAL_EPOCHS), parts=PARTS, epochs="length of the training; 0 exports the network as it is",
    batch="images in a training step", augmentation=AUGMENTATION,
    compile="what is compiled at a time: blocks, network, or auto, which measures on accelerators",
    seed="of data split and training"))
def train_named(
    network: Annotated[str, typer.Argument(metavar="NAME|ARCHITECTURE|FILE.safetensors", help="published network, text "
                                           "of an architecture, or file of a network that was imported or exported")],
    *,
    data: Annotated[str | None, typer.Option(
        help="fashion-mnist, or a path: .npz, a folder of IDX files or of images  [fashion-mnist, and none with "
        "--epochs 0]", show_default=False)] = None,
    skip_broken: SkipBroken = None,
    resolution: Annotated[int | None, typer.Option(
        help="pixels of the network and the images  [those of the data, for a published network; else its own]",
        show_default=False)] = None,
    classes: Annotated[int | None, typer.Option(help="classes of a network that is exported without data",
                                                show_default=False, hidden=True)] = None,
    target: Targets = None,
    metric: MetricName = None, precision: Precision = None,
    limits: dict[str, Any],
    format: Formats = "flax",
    out: Annotated[Path | None, typer.Option(help="where to  [NAME.trained]", show_default=False)] = None,
    accuracy_loss: AccuracyLoss = None,
    preprocess_inside: PreprocessInside = None,
    teacher: Annotated[list[str] | None, TeacherOf(
        help="learn from a trained network too: a .safetensors file, or a NAME with imported weights; again for an "
        "ensemble")] = None,
    seeds: Seeds = None,
    recipe: dict[str, Any],
) -> None:
    """Train and export a network without a search. It is certified as a winner is."""
    from evaluators.machine.memory import use_huge_pages
    from nas.cli.terminal import Terminal, console_on_stdout
    from nas.export.train import train
    from nas.problem.budgets import Budgets, parse_limits

    budgets, formats = Budgets(**parse_limits(limits), **given(targets=target)), listed("format", format)
    use_huge_pages()
    console = console_on_stdout()
    with Terminal(console) as monitor:
        exported = train(network, data=data, skip_broken=bool(skip_broken), resolution=resolution, classes=classes,
                         budgets=budgets, formats=formats, out=out, monitor=monitor, **recipe_settings(recipe),
                         **given(accuracy_loss=accuracy_loss, preprocess_inside=preprocess_inside, teacher=teacher,
                                 metric=metric, precision=precision, seeds=seeds))
    _print_certificate(exported, console)


@with_options(limits=budget_options(), recipe=recipe_options(
    Recipe(FINAL_EPOCHS), parts=PARTS, epochs="length of the final training", batch="images in a training step",
    augmentation=AUGMENTATION, compile="what is compiled at a time: blocks, network, or auto",
    seed="of data split and training"))
def compress_trained(
    network: Annotated[str, typer.Argument(metavar="RUN|DIR|FILE.safetensors", help="run, directory of an export, or "
                                           "file of a trained network")],
    *,
    data: Annotated[str | None, typer.Option(
        help="fashion-mnist, or a path: .npz, a folder of IDX files or of images  [those of the run or certificate]",
        show_default=False)] = None,
    skip_broken: SkipBroken = None,
    target: Annotated[list[str] | None, typer.Option(
        "--target", help="runtime that it is shipped on; again for further ones, with budgets in the same order  "
        "[those of the run or certificate]", metavar=REPEATED, show_default=False)] = None,
    limits: dict[str, Any],
    steps: Annotated[int | None, typer.Option(help="trainings between which it becomes smaller; more where these do "
                                              "not suffice  [4]", show_default=False)] = None,
    importance: Annotated[str | None, typer.Option(
        help="what is cut first: taylor, by the gradients of training images, or batch-norm, by its scales  [taylor]",
        show_default=False)] = None,
    low_rank: Annotated[float | None, typer.Option(
        metavar="SHARE", help="before any pruning, make 1x1 and dense layers two of a lower rank that keep this share "
        "of a kernel's energy, such as 0.8; needs no budget", show_default=False, hidden=True)] = None,
    format: Formats = "flax",
    out: Annotated[Path | None, typer.Option(help="where to  [RUN/compressed or NAME.compressed]",
                                             show_default=False)] = None,
    accuracy_loss: AccuracyLoss = None,
    preprocess_inside: PreprocessInside = None,
    recipe: dict[str, Any],
    trust: Trust = False,
) -> None:
    """Prune a trained network until it meets its budgets. Its files are certified."""
    import dataclasses

    from evaluators.machine.memory import use_huge_pages
    from nas.cli.terminal import Terminal, console_on_stdout
    from nas.export.compress import compress
    from nas.export.uncompressed import own_budgets
    from nas.problem.budgets import Budgets, parse_limits

    parsed, formats = parse_limits(limits), listed("format", format)
    budgets = (Budgets(**parsed, targets=tuple(target)) if target else
               dataclasses.replace(own_budgets(network), **parsed))
    use_huge_pages()
    console = console_on_stdout()
    with Terminal(console) as monitor:
        exported = compress(network, data=data, skip_broken=bool(skip_broken), budgets=budgets, formats=formats,
                            out=out, trust=trust, monitor=monitor, **recipe_settings(recipe), **given(
                                steps=steps, importance=importance, low_rank=low_rank, accuracy_loss=accuracy_loss,
                                preprocess_inside=preprocess_inside))
    _print_certificate(exported, console)


def time_again(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="directory of an export, or of a run that has one")],
    times: Annotated[int, typer.Option(help="how often to time the files")] = 2,
    apart: Annotated[str | None, typer.Option(help="how long to wait in between (2m)", show_default=False)] = None,
    trust: Trust = False,
) -> None:
    """Time the files of an export again. Each timing has a fresh process, and all of them together judge."""
    from nas.cli.terminal import Terminal, console_on_stdout
    from nas.export.certificate import CERTIFICATE
    from nas.export.timing_again import certify
    from nas.problem.quantities import parse_duration_s

    own = directory / "export"
    directory = own if (own / CERTIFICATE).is_file() and not (directory / CERTIFICATE).is_file() else directory
    console = console_on_stdout()
    with Terminal(console) as monitor:
        exported = certify(directory, times=times, apart_s=parse_duration_s(apart) if apart else 0.0, trust=trust,
                           monitor=monitor)
    _print_certificate(exported, console)


def _print_certificate(exported: Any, console: Any) -> None:
    """Prints the verdict on files; the exit status says it too."""
    from nas.report.certificate import certificate_report

    console.print(certificate_report(exported.certificate, exported.directory), soft_wrap=True)
    if not exported.met:
        raise typer.Exit(1)
