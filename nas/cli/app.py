"""The command line: one short function a command. Nothing heavy is imported before a command needs it."""

import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli import latency

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130  # the exit status of programs that SIGINT ends
TERMINATED = 143  # and SIGTERM

LARGEST_IMPORT_DIFFERENCE = 1e-3

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False,
                  context_settings={"help_option_names": ["-h", "--help"]})
app.add_typer(latency.app, name="latency")

Space = Annotated[str | None, typer.Option(help="ready space, or FILE.toml  [mobile]", show_default=False)]
Data = Annotated[str | None, typer.Option(
    help="fashion-mnist; a path: .npz, a folder of IDX files or of images; or table:NAME:FILE  [fashion-mnist]",
    show_default=False)]
Resolution = Annotated[int | None, typer.Option(help="resize the images to so many pixels", show_default=False)]
Targets = Annotated[list[str] | None, typer.Option(
    "--target", help="runtime the winner is shipped on, such as onnxruntime:threads=2; given again for further ones, "
    "each with budgets of its own in the same order  [onnxruntime]", show_default=False)]
Latencies = Annotated[list[str] | None, typer.Option(
    "--latency", help="latency budget with its unit (0.1ms, 80us), or a percentile of the space (p30)",
    show_default=False)]
LatenciesP95 = Annotated[list[str] | None, typer.Option(
    "--latency-p95", help="budget of the 95th percentile of single runs (0.12ms)", show_default=False)]
Throughputs = Annotated[list[str] | None, typer.Option(
    "--throughput", help="images per second that are wanted at least, at the target's batch (5000)",
    show_default=False)]
Macs = Annotated[str | None, typer.Option(help="budget of multiply-adds (20M)", show_default=False)]
Params = Annotated[str | None, typer.Option(help="budget of parameters (500k)", show_default=False)]
Memory = Annotated[str | None, typer.Option(help="budget of live activations (1MB)", show_default=False)]
Size = Annotated[str | None, typer.Option(help="budget of the model file (2MB)", show_default=False)]
RunArgument = Annotated[str, typer.Argument(metavar="DIR", help="run directory")]


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="show tracebacks")] = False) -> None:
    """Search for the network that is most accurate within a latency budget, and export it with a certificate."""


