import re
import shlex

import pytest
import typer

from nas.cli.app import app

LINES, COLUMNS = 40, 80  # the screen that a page fits


def commands(name, command, parent=None):
    """Yields every command of the command line with its context, groups too."""
    context = command.make_context(name, ["--"], parent, resilient_parsing=True)
    yield context
    for below, inner in getattr(command, "commands", {}).items():
        yield from commands(below, inner, context)


CONTEXTS = {context.command_path: context for context in commands("nas", typer.main.get_command(app))}
HIDING = [path for path, context in CONTEXTS.items() if any(
    getattr(parameter, "hidden", False) for parameter in context.command.params)]


def options_in(text):
    return set(re.findall(r"^  (?:-h, )?(--[a-z0-9-]+)", text, re.MULTILINE))


@pytest.fixture(params=CONTEXTS)
def path(request):
    return request.param


def page(nas, path, option="--help"):
    status, out, err = nas(*path.split()[1:], option)
    assert (status, err) == (0, "")
    return out


def test_a_page_fits_a_screen(nas, path, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    lines = page(nas, path).splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= COLUMNS
    assert not [line for line in lines if line.endswith("...") and not line.startswith("Usage")], "a sentence is cut"


def test_a_page_ends_with_an_example_that_its_command_takes(nas, path):
    *_, heading, example = page(nas, path).splitlines()
    assert heading == "Example:"
    assert example.strip().startswith(path)
    for words in map(shlex.split, example.split(" && ")):
        names = max((known.split() for known in CONTEXTS if words[:len(known.split())] == known.split()), key=len)
        context = CONTEXTS[" ".join(names)]
        context.command.make_context(names[-1], words[len(names):], context.parent)  # raises where it does not


@pytest.mark.parametrize("path", HIDING)
def test_every_option_is_on_the_page_of_all(nas, path):
    first, everything = (page(nas, path, option) for option in ("--help", "--help-all"))
    declared = {option for parameter in CONTEXTS[path].command.params for option in parameter.opts
                if option.startswith("--")}
    assert options_in(everything) == declared | {"--help"}
    assert options_in(first) < options_in(everything)
    assert {"--help", "--help-all"} <= options_in(first)


def test_all_is_offered_where_there_is_more_than_on_the_first_page():
    assert "nas search" in HIDING
    offering = [path for path, context in CONTEXTS.items()
                if any("--help-all" in parameter.opts for parameter in context.command.params)]
    assert offering == HIDING


def test_budgets_and_the_recipe_have_sections_of_their_own(nas):
    everything = page(nas, "nas search", "--help-all")
    headings = re.findall(r"^([A-Z][^:\n]*):$", everything, re.MULTILINE)
    assert headings == ["Options", "Budgets", "Course of the search", "Recipe of the training", "Example"]
    budgets = everything[everything.index("Budgets:"):everything.index("Course of the search:")]
    assert {"--latency", "--throughput", "--macs"} <= options_in(budgets)
