"""A run as a notebook shows it: the picture of its report, and the front."""

import base64
import dataclasses
from html import escape
from importlib import resources

from nas.problem.representation import front_html
from nas.report.html.findings import Findings, findings_of
from nas.report.html.front import front_picture
from nas.report.html.markup import element
from nas.report.table import heading
from nas.run.directory import RunDirectory

MOST = 200  # networks that are drawn, for a notebook that stays small
WIDTH = 640
STANDALONE = "svg { background: var(--paper); font-family: system-ui, sans-serif; }"


def run_html(run: RunDirectory) -> str:
    """Returns the picture of a run and the table of its front.

    The picture is an image of its own: what is in it changes nothing of the notebook, and runs nothing.
    """
    found = dataclasses.replace(findings_of(run), most=MOST)
    drawn = front_svg(found)
    image = element("img", width=WIDTH, alt="accuracy of the networks against their cost",
                    src=f"data:image/svg+xml;base64,{base64.b64encode(drawn).decode()}").text if drawn else ""
    return (f"<p><code>{escape(found.name)}</code>: {escape(heading(found.candidates, found.front))}</p>{image}"
            f"{front_html(found.front, 'the front')}")


def front_svg(found: Findings) -> bytes | None:
    """Returns the picture of accuracy against the objective as an SVG file; None as long as no cost is known."""
    picture = front_picture(found)
    if picture is None:
        return None
    style = resources.files("nas.report.html").joinpath("style.css").read_text(encoding="utf-8") + STANDALONE
    start, _, rest = picture.text.partition(">")
    return f'{start} xmlns="http://www.w3.org/2000/svg">{element("style", style).text}{rest}'.encode()