@app.command()
def search(
    space: Space = None, data: Data = None, resolution: Resolution = None, target: Targets = None,
    latency: Latencies = None, latency_p95: LatenciesP95 = None, throughput: Throughputs = None,
    macs: Macs = None, params: Params = None, memory: Memory = None, size: Size = None,
    objectives: Annotated[str | None, typer.Option(
        help="accuracy, alone or with latency, macs or params  [accuracy,latency]", show_default=False)] = None,
    start: Annotated[str | None, typer.Option(
        help="published networks, architectures or runs to try first, separated by commas", show_default=False)] = None,
    latency_from: Annotated[list[str] | None, typer.Option(
        help="predictor: time members of the space first, and no candidate that is surely over the budget; FILE of a "
        "saved predictor: the same with what it knows; timing: time all  [timing, and for commands what earlier "
        "timings leave in doubt]", show_default=False)] = None,
    strategy: Annotated[str | None, typer.Option(
        help="surrogate, random, qmc, grid, tpe, nsga2, nsga3, gp, evolution, local-search, or an Optuna sampler of "
        "yours as module:Sampler  [surrogate]", show_default=False)] = None,
    evaluator: Annotated[str | None, typer.Option(
        help="training, or a function of yours as module:function  [training]", show_default=False)] = None,
    trials: Annotated[int | None, typer.Option(
        help="distinct candidates to train  [20, or no limit with --time or --patience]", show_default=False)] = None,
    time: Annotated[str | None, typer.Option(
        help="end after so long, interruptions left out (30m, 1.5h)", show_default=False)] = None,
    patience: Annotated[int | None, typer.Option(
        help="end when the front has not moved for so many candidates", show_default=False)] = None,
    epochs: Annotated[int | None, typer.Option(help="epochs that each is trained for  [3]",
                                               show_default=False)] = None,
    early_stopping: Annotated[bool | None, typer.Option(
        "--early-stopping", help="compare candidates on the way, let the best go on", show_default=False)] = None,
    rungs: Annotated[str | None, typer.Option(
        help="epochs after which they are compared (1,3)  [a ninth of the training]", show_default=False)] = None,
    brackets: Annotated[int | None, typer.Option(
        help="rungs at which candidates may be compared first, as in Hyperband  [1]", show_default=False)] = None,
    batch: Annotated[int | None, typer.Option(help="images in a training step  [64]", show_default=False)] = None,
    augmentation: Annotated[str | None, typer.Option(
        help="none, shift or shift-flip  [shift]", show_default=False)] = None,
    compile: Annotated[str | None, typer.Option(
        help="what is compiled at a time: blocks, shared by candidates, network, or auto  [auto: blocks on CPU, else "
        "the faster one, measured]", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="of data split, strategy and training  [0]",
                                             show_default=False)] = None,
    workers: Annotated[int | None, typer.Option(
        help="candidates trained at a time, each on its share of the cores  [1]", show_default=False)] = None,
    run: Annotated[str | None, typer.Option(
        metavar="DIR", help="run directory; a search that is there goes on  [runs/TIME]", show_default=False)] = None,
) -> None:
    """Search a space under budgets; interrupt it at any time, the same command goes on."""
    from evaluators.machine.memory import use_huge_pages
    from nas.api import new_run_directory
    from nas.engine.successive_halving import parse_rungs
    from nas.problem.budgets import parse_duration_s
    from nas.run.config import SearchConfig
    from nas.run.directory import RunDirectory

    directory = RunDirectory(Path(run) if run is not None else new_run_directory())
    given = {"space": space, "data": data, "resolution": resolution, "target": tuple(target) if target else None,
             "strategy": strategy, "evaluator": evaluator, "trials": trials, "epochs": epochs, "batch": batch,
             "early_stopping": early_stopping, "brackets": brackets,
             "rungs": parse_rungs(rungs) if rungs is not None else None,
             "augmentation": augmentation, "compile": compile, "seed": seed, "patience": patience, "workers": workers,
             "time_s": parse_duration_s(time) if time is not None else None,
             "objectives": tuple(objectives.split(",")) if objectives is not None else None,
             "latency_from": tuple(latency_from) if latency_from else None,
             "start": tuple(start.split(",")) if start is not None else None,
             **_limits(latency, latency_p95, throughput, macs, params, memory, size)}
    given = {name: value for name, value in given.items() if value is not None}
    stored = dict(vars(directory.config)) if directory.exists else {}
    if latency:  # a budget in milliseconds takes the place of a percentile, and the other way round
        stored |= {"latency_ms": None, "latency_percentile": None}
    config = SearchConfig(**{**stored, **given})
    use_huge_pages()
    _search(config, directory.path)


def _search(config: Any, path: Path) -> None:
    from nas.api import Run
    from nas.cli.terminal import Terminal
    from nas.engine.search import run_search

    console = _console()
    with Terminal(console, config.trials) as monitor:
        monitor.say(f"run: {path}")
        try:
            run_search(config, path, monitor)
        except KeyboardInterrupt:
            monitor.say(f"interrupted; `nas search --run {path}` goes on")
            raise
    _print_front(Run.open(path), console)


@app.command()
def pareto(
    run: RunArgument,
    json: Annotated[bool, typer.Option("--json", help="print every candidate as JSON")] = False,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="write every candidate to a CSV file",
                                             show_default=False)] = None,
    png: Annotated[Path | None, typer.Option(help="draw accuracy against latency", show_default=False)] = None,
) -> None:
    """Show the Pareto front of a run, finished or not."""
    from evaluators.machine.files import write_whole
    from nas.api import Run
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
        _print_front(found, _console())


@app.command()
def show(
    what: Annotated[str, typer.Argument(metavar="ARCHITECTURE|NAME|FILE.safetensors|DIR", help="text of an "
                                        "architecture, published network, file of one, or run directory, whose winner "
                                        "is shown")],
    trial: Annotated[int | None, typer.Option(help="show this trial of the run", show_default=False)] = None,
) -> None:
    """Show the layers of an architecture: shapes, parameters, multiply-adds."""
    from nas.export.named_network import named_network
    from nas.report.layers import forms_table, layer_table
    from nas.run.directory import RunDirectory
    from search_spaces.architecture import Architecture

    if trial is not None or (os.path.isdir(what) and RunDirectory(Path(what)).exists):  # noqa: PTH112 - false for a text too long for a path
        architecture = Architecture.parse(_text_of(what, trial))
    else:
        architecture = named_network(what).architecture
    console = _console()
    console.print(architecture.text, soft_wrap=True, highlight=False)
    console.print(layer_table(architecture))
    forms = forms_table(architecture)
    if forms is not None:
        console.print(forms)


