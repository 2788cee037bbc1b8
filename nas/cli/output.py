"""The forms in which commands give what they have found: a table to read, JSON and CSV for programs, pictures."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evaluators.machine.files import STDOUT, followed, require_writable, write_whole
from search_spaces.errors import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="print all of it as JSON")]
Csv = Annotated[Path | None, typer.Option(metavar="FILE", show_default=False, help="write all of it to a CSV file; - "
                                          "is standard output")]
Png = Annotated[Path | None, typer.Option(metavar="FILE", show_default=False, help="draw it; - is standard output")]
Svg = Annotated[Path | None, typer.Option(metavar="FILE", show_default=False, help="draw it for any size; - is "
                                          "standard output")]

PICTURES = ("png", "svg")


@dataclass(frozen=True)
class Output:
    """The forms that a command was asked for beside, or instead of, its table.

    Raises:
        InvalidInput: two of them for standard output, the name of another kind of picture, or a place that is missing.
    """

    json: bool = False
    csv: Path | None = None
    png: Path | None = None
    svg: Path | None = None
    html: Path | None = None

    def __post_init__(self) -> None:
        require(self.json + sum(path in STDOUT for path in self.files.values()) <= 1,
                "standard output takes one of the files (CSV, PNG, SVG, HTML) and JSON")
        for kind, path in self.files.items():
            if path in STDOUT:
                continue
            require(kind not in PICTURES or path.suffix.lower() in ("", f".{kind}"),
                    f"`--{kind}` takes a name that ends in .{kind}, but got '{path}'")
            place = followed(path).parent
            require(place.is_dir(), f"a file is written into a directory that is there, but got '{path}'")
            require_writable(place, "the place of a file")

    @property
    def takes_stdout(self) -> bool:
        """Tells whether standard output is for a program, and not for a table."""
        return self.json or any(path in STDOUT for path in self.files.values())

    @property
    def files(self) -> dict[str, Path]:
        """The files that were asked for, by their kinds."""
        return {kind: path for kind in (*PICTURES, "csv", "html") if (path := getattr(self, kind)) is not None}

    @property
    def console(self) -> "Console":
        """The console for what a reader is to see: standard error where a program reads standard output."""
        from nas.cli.terminal import console_on_stderr, console_on_stdout

        return console_on_stderr() if self.takes_stdout else console_on_stdout()

    def write(self, records: Sequence[dict[str, Any]], columns: Sequence[str] = (),
              draw: "Callable[[], Figure] | None" = None, page: Callable[[], bytes] | None = None) -> None:
        """Writes the files, each whole or not at all, and prints JSON.

        Args:
            records: the rows.
            columns: their names, where there may be no row.
            draw: makes the picture.
            page: makes the page.
        """
        from nas.report.records import to_csv, to_json

        figure = draw() if draw is not None and (self.png or self.svg) else None
        for kind, path in self.files.items():
            if figure is not None and kind in PICTURES:
                from nas.report.figure import write_figure

                write_figure(path, figure, kind)
            elif kind == "csv":
                write_whole(path, to_csv(records, columns).encode())
            elif page is not None:
                write_whole(path, page())
        if self.json:
            sys.stdout.write(to_json(records))
