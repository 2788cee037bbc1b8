"""The pages of the reference, made of registries, docstrings and the options of the command line."""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import typer

import evaluators
import nas
import nas.testing
import search_spaces
from evaluators import EVALUATORS
from evaluators.datasets import DATASETS
from evaluators.datasets.metrics import METRICS
from evaluators.runtimes import RUNTIMES
from nas.cli.app import app
from nas.export.formats import FORMATS
from nas.problem.quantities import QUANTITIES
from nas.strategies import STRATEGIES
from search_spaces import BLOCKS, SPACES
from search_spaces.space import Space
from search_spaces.zoo import ZOO

Row = tuple[str, ...]
SECTION = re.compile(r"(Args|Attributes|Raises|Returns):\n((?:    .*\n?|\n)+)")
ITEM = re.compile(r"^    (\w[\w., ]*): ", re.MULTILINE)


def pages() -> dict[str, str]:
    """Returns the pages by their paths."""
    made = {"commands": commands(), "blocks": blocks(), "spaces": spaces(), "quantities": quantities(),
            "strategies": strategies(), "runtimes": runtimes(), "formats": formats(), "evaluators": evaluators_page(),
            "networks": networks(), "python": python()}
    return {f"reference/{name}.md": text for name, text in made.items()}


def commands() -> str:
    """Returns the page of all commands, with a table of the options of each."""
    parts = ["# Commands", "`nas COMMAND --help` prints the same. A value in brackets is the default."]
    for name, command in all_commands(typer.main.get_command(app)):
        rows = [(f"`{', '.join(parameter.opts)}`" if parameter.param_type_name == "option" else
                 f"`{escaped(parameter.metavar or parameter.name)}`", escaped(parameter.help or ""))
                for parameter in command.params]
        parts += [f"## `{name}`", plain(command.help or ""), *([table(("option", "meaning"), rows)] if rows else [])]
    return "\n\n".join(parts)


def all_commands(group: Any, name: str = "nas") -> Iterator[tuple[str, Any]]:
    """Yields a command and all below it, each with its full name."""
    yield name, group
    for own, command in getattr(group, "commands", {}).items():
        yield from all_commands(command, f"{name} {own}")


def blocks() -> str:
    """Returns the page of all kinds of block."""
    parts = ["# Blocks", "The [notation](../notation.md#kinds-and-options) has the options of each kind. Every kind "
             "can be counted, trained, timed, searched and exported to every format; so can [one of your own]"
             "(../adding-a-block.md)."]
    for kind, block in BLOCKS.items():
        tokens = {name: token for name, published in ZOO.items() for token in published.text.split("+")
                  if token.partition("_")[0] == kind}
        parts += [f"## `{kind}`", markdown(block)]
        if tokens:
            name = next(iter(tokens))
            parts.append(f"For example `{tokens[name]}` in `{name}`; published networks that have it: {len(tokens)}.")
    return "\n\n".join(parts)


def spaces() -> str:
    """Returns the page of the ready spaces."""
    parts = ["# Spaces", "`nas space NAME` shows what the members of a space cost on your machine. Numbers of members "
             "are those for images of 28 pixels, or of 224 where a space needs them."]
    for name, space in SPACES.items():
        bound = space.bind(224 if name == "mobile-224" else 28, 3, 10)
        parts += [f"## `{name}`", f"{bound.size:.1e} architectures."]
        parts.append(fenced(space.text.replace("+", "\n  + ")) if isinstance(space, Space) else
                     f"{markdown(type(space))} See [Which spaces hold good networks](../spaces.md).")
    return "\n\n".join(parts)


def quantities() -> str:
    """Returns the page of what budgets limit."""
    rows = [(f"`{name}`", quantity.title, escaped(quantity.help), quantity.scale.examples,
             "at least" if quantity.lower else "at most", quantity.certified_in)
            for name, quantity in QUANTITIES.items()]
    return "\n\n".join(["# Quantities", "What a budget can limit, each an option of `nas search`, `nas export` and "
                        "`nas train` and a field of `nas.Budgets`. [What is measured, and how](../measured.md).",
                        table(("option", "in tables", "meaning", "written as", "limit", "certified in"), rows)])


def strategies() -> str:
    """Returns the page of the strategies."""
    return registry("Strategies", "For `--strategy`. [Choosing one, and writing one](../choosing-a-strategy.md).",
                    {name: getattr(import_module(f"nas.strategies.{maker.args[0]}"), maker.args[1])
                     for name, maker in STRATEGIES.items() if isinstance(maker, partial)})


def runtimes() -> str:
    """Returns the page of the runtimes."""
    rows = [(f"`{name}`", plain(type(runtime).__doc__ or ""), f"`{runtime.suffix}`",
             ", ".join(f"`{option}`" for option in runtime.options), runtime.input_layout)
            for name, runtime in RUNTIMES.items()]
    return "\n\n".join(["# Runtimes", "For `--target`. [Their options](../targets.md), and "
                        "[writing one](../adding-a-runtime.md).",
                        table(("runtime", "runs files with", "file", "options", "input"), rows)])


