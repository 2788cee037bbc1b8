"""Texts that users read, held against files of tests/golden: `python tests/test_golden.py` writes them anew."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import typer
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from evaluators.latency import Latency
from nas.cli.app import app
from nas.problem.budgets import Budgets
from nas.problem.candidate import Candidate
from nas.problem.costs import Costs
from nas.report.table import front_report

GOLDEN = Path(__file__).parent / "golden"
TARGETS = ("onnxruntime", "litert")
BUDGETS = Budgets((0.1, 0.2), params=200_000, latency_p95_ms=(None, 0.25), images_per_s=(9000, None), targets=TARGETS)
BLOCKS = ("mb_k3_e3_c16_s1_se0_relu", "mb_k5_e6_c24_s2_se0.25_hswish", "mb_k7_e3_c32_s2_se0_swish")


def help_of(*command: str, option: str = "--help") -> str:
    return CliRunner().invoke(app, [*command, option], prog_name="nas", env={"COLUMNS": "80"}).output


def latency(median_ms: float) -> Latency:
    return Latency(median_ms, 0.97 * median_ms, 1.02 * median_ms, 1.1 * median_ms, 10, 0.1, 0.1, 0.1, 0.0)


def candidate(number: int) -> Candidate:
    latency_ms, accuracy = 0.06 + 0.013 * number, 0.8 + 0.03 * number
    costs = Costs(2_000_000 + 431_000 * number, 60_000 + 12_345 * number, 50_176 * number, 251_392 + 49_380 * number,
                  dict(zip(TARGETS, map(latency, (latency_ms, 1.7 * latency_ms)), strict=True)))
    return Candidate(number, f"in_r28_c1+conv_k3_c16_s2_hswish+{BLOCKS[number - 1]}+head_c128_hswish_n10",
                     accuracy=accuracy, total=6000, epochs=3, trained=True, costs=costs,
                     violations=BUDGETS.violations(costs), state="complete")


def printed(shown: RenderableType) -> str:
    console = Console(width=100, file=io.StringIO())
    console.print(shown)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def texts() -> dict[str, Callable[[], str]]:
    """Returns what makes each text, by the name of its file."""
    found = {"front.txt": lambda: printed(front_report([candidate(number) for number in (1, 2, 3)], BUDGETS))}
    commands = [()]
    for command in commands:  # which grows on the way
        at = typer.main.get_command(app)
        for name in command:
            at = at.commands[name]
        commands += [(*command, name) for name in getattr(at, "commands", ())]
        found["-".join(("help", *command)) + ".txt"] = partial(help_of, *command)
        if any(getattr(parameter, "hidden", False) for parameter in at.params):
            found["-".join(("help-all", *command)) + ".txt"] = partial(help_of, *command, option="--help-all")
    return found


TEXTS = texts()


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_as_it_was(name):
    assert TEXTS[name]() == (GOLDEN / name).read_text(encoding="utf-8")


def test_every_golden_file_is_held_against_something():
    assert {path.name for path in GOLDEN.glob("*.txt")} == set(TEXTS)


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name, text in TEXTS.items():
        (GOLDEN / name).write_text(text(), encoding="utf-8")
