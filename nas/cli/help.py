"""The help of the command line: pages of one screen with an example, and every option under `--help-all`.

An option that is declared `hidden` is on the page of `--help-all` only; `rich_help_panel` names its section.
"""

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args

import typer
import typer.core

Command = Callable[..., None]
Sections = dict[str, list[tuple[str, str]]]  # what stands in two columns, by its heading

ALL = "nas.help_all"  # in the context of a command whose every option is shown


def _show_all(context: typer.Context, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        context.meta[ALL] = True
        typer.echo(context.get_help())
        raise typer.Exit


_HELP_ALL = inspect.Parameter("help_all", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[
    bool, typer.Option("--help-all", help="Show every option and exit.", is_eager=True, callback=_show_all)])


def _write(formatter: Any, sections: Sections) -> None:
    for name, rows in sections.items():
        if rows:
            with formatter.section(name):
                formatter.write_dl(rows)


def _write_example(command: Any, ctx: Any, formatter: Any) -> None:
    _write(formatter, {"Example": [(command.epilog, "")] if command.epilog else []})


class Page(typer.core.TyperCommand):
    """A command whose help has a section for each panel of options, and ends with its example, the epilog."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the sections of arguments and options."""
        sections: Sections = {"Arguments": [], "Options": []}
        for declared in self.get_params(ctx):
            parameter: Any = copy.copy(declared)
            parameter.hidden = ALL not in ctx.meta and getattr(parameter, "hidden", False)
            parameter.secondary_opts = []  # a text says of which option there is a `--no-`
            record = parameter.get_help_record(ctx)
            if record is not None:
                usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(record)
        _write(formatter, sections)

    format_epilog = _write_example


class Contents(typer.core.TyperGroup):
    """Commands whose list has a section for each of their panels, and ends with an example."""

    format_epilog = _write_example

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the sections of commands, each with its first sentence."""
        sections: Sections = {}
        for name, command in self.commands.items():
            panel = getattr(command, "rich_help_panel", None) or "Commands"
            sections.setdefault(panel, []).append((name.ljust(max(map(len, self.commands))),
                                                   command.get_short_help_str(formatter.width)))
        _write(formatter, sections)


def add_command(app: typer.Typer, name: str, command: Command, example: str, panel: str | None = None) -> None:
    """Adds a command with an example, and with `--help-all` where some of its options are hidden."""
    signature = inspect.signature(command)
    hidden = any(getattr(mark, "hidden", False) for parameter in signature.parameters.values()
                 for mark in get_args(parameter.annotation))
    app.command(name, cls=Page, epilog=example, rich_help_panel=panel)(
        _with_all(command, signature) if hidden else command)


def _with_all(command: Command, signature: inspect.Signature) -> Command:
    @functools.wraps(command)
    def called(*, help_all: bool, **values: Any) -> None:
        command(**values)

    called.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), _HELP_ALL])
    return called