def formats() -> str:
    """Returns the page of the formats of exported files."""
    rows = [(f"`{name}`", f"`model{entry.suffix}`", f"`{entry.runtime}`" if entry.runtime else "", entry.layout)
            for name, entry in FORMATS.items()]
    return "\n\n".join(["# Formats", "For `--format`. [A script for each](../files.md) runs such a file without this "
                        "project.", table(("format", "file", "timed on", "input"), rows)])


def evaluators_page() -> str:
    """Returns the page of evaluators, data sets and metrics."""
    return registry("Evaluators", "For `--evaluator`. [An evaluator of your own](../writing-an-evaluator.md).",
                    EVALUATORS) + "\n\n" + registry(
        "Data sets", "For `--data`, besides files and folders: [what is accepted](../data.md).", DATASETS, "## "
    ) + "\n\n" + registry(
        "Metrics", "For `--metric`. [Their intervals](../data.md#classes-of-different-size).",
        {name: metric.of for name, metric in METRICS.items()}, "## ")


def networks() -> str:
    """Returns the page of the published networks."""
    rows = []
    for name, published in ZOO.items():
        network = published.architecture()
        rows.append((f"`{name}`", published.family, f"{network.params:,}", f"{network.macs:,}", published.source))
    return "\n\n".join(["# Published networks", "For `nas show`, `nas train` and `--start`, with exact counts at their "
                        "published resolution; `nas zoo` lists them too. [Their weights](../sources.md).",
                        table(("network", "family", "parameters", "multiply-adds", "source"), rows)])


def python() -> str:
    """Returns the page of the Python interface: all that the packages name as theirs."""
    parts = ["# From Python"]
    for package in (nas, evaluators, search_spaces):
        parts += [f"## `{package.__name__}`", markdown(package)]
        for name in package.__all__:
            parts += described(f"{package.__name__}.{name}", getattr(package, name))
    checks = {name: value for name, value in vars(nas.testing).items() if name.startswith("check_")}
    parts += ["## `nas.testing`", markdown(nas.testing)]
    for name, check in checks.items():
        parts += described(f"nas.testing.{name}", check)
    return "\n\n".join(parts)


def described(name: str, value: Any, level: str = "### ") -> list[str]:
    """Returns the parts of a page on something with a docstring, and on its public methods."""
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return [f"{level}`{name}`", "A registry by name."]
    parts = [f"{level}`{name}`", fenced(signature(name.rpartition(".")[2], value), "python"), markdown(value)]
    if inspect.isclass(value) and not issubclass(value, Exception):
        for own, method in vars(value).items():
            if not own.startswith("_") and getattr(method, "__doc__", None) and not isinstance(method, str | int):
                parts += [f"**`{own}`**: {plain(method.__doc__)}"] if callable(getattr(method, "__func__", method)) or (
                    isinstance(method, property)) else []
    return parts


def signature(name: str, value: Any) -> str:
    """Returns how something is called."""
    try:
        return f"{name}{inspect.signature(value)}"
    except ValueError:
        return name


def registry(title: str, about: str, entries: Mapping[str, Any], level: str = "# ") -> str:
    """Returns a page of entries with what their docstrings say."""
    rows = [(f"`{name}`", escaped(plain(inspect.getdoc(entry) or ""))) for name, entry in entries.items()]
    return "\n\n".join([level + title, about, table(("name", "what it is"), rows)])


def markdown(value: Any) -> str:
    """Returns a docstring as Markdown: sections as lists, examples as code."""
    text = inspect.getdoc(value) or ""
    text = SECTION.sub(lambda match: f"*{match[1]}*\n\n{_items(match[2])}\n\n", f"{text}\n")
    return re.sub(r"(?:^>>> .*\n(?:^(?!>>>).+\n)*)+", lambda match: fenced(match[0].rstrip(), "pycon"), text,
                  flags=re.MULTILINE).strip()


def _items(text: str) -> str:
    lines = ITEM.sub(r"- `\1`: ", text)
    return "\n".join(line if line.startswith("- ") else f"    {line.strip()}" for line in lines.strip().splitlines()
                     if line.strip())


def plain(text: str) -> str:
    """Returns the first paragraph of a docstring as one line."""
    return " ".join(inspect.cleandoc(text).partition("\n\n")[0].split())


def escaped(text: str) -> str:
    """Returns a text for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("[", "\\[")


def table(head: Row, rows: Iterable[Row]) -> str:
    """Returns a table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ("---",) * len(head), *rows])


def fenced(text: str, language: str = "") -> str:
    """Returns a block of code."""
    return f"```{language}\n{text}\n```"
