"""The commands under `nas latency`: a predictor of latency is fitted, asked, and checked."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.help import Contents, add_command
from nas.cli.options import Trust
from nas.cli.output import Csv, Json, Output
from search_spaces.numbers import count_of

if TYPE_CHECKING:
    from search_spaces.search_space import SearchSpace

app = typer.Typer(cls=Contents, no_args_is_help=True, rich_markup_mode=None,
                  help="Predict latencies on a target from few timed networks.",
                  epilog="nas latency fit --space mobile --out mobile.json")

PredictorFile = Annotated[Path, typer.Argument(metavar="FILE", help="predictor that `nas latency fit` has written")]
SpaceName = Annotated[str | None, typer.Option("--space", help="ready space, or FILE.toml", show_default=False)]
Data = Annotated[str, typer.Option(help="data that give the space its resolution, channels and classes")]
Resolution = Annotated[int | None, typer.Option(help="resize the images to so many pixels", show_default=False)]
Seed = Annotated[int, typer.Option(help="of the members that are drawn")]


def fit(
    out: Annotated[Path, typer.Option(metavar="FILE", help="where the predictor goes; timings are kept beside it")],
    space: SpaceName = None,
    target: Annotated[str | None, typer.Option(help="runtime, such as onnxruntime:threads=2  [onnxruntime]",
                                               show_default=False)] = None,
    networks: Annotated[int | None, typer.Option(help="members of the space to time  [150]",
                                                 show_default=False)] = None,
    rows: Annotated[list[Path] | None, typer.Option(
        metavar="FILE.csv", help="instead, a table of timed networks with the columns architecture and latency_ms; "
        "given again for further ones", show_default=False)] = None,
    data: Data = "fashion-mnist", resolution: Resolution = None, seed: Seed = 0,
) -> None:
    """Fit a predictor to timings of a space, or to a table of them. Timed are the members that tell most about all."""
    from evaluators.runtimes import is_predicting, parse_target, runtime_of
    from nas.cli.terminal import Terminal, console_on_stdout
    from nas.measuring.calibration import NETWORKS, fit_to_members, fit_to_tables
    from nas.measuring.meters import file_gauge
    from search_spaces.errors import require

    if rows:
        require(networks is None, f"`networks` are timed where no table is given, but got {networks} and '{rows[0]}'")
        found = fit_to_tables(rows, out, parse_target(target).text if target else "",
                              _bound(space, data, resolution) if space else None)
    else:
        to_time = parse_target(target or "onnxruntime")
        require(not is_predicting(runtime_of(to_time)), f"a table is given as `--rows`, but got '{to_time}' "
                "as a target to time")
        bound = _bound(space or "mobile", data, resolution)
        with Terminal(console_on_stdout()) as monitor, file_gauge(to_time) as gauge:
            found = fit_to_members(bound, to_time.text, gauge, out, NETWORKS if networks is None else networks, seed,
                                   monitor)
    on = f" on {found.target}" if found.target else ""
    console_on_stdout().print(f"{out}: learned from {count_of(len(found.rows), 'timing')}{on}", highlight=False,
                              soft_wrap=True)


def predict(
    file: PredictorFile,
    architectures: Annotated[list[str], typer.Argument(metavar="ARCHITECTURE...", help="texts of architectures, names "
                                                       "of published networks, or files of their weights")],
    json: Json = False, csv: Csv = None,
) -> None:
    """Print predicted latencies in ms, with 90 % intervals."""
    from evaluators.prediction.predictor import Predictor
    from nas.export.named_network import named_network
    from nas.report.predictor import prediction_lines, prediction_rows

    predictor, output = Predictor.load(file), Output(json, csv)
    asked = [named_network(what).architecture for what in architectures]
    predictions = predictor.predict(asked)
    output.write(prediction_rows(asked, predictions))
    for line in () if output.takes_stdout else prediction_lines(asked, predictions):
        output.console.print(line, highlight=False, soft_wrap=True)


def check(
    file: PredictorFile,
    networks: Annotated[int | None, typer.Option(help="members of the space to time  [30]", show_default=False)] = None,
    space: Annotated[str | None, typer.Option(help="ready space, or FILE.toml  [that of the predictor]",
                                              show_default=False)] = None,
    data: Data = "fashion-mnist", resolution: Resolution = None, seed: Seed = 0, trust: Trust = False,
    json: Json = False, csv: Csv = None,
) -> None:
    """Time networks that a predictor does not know, and compare."""
    from evaluators.prediction.predictor import Predictor
    from evaluators.runtimes import parse_target
    from nas.cli.terminal import Terminal
    from nas.measuring.calibration import CHECKED, require_trusted_command
    from nas.measuring.calibration import check as check_predictor
    from nas.measuring.meters import file_gauge
    from nas.report.predictor import check_rows, check_table
    from search_spaces.errors import require
    from search_spaces.space import Space

    predictor, output = Predictor.load(file), Output(json, csv)
    require(bool(space or predictor.space), f"a check needs `--space`, since '{file}' was learned from a table")
    require(bool(predictor.target), f"a check needs a target, but '{file}' states none; `nas latency fit --target`")
    require_trusted_command(predictor, file, trust)
    bound = _bound(space, data, resolution) if space else Space.parse(predictor.space)
    with Terminal(output.console) as monitor, file_gauge(parse_target(predictor.target)) as gauge:
        found = check_predictor(predictor, bound, gauge, CHECKED if networks is None else networks, seed, monitor)
        monitor.show(check_table(found))
    output.write(check_rows(found))


def _bound(space: str, data: str, resolution: int | None) -> "SearchSpace":
    """Returns a space bound to data, which may not be a table's: that brings its own networks."""
    from evaluators.benchmarks.tables import is_table
    from nas.engine.setting import setting_of
    from nas.run.config import SearchConfig
    from search_spaces.errors import require

    require(not is_table(data), f"latencies are those of a space, but got '{data}'")
    return setting_of(SearchConfig(space=space, data=data, resolution=resolution)).space


for _name, _command, _example in (
        ("fit", fit, "nas latency fit --space mobile --target onnxruntime --out mobile.json"),
        ("predict", predict, "nas latency predict mobile.json mobilenet_v3_small"),
        ("check", check, "nas latency check mobile.json --networks 30")):
    add_command(app, _name, _command, _example)
