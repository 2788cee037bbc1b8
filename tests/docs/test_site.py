"""The documentation site: it builds without a warning, asks no other host for anything, and its reference is whole."""

import re
import socket
import tomllib
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
import typer

import evaluators
import nas
import search_spaces
from docs.site import build, reference, results
from evaluators import EVALUATORS
from evaluators.datasets import DATASETS
from evaluators.datasets.metrics import METRICS
from evaluators.runtimes import RUNTIMES
from nas.cli.app import app
from nas.export.formats import FORMATS
from nas.problem.quantities import QUANTITIES
from nas.strategies import STRATEGIES
from search_spaces import BLOCKS, SPACES
from search_spaces.zoo import ZOO

REGISTRIES = {"blocks": BLOCKS, "spaces": SPACES, "quantities": QUANTITIES, "strategies": STRATEGIES,
              "runtimes": RUNTIMES, "formats": FORMATS, "networks": ZOO, "evaluators": EVALUATORS | DATASETS | METRICS}


class References(HTMLParser):
    """What a page refers to: addresses to follow, addresses that a browser loads by itself, and its own anchors."""

    def __init__(self, text):
        super().__init__()
        self.followed, self.loaded, self.anchors = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.anchors.add(named.get("id"))
        if tag == "a" and named.get("href"):
            self.followed.add(named["href"])
        elif tag != "a":
            self.loaded |= {named[key] for key in ("src", "href", "srcset") if named.get(key)}


@pytest.fixture(scope="module")
def pages():
    """The texts of all pages, made without asking any host for anything."""
    def refuse(*arguments, **named):
        raise AssertionError("a page asks a host for something")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", refuse)
        return build.pages()


@pytest.fixture(scope="module")
def site(pages, tmp_path_factory):
    """The directory of the built site, and what each of its pages refers to."""
    pytest.importorskip("zensical", reason="needs the extra `docs`")
    directory = tmp_path_factory.mktemp("documentation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "pages", lambda: pages)
        build.build(directory)
    return directory / "site", {path.relative_to(directory / "site"): References(path.read_text(encoding="utf-8"))
                                for path in (directory / "site").rglob("*.html") if path.name != "404.html"}


def test_every_page_is_built(site, pages):
    assert {path.with_suffix(".md").as_posix() for path in site[1]} == pages.keys()


def test_every_link_within_the_site_leads_somewhere(site):
    directory, found = site
    for page, references in found.items():
        for address in references.followed | references.loaded:
            parts = urlsplit(address)
            if parts.scheme:
                continue
            target = (directory / page.parent / unquote(parts.path)).resolve() if parts.path else directory / page
            assert target.is_file(), f"{page} refers to {address}"
            if parts.fragment and target.suffix == ".html":
                assert unquote(parts.fragment) in found[target.relative_to(directory)].anchors, f"{page}: {address}"


def test_a_page_loads_nothing_from_another_host(site):
    loaded = {address for references in site[1].values() for address in references.loaded}
    assert loaded
    assert not [address for address in loaded if urlsplit(address).netloc or address.startswith("//")]
    for sheet in site[0].rglob("*.css"):
        assert not re.findall(r"@import|url\([\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8"))


def test_a_warning_ends_the_build(tmp_path, monkeypatch):
    pytest.importorskip("zensical", reason="needs the extra `docs`")
    monkeypatch.setattr(build, "pages", lambda: {"index.md": "# Pages\n\n[one that is not there](nowhere.md)\n"})
    with pytest.raises(build.subprocess.CalledProcessError):
        build.build(tmp_path)


def test_the_navigation_leads_to_every_page_and_to_nothing_else(pages):
    def leaves(entries):
        for entry in entries:
            for value in entry.values():
                yield from leaves(value) if isinstance(value, list) else [value]

    named = list(leaves(tomllib.loads(build.configuration(pages))["project"]["nav"]))
    assert sorted(named) == sorted(pages)


def test_links_of_the_readme_are_those_of_the_site():
    text = build.on_site("[a](docs/spaces.md#x), [b](Makefile), ![c](docs/front.png)", build.ROOT / "README.md",
                         "index.md")
    assert text == "[a](spaces.md#x), b, ![c](front.png)"
    assert build.on_site("[a](../../README.md) [b](0001.md)", build.DOCS / "decisions/0003.md", "decisions/0003.md"
                         ) == "[a](../index.md) [b](0001.md)"


@pytest.mark.parametrize("page", REGISTRIES)
def test_the_reference_has_every_entry_of_a_registry(page, pages):
    text = pages[f"reference/{page}.md"]
    rows = [line for line in text.splitlines() if line.startswith(("| `", "## `"))]
    for name in REGISTRIES[page]:
        own = [row for row in rows if row.startswith((f"| `{name}` |", f"## `{name}`"))]
        assert len(own) == 1, f"{name} in {page}"
        assert "|  |  |" not in own[0] and not own[0].endswith("|  |"), f"nothing is said of {name}"


def test_the_reference_has_every_command_and_option(pages):
    text = pages["reference/commands.md"]
    sections = dict(re.findall(r"^## `(.*?)`\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    commands = dict(reference.all_commands(typer.main.get_command(app)))
    assert sections.keys() == commands.keys()
    for name, command in commands.items():
        for parameter in command.params:
            words = parameter.opts if parameter.param_type_name == "option" else [parameter.metavar or parameter.name]
            assert all(reference.escaped(word) in sections[name] for word in words), f"{words} of {name}"
            assert parameter.help, f"{words} of {name} has no help"


@pytest.mark.parametrize("package", [nas, evaluators, search_spaces], ids=lambda package: package.__name__)
def test_the_reference_has_every_public_name_with_what_its_docstring_says(package, pages):
    text = pages["reference/python.md"]
    for name in package.__all__:
        value = getattr(package, name)
        assert f"### `{package.__name__}.{name}`" in text
        if callable(value) and value.__doc__:
            assert reference.plain(value.__doc__) in " ".join(text.split()), name


def test_a_docstring_becomes_markdown():
    def example():
        """Returns a sum.

        Args:
            first: a number,
                which may be long.

        >>> 1 + 1
        2
        """
    assert reference.markdown(example) == (
        "Returns a sum.\n\n*Args*\n\n- `first`: a number,\n    which may be long.\n\n```pycon\n>>> 1 + 1\n2\n```")


def test_every_record_is_on_the_page_of_the_experiment_that_wrote_it(pages):
    names = [name for names in results.records().values() for name in names]
    assert sorted(names) == sorted(path.stem for path in results.RESULTS.glob("*.json"))
    for module, names in results.records().items():
        page = pages[f"results/{module.rpartition('.')[2]}.md"]
        assert all(f"`{name}.json`" in page for name in names)
        assert f"python -m {module}" in page or f"python {module.replace('.', '/')}.py" in page
        assert f"]({module.rpartition('.')[2]}.md)" in pages["results/index.md"]