@app.command()
def zoo(family: Annotated[str | None, typer.Option(help="only networks of this family", show_default=False)] = None
        ) -> None:
    """List the published networks with parameters, multiply-adds, sources, and the published rows they reproduce."""
    from nas.report.zoo import zoo_report

    _console().print(zoo_report(family))


@app.command("import-weights")
def import_weights(
    name: Annotated[str, typer.Argument(metavar="NAME", help="published network, see `nas zoo`")],
    file: Annotated[Path, typer.Argument(metavar="FILE.safetensors", help="state dict of torchvision or timm")],
    out: Annotated[Path | None, typer.Option(help="where to  [NAME.imported.safetensors]", show_default=False)] = None,
    reference: Annotated[Path | None, typer.Option(
        help="npz file with images [B, H, W, C] and the logits that they should give", show_default=False)] = None,
    classes: Annotated[int | None, typer.Option(help="classes of the state dict", show_default=False)] = None,
) -> None:
    """Read pretrained weights into a published network."""
    from evaluators.networks.checkpoint import save_network
    from evaluators.networks.pretrained import import_weights, output_difference, read_reference, read_weights
    from search_spaces.errors import require
    from search_spaces.zoo import ZOO, load_network

    path = out or Path(f"{name}.imported.safetensors")
    require(path.resolve() != file.resolve(), f"weights are imported into another file, but got '{path}' for both")
    architecture = load_network(name, classes=classes)
    arrays = import_weights(architecture, read_weights(file), ZOO[name].family)
    console = _console()
    if reference is not None:
        difference = output_difference(architecture, arrays, *read_reference(reference))
        console.print(f"logits differ from the reference by at most {difference:.1e}, relative to the largest",
                      highlight=False)
        require(difference <= LARGEST_IMPORT_DIFFERENCE, f"imported weights must give the reference's logits to "
                f"{LARGEST_IMPORT_DIFFERENCE:g}, relative to the largest, but they differ by {difference:.1e}")
    save_network(architecture, arrays, path)
    console.print(f"{path}: {name}, {architecture.params:,} parameters", highlight=False, soft_wrap=True)


@app.command()
def space(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="ready space, or FILE.toml")],
    data: Data = None, resolution: Resolution = None, target: Targets = None,
    latency: Latencies = None, latency_p95: LatenciesP95 = None, throughput: Throughputs = None,
    macs: Macs = None, params: Params = None, memory: Memory = None, size: Size = None,
    seed: Annotated[int, typer.Option(help="of the members that are drawn")] = 0,
) -> None:
    """Show the size of a space and what its members cost, and whether budgets can be met."""
    from nas.cli.terminal import Terminal
    from nas.engine.search import bound_space
    from nas.measuring.meters import file_gauges
    from nas.measuring.survey import require_feasible, survey
    from nas.report.space import survey_table
    from nas.run.config import SearchConfig
    from search_spaces.errors import require

    given: dict[str, Any] = {"data": data, "resolution": resolution,
                             "target": tuple(target) if target else None,
                             **_limits(latency, latency_p95, throughput, macs, params, memory, size)}
    config = SearchConfig(space=name, seed=seed, **{key: value for key, value in given.items() if value is not None})
    require(config.latency_percentile is None, f"a budget is checked in milliseconds, but got {_quoted(latency)}")
    bound, _ = bound_space(config)
    console, budgets = _console(), config.budgets(config.latency_ms)
    console.print(f"{name}: {float(bound.size):.3g} architectures, {len(bound.parameters)} choices", highlight=False,
                  soft_wrap=True)
    with Terminal(console) as monitor, file_gauges(config.targets) as gauges:
        monitor.show(survey_table(survey(bound, gauges, seed, progress=monitor.progress)))
        if budgets.limits:
            member = require_feasible(bound, budgets, gauges, seed, monitor.progress)
            monitor.say(f"{budgets}: can be met, e.g. by {member.text}")


