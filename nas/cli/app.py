"""The command line: its commands and their errors. Nothing heavy is imported before it is needed."""

import io
import itertools
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from nas.cli import compare, doctor, export, inspect, latency, report, search, worker, zoo
from nas.cli.ending import Ending
from nas.cli.help import Contents, add_command

INTERRUPTED = 130

# by the section of the list of commands; beside each command is the example of its help
COMMANDS: dict[str, dict[str, tuple[Callable[..., None], str]]] = {
    "Search": {
        "search": (search.search_space, "nas search --data photos --latency 5ms --time 30m --run runs/a"),
        "worker": (worker.join_search, "nas worker runs/a"),
    },
    "Results": {
        "pareto": (inspect.show_front, "nas pareto runs/a --png front.png"),
        "show": (inspect.show_layers, "nas show mobilenet_v3_small"),
        "doctor": (doctor.examine_run, "nas doctor runs/a --repair"),
        "report": (report.write_report, "nas report runs/a --out report.html"),
        "compare": (compare.compare_runs, "nas compare runs/a runs/b --out compared.html"),
    },
    "Delivery": {
        "export": (export.export_best, "nas export runs/a --format onnx,flax"),
        "train": (export.train_named, "nas train mobilenet_v1_0.25 --data photos --epochs 20 --latency 5ms"),
        "compress": (export.compress_trained, "nas compress runs/a --latency 0.02ms"),
        "certify": (export.time_again, "nas certify runs/a/export --times 3 --apart 2m"),
        "import-weights": (zoo.import_network, "nas import-weights timm:resnet50 resnet50.safetensors"),
    },
    "Networks and spaces": {
        "zoo": (zoo.list_networks, "nas zoo --family mobilenet_v2"),
        "space": (inspect.show_space, "nas space mobile --data photos --latency 5ms"),
        "compare-spaces": (inspect.compare_spaces, "nas compare-spaces fitted mobile --latency 0.1ms"),
        "correlate": (inspect.correlate_scores, "nas correlate runs/a --epochs 1,3,9"),
    },
}
EXAMPLE = "nas search --data photos --latency 5ms --run runs/a && nas export runs/a"

app = typer.Typer(cls=Contents, no_args_is_help=True, rich_markup_mode=None, add_completion=False, epilog=EXAMPLE,
                  pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]})
for panel, commands in COMMANDS.items():
    for name, (command, example) in commands.items():
        add_command(app, name, command, example, panel)
app.add_typer(latency.app, name="latency", rich_help_panel="Networks and spaces")


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="show tracebacks")] = False) -> None:
    """Search for the network that is most accurate within a latency budget, and export it with a certificate."""


def main() -> None:
    """Runs the command line; an error is one line: wrong input has status 2, a failure status 1."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character shows a question mark
    with (ending := Ending()).watched():
        ending.leave(_status(ending))


def _status(ending: Ending) -> int:
    """Returns the exit status of a command, having printed the line of its error."""
    try:
        _require_own_packages()
        return int(app(_arguments(sys.argv[1:]), prog_name="nas", standalone_mode=False) or 0)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except SystemExit as end:  # of rich's, where nobody reads its output any more
        return end.code if isinstance(end.code, int) else 1
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        status, line = _failure(error)
        if ending.signal is None:
            print(f"nas: {line}", file=sys.stderr)
        return status


def _arguments(given: Sequence[str]) -> list[str]:
    """Returns arguments with `~` expanded, also in `--option=~/file`, which shells leave as it is.

    Raises:
        InvalidInput: an empty one, as a shell makes of a variable that is not set.
    """
    from evaluators.machine.files import at_home
    from search_spaces.errors import require

    found = []
    for before, argument in itertools.pairwise(["nas", *given]):
        option, sign, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        require(bool(value or (option and not sign)), (
            f"a value follows '{option or before}'" if option or before.startswith("-") else "an argument has a value")
            + ", but got ''")
        found.append(f"{option}{sign}{at_home(value)}" if value.startswith("~") else argument)
    return found


def _failure(error: Exception) -> tuple[int, str]:
    """Returns the exit status and the line of an error."""
    from search_spaces.errors import InvalidInput

    status, line, advice = 1, str(error), ""
    if isinstance(error, InvalidInput):
        return 2, line
    if hasattr(error, "format_message"):  # typer's own, whose classes differ between its versions
        status, line = 2, error.format_message()
    elif isinstance(error, OSError) and error.strerror:
        place = error.filename2 or error.filename
        status, line = 2, f"{error.strerror}: '{place}'" if place else error.strerror
    elif isinstance(error, MemoryError):
        line = f"what was asked for must fit into the memory, but it does not: {line or 'none is left'}"
    elif not isinstance(error, RuntimeError):
        line, advice = f"{type(error).__name__}: {line}", " (`nas --debug COMMAND ...` shows where)"
    return status, str(InvalidInput(line, advice))  # short, and without control characters


def _require_own_packages() -> None:
    """Raises `RuntimeError` if another package of the same name would be imported instead of ours."""
    home = Path(__file__).resolve().parents[2]
    for name in ("search_spaces", "evaluators"):
        spec = find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).resolve().parent.parent != home:
            raise RuntimeError(f"the package '{name}' must lie in '{home}', but python finds "
                               f"'{spec.origin if spec else 'none'}'")
