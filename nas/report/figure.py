"""The form that all pictures have in common: size, colours, axes, and how they are written."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evaluators.machine.files import write_whole
from search_spaces.errors import require

DPI = 200  # twice the usual 100
SIZE_INCHES = (8.0, 5.2)
BOTTOM, LEGEND_ROW = 0.23, 0.037  # of the height: below the axes, and a row of the legend
WITHOUT_DATE: dict[str, dict[str, Any]] = {"png": {}, "svg": {"Date": None}}  # kinds of pictures

# the palette of Okabe and Ito, which colour-blind readers can tell apart
PALETTE = BLUE, ORANGE, VERMILLION, GREEN, PURPLE, SKY = ("#0072B2", "#E69F00", "#D55E00", "#009E73", "#CC79A7",
                                                         "#56B4E9")
DARK, GREY, FAINT = "#222222", "#8A8A8A", "#C4C4C4"


def write_figure(path: Path, figure: Figure, kind: str | None = None) -> None:
    """Writes a picture, whole or not at all, the same bytes of the same figure.

    Args:
        path: where to.
        figure: what is drawn.
        kind: png or svg; by default as the name ends, png where it has no ending.

    Raises:
        InvalidInput: the name of another kind of picture.
    """
    kind = kind or path.suffix.lower().removeprefix(".") or "png"
    require(kind in WITHOUT_DATE, f"a plot is a PNG or an SVG file, but got '{path}'")
    image = io.BytesIO()
    with rc_context({"svg.hashsalt": "paretonas"}):  # of the ids in it, which are random otherwise
        figure.savefig(image, format=kind, dpi=DPI, metadata=WITHOUT_DATE[kind])
    write_whole(path, image.getvalue())


def new_figure(title: str, subtitle: str) -> tuple[Figure, Axes]:
    """Returns a figure with a title above its axes and room for a legend below them."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.09, right=0.97, bottom=BOTTOM, top=0.845)
    axes = figure.add_subplot()
    axes.tick_params(which="both", color="#999999", labelcolor="#555555", labelsize=9)
    axes.grid(color="#EBEBEB", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#999999")
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=DARK, pad=36)
    axes.annotate(subtitle, (0, 1), (0, 20), xycoords="axes fraction", textcoords="offset points", fontsize=9,
                  color="#555555")
    return figure, axes


def add_legend(figure: Figure, handles: Sequence[Any]) -> None:
    """Puts a legend of two columns below the axes, which make room for more than three rows."""
    more = LEGEND_ROW * max(0, math.ceil(len(handles) / 2) - 3)
    figure.subplots_adjust(bottom=BOTTOM + more)
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.53, 0.135 + more), ncols=2, frameon=False,
                  fontsize=8.5, handletextpad=0.5, columnspacing=3.0)