@app.command()
def export(
    run: RunArgument,
    trial: Annotated[int | None, typer.Option(help="export this trial instead of the winner",
                                              show_default=False)] = None,
    latency: Latencies = None, latency_p95: LatenciesP95 = None, throughput: Throughputs = None,
    macs: Macs = None, params: Params = None, memory: Memory = None, size: Size = None,
    format: Annotated[str, typer.Option(help="further formats: onnx, litert, stablehlo, flax")] = "flax",
    out: Annotated[Path | None, typer.Option(help="where to  [DIR/export]", show_default=False)] = None,
    epochs: Annotated[int, typer.Option(help="length of the final training")] = 20,
) -> None:
    """Train the winner to the end, write its files, prove that they meet the budget."""
    import dataclasses

    from evaluators.machine.memory import use_huge_pages
    from nas.api import Run
    from nas.cli.terminal import Terminal
    from search_spaces.errors import require

    found = Run.open(run)
    given = _limits_of_files(latency, latency_p95, throughput, macs, params, memory, size)
    require(epochs >= 1, f"`epochs` must be at least 1, but got {epochs}")
    budgets = dataclasses.replace(found.budgets, **given) if given else None
    use_huge_pages()
    console = _console()
    with Terminal(console) as monitor:
        exported = found.export(trial=trial, budgets=budgets, formats=_listed(format), out=out, epochs=epochs,
                                monitor=monitor)
    _print_certificate(exported, console)


@app.command()
def train(
    network: Annotated[str, typer.Argument(metavar="NAME|ARCHITECTURE|FILE.safetensors", help="published network, text "
                                           "of an architecture, or file of a network that was imported or exported")],
    data: Annotated[str | None, typer.Option(
        help="fashion-mnist, or a path: .npz, a folder of IDX files or of images  [fashion-mnist, and none with "
        "--epochs 0]", show_default=False)] = None,
    resolution: Annotated[int | None, typer.Option(
        help="pixels of the network and the images  [those of the data, for a published network; else its own]",
        show_default=False)] = None,
    classes: Annotated[int | None, typer.Option(help="classes of a network that is exported without data",
                                                show_default=False)] = None,
    target: Targets = None,
    latency: Latencies = None, latency_p95: LatenciesP95 = None, throughput: Throughputs = None,
    macs: Macs = None, params: Params = None, memory: Memory = None, size: Size = None,
    format: Annotated[str, typer.Option(help="further formats: onnx, litert, stablehlo, flax")] = "flax",
    out: Annotated[Path | None, typer.Option(help="where to  [NAME.trained]", show_default=False)] = None,
    epochs: Annotated[int, typer.Option(help="length of the training; 0 exports the network as it is")] = 20,
    batch: Annotated[int, typer.Option(help="images in a training step")] = 64,
    augmentation: Annotated[str, typer.Option(help="none, shift or shift-flip")] = "shift",
    compile: Annotated[str, typer.Option(
        help="what is compiled at a time: blocks, network, or auto, which measures on accelerators")] = "auto",
    seed: Annotated[int, typer.Option(help="of data split and training")] = 0,
) -> None:
    """Train a network without a search, and export it with a certificate as a winner is."""
    from evaluators.machine.memory import use_huge_pages
    from nas.cli.terminal import Terminal
    from nas.export.train import train as train_network
    from nas.problem.budgets import Budgets

    limits = _limits_of_files(latency, latency_p95, throughput, macs, params, memory, size)
    budgets = Budgets(**limits, targets=tuple(target)) if target else Budgets(**limits)
    use_huge_pages()
    console = _console()
    with Terminal(console) as monitor:
        exported = train_network(network, data=data, resolution=resolution, classes=classes, budgets=budgets,
                                 formats=_listed(format), out=out, epochs=epochs, batch=batch,
                                 augmentation=augmentation, compile=compile, seed=seed, monitor=monitor)
    _print_certificate(exported, console)


@app.command()
def certify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="directory of an export, or of a run that has one")],
    times: Annotated[int, typer.Option(help="how often to time the files")] = 2,
    apart: Annotated[str | None, typer.Option(help="how long to wait in between (2m)", show_default=False)] = None,
) -> None:
    """Time the files of an export again, each time in a fresh process, and judge them by all their timings."""
    from nas.cli.terminal import Terminal
    from nas.export.certificate import CERTIFICATE
    from nas.export.certificate import certify as certify_export
    from nas.problem.budgets import parse_duration_s

    own = directory / "export"
    directory = own if (own / CERTIFICATE).is_file() and not (directory / CERTIFICATE).is_file() else directory
    console = _console()
    with Terminal(console) as monitor:
        exported = certify_export(directory, times=times, apart_s=parse_duration_s(apart) if apart else 0.0,
                                  monitor=monitor)
    _print_certificate(exported, console)


