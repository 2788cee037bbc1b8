"""Builds the documentation site, without a network: `python -m docs.site.build [DIRECTORY]` (build/documentation).

Pages are those of `docs/`, README, CONTRIBUTING and CHANGELOG, the reference, made of registries and docstrings, and
the recorded results. A warning is an error. Serve it with `python -m http.server -d build/documentation/site`.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from docs.site import reference, results

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
OF_ROOT = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changes.md"}
LINK = re.compile(r"(!?)\[([^\]\n]*)\]\(([^)#\s]*)(#[^)\s]*)?\)")


def pages() -> dict[str, str]:
    """Returns the text of each page by its path in the site."""
    written = {path.relative_to(DOCS).as_posix(): path for path in DOCS.rglob("*.md")}
    written |= {page: ROOT / name for name, page in OF_ROOT.items()}
    decisions = sorted(page for page in written if page.startswith("decisions/"))
    made = {page: on_site(path.read_text(encoding="utf-8"), path, page) for page, path in written.items()}
    made["decisions/index.md"] = "# Decisions\n\n" + "\n".join(
        f"- [{title(made[page])}]({page.partition('/')[2]})" for page in decisions)
    return made | reference.pages() | results.pages()


def on_site(text: str, path: Path, page: str) -> str:
    """Returns a page with its links as they are on the site; what is not on it is named without a link."""
    def link(match: re.Match[str]) -> str:
        picture, words, target, anchor = match.groups()
        if not target or ":" in target:
            return match[0]
        where = (path.parent / target).resolve()
        place = where.relative_to(ROOT).as_posix()
        if place in OF_ROOT:
            to = OF_ROOT[place]
        elif place == "docs/decisions":
            to = "decisions/index.md"
        elif where.is_relative_to(DOCS) and where.is_file():
            to = where.relative_to(DOCS).as_posix()
        else:
            return words if where.exists() else match[0]
        return f"{picture}[{words}]({'../' * page.count('/')}{to}{anchor or ''})"

    return re.sub(r"^<!-- .* -->$", "", LINK.sub(link, text), flags=re.MULTILINE)


def title(text: str) -> str:
    """Returns the heading of a page."""
    return text.partition("\n")[0].removeprefix("# ").replace("`", "")


def configuration(made: dict[str, str]) -> str:
    """Returns the configuration of the site, with the pages that it does not name in their sections."""
    text = (DOCS / "site/zensical.toml").read_text(encoding="utf-8")

    def entries(names: Iterable[str]) -> str:
        return "\n".join(f'    {{ "{title(made[name])}" = "{name}" }},' for name in names)

    rest = [page for page in sorted(made) if f'"{page}"' not in text]
    of = {folder: [page for page in rest if page.rpartition("/")[0] == folder]
          for folder in ("reference", "results", "decisions")}
    for folder in ("results", "decisions"):
        of[folder].sort(key=lambda page: (not page.endswith("index.md"), page))
    of["how_to"] = [page for page in rest if "/" not in page]
    for place, names in of.items():
        text = text.replace(f"@{place}@", entries(names))
    return text


def write(directory: Path) -> None:
    """Writes pages, all files beside them and configuration of the site into a directory, in place of older ones."""
    shutil.rmtree(directory / "pages", ignore_errors=True)
    made = pages()
    for page, text in made.items():
        path = directory / "pages" / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for file in DOCS.rglob("*.*"):
        if file.is_file() and file.suffix != ".md" and not file.is_relative_to(DOCS / "site"):
            (directory / "pages" / file.relative_to(DOCS)).parent.mkdir(exist_ok=True)
            shutil.copy(file, directory / "pages" / file.relative_to(DOCS))
    (directory / "zensical.toml").write_text(configuration(made), encoding="utf-8")


def build(directory: Path) -> None:
    """Builds the site; raises `CalledProcessError` after a warning."""
    write(directory)
    shutil.rmtree(directory / "site", ignore_errors=True)
    subprocess.run([sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file",
                    directory / "zensical.toml"], check=True)


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/documentation").resolve())