def main() -> None:
    """Runs the command line: one line for what the user got wrong (status 2) or what failed (status 1)."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # so that temporary files are removed
    try:
        _require_own_packages()
        status = app(prog_name="nas", standalone_mode=False) or 0
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        status, line = _failure(error)
        print(f"nas: {line}", file=sys.stderr)
    if status == INTERRUPTED:  # typer makes this status out of an interruption
        print("nas: interrupted", file=sys.stderr)
    sys.exit(status)


def _failure(error: Exception) -> tuple[int, str]:
    """Returns the exit status and the line of an error."""
    from search_spaces.errors import InvalidInput

    if hasattr(error, "format_message"):  # typer's own, whose classes differ between its versions
        return 2, " ".join(error.format_message().split())
    line = " ".join(str(error).split())
    if isinstance(error, InvalidInput):
        return 2, line
    if isinstance(error, OSError) and error.strerror:
        return 2, f"{error.strerror}: '{error.filename2 or error.filename}'"
    if isinstance(error, RuntimeError):
        return 1, line
    return 1, f"{type(error).__name__}: {line} (`nas --debug COMMAND ...` shows where)"


def _require_own_packages() -> None:
    """Raises `RuntimeError` if another package of the same name would be imported instead of ours."""
    home = Path(__file__).resolve().parents[2]
    for name in ("search_spaces", "evaluators"):
        spec = find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).resolve().parent.parent != home:
            raise RuntimeError(f"the package '{name}' must lie in '{home}', but python finds "
                               f"'{spec.origin if spec else 'none'}'")


def _limits(latency: list[str] | None, latency_p95: list[str] | None, throughput: list[str] | None,
            macs: str | None, params: str | None, memory: str | None, size: str | None) -> dict[str, Any]:
    """Returns the limits of a configuration by field, None where none is given."""
    from nas.problem.budgets import NONE, parse_limits, parse_percentile

    percentiles = tuple(parse_percentile(text) for text in latency or ())
    limits_ms = [text if percentile is None else NONE
                 for text, percentile in zip(latency or (), percentiles, strict=True)]
    texts = {"latency": limits_ms, "latency_p95": latency_p95, "throughput": throughput, "macs": macs,
             "params": params, "memory": memory, "size": size}
    return {**parse_limits({name: text for name, text in texts.items() if text}),
            "latency_percentile": percentiles if set(percentiles) - {None} else None}


def _limits_of_files(latency: list[str] | None, *others: Any) -> dict[str, Any]:
    """Returns the limits that are given, as `_limits` does; a percentile of a space limits no file."""
    from search_spaces.errors import require

    limits = _limits(latency, *others)
    require(limits.pop("latency_percentile") is None, f"a budget of an export is in milliseconds, but got "
            f"{_quoted(latency)}")
    return {name: value for name, value in limits.items() if value is not None}


def _listed(texts: str) -> list[str]:
    return [text for text in texts.split(",") if text]


def _quoted(texts: list[str] | None) -> str:
    return ", ".join(f"'{text}'" for text in texts or ())


def _text_of(run: str, trial: int | None) -> str:
    from nas.api import Run
    from search_spaces.errors import InvalidInput

    found = Run.open(run)
    chosen = found.best() if trial is None else next((c for c in found.candidates() if c.trial == trial), None)
    if chosen is None:
        raise InvalidInput(f"a run with such a trial is meant, but '{run}' has no "
                           + ("winner yet" if trial is None else f"trial {trial}"))
    return chosen.architecture


def _print_front(run: Any, console: "Console") -> None:
    from nas.report.table import front_report
    from nas.report.terminal import plot_front

    candidates, objectives = run.candidates(), run.config.objectives
    console.print(plot_front(candidates, run.budgets, objectives, width=min(console.width, 100)))
    console.print(front_report(candidates, run.budgets, objectives))


def _print_certificate(exported: Any, console: "Console") -> None:
    """Prints the verdict on files; the exit status says it too."""
    from nas.report.certificate import certificate_report

    console.print(certificate_report(exported.certificate, exported.directory), soft_wrap=True)
    if not exported.met:
        raise typer.Exit(1)


def _console() -> "Console":
    from nas.cli.terminal import console_on_stdout

    return console_on_stdout()
