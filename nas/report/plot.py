"""The plot of accuracy against latency as a figure, for files."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from nas.problem.budgets import Budgets
from nas.problem.candidate import DEFAULT_OBJECTIVES, Candidate
from nas.problem.quantities import format_latency_ms
from nas.report.figure import (
    BLUE,
    DARK,
    DPI,
    FAINT,
    GREY,
    ORANGE,
    VERMILLION,
    add_legend,
    new_figure,
)
from nas.report.measured import accuracy_text, latency_text
from nas.report.scene import Scene, accuracy_of, build_scene, latency_of
from search_spaces.numbers import count_of

# in points, the best places first: above and to the left of a front there is nothing
_LABEL_OFFSETS = tuple((side * right, up) for up in (3, -3, 8, -8) for side in (-1, 1) for right in (4, 8))


def draw_front(candidates: Sequence[Candidate], budgets: Budgets, objectives: Sequence[str] = DEFAULT_OBJECTIVES,
               title: str = "", easy_accuracy: float | None = None) -> Figure:
    """Returns the figure: all candidates of known latency, the front with 95 % intervals, the budget, the winner.

    Where the accuracy of logistic regression on the same images is given, that is a line.
    """
    scene = build_scene(candidates, budgets, objectives, easy_accuracy)
    figure, axes = new_figure(title or f"{scene.metric.heading} against latency", _subtitle(scene))
    _draw_axes(axes, scene)
    budget_label = _draw_budget(axes, scene)
    handles = [*_draw_front(axes, scene), *_draw_rest(axes, scene)]
    if handles:
        add_legend(figure, handles)
    _label_front(axes, scene, budget_label)
    return figure


def _draw_axes(axes: Axes, scene: Scene) -> None:
    if scene.logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(*scene.latency_limits_ms)
    axes.set_ylim(*scene.accuracy_limits)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}"))
    axes.set_xlabel("latency (ms)", fontsize=10, color=DARK)
    axes.set_ylabel(f"validation {scene.metric.title} (%)", fontsize=10, color=DARK)


def _draw_budget(axes: Axes, scene: Scene) -> Annotation | None:
    if scene.budget_ms is None:
        return None
    axes.axvspan(scene.budget_ms, scene.latency_limits_ms[1], color=VERMILLION, alpha=0.05, linewidth=0, zorder=0)
    axes.axvline(scene.budget_ms, color=VERMILLION, linewidth=1.3, linestyle=(0, (5, 3)), zorder=4)
    return axes.annotate(f"budget {format_latency_ms(scene.budget_ms)}", (scene.budget_ms, 1), (0, 3),
                         xycoords=axes.get_xaxis_transform(), textcoords="offset points", ha="center", va="bottom",
                         fontsize=8.5, color=VERMILLION)


def _draw_front(axes: Axes, scene: Scene) -> list[Any]:
    """Returns the legend's entries on the front."""
    if not scene.front:
        return []
    latencies, accuracies = scene.stairs()
    axes.step(latencies, accuracies, where="post", color=BLUE, linewidth=1.6, alpha=0.5, zorder=4)
    measured = any(c.latency_ci_ms or c.accuracy_ci for c in scene.front)
    handles: list[Any] = [axes.errorbar(
        [latency_of(c) for c in scene.front], [accuracy_of(c) for c in scene.front],
        xerr=_errors((latency_of(c), c.latency_ci_ms) for c in scene.front),
        yerr=_errors((accuracy_of(c), c.accuracy_ci) for c in scene.front),
        fmt="o", color=BLUE, markersize=6.5, markeredgecolor="white", markeredgewidth=0.8, elinewidth=0.9, capsize=2,
        zorder=5, label=f"front ({len(scene.front)})" + (" with 95 % intervals" if measured else ""))]
    if scene.winner:
        words = (f"winner: trial {scene.winner.trial}, {accuracy_text(scene.winner.accuracy)} %, "
                 f"{latency_text(scene.winner.latency_ms)} ms")
        handles += axes.plot([latency_of(scene.winner)], [accuracy_of(scene.winner)], "*", color=ORANGE, markersize=15,
                             markeredgecolor=DARK, markeredgewidth=0.8, zorder=7, label=words)
    return handles


def _draw_rest(axes: Axes, scene: Scene) -> list[Any]:
    """Returns the legend's entries on the other candidates; below the axes they point down from their edge."""
    floor, edge = scene.accuracy_limits[0], axes.get_xaxis_transform()
    handles: list[Any] = []
    for group, label, style in (
        (scene.others, "dominated", {"markerfacecolor": GREY, "markeredgecolor": "white", "alpha": 0.75}),
        (scene.partial, "stopped early or over a budget", {"markerfacecolor": "none", "markeredgecolor": FAINT}),
    ):
        common: dict[str, Any] = {"markersize": 5.5, "markeredgewidth": 0.8, "zorder": 3, "linestyle": "none"} | style
        inside = [c for c in group if accuracy_of(c) >= floor]
        below = [c for c in group if accuracy_of(c) < floor]
        if group:
            words = f"{label} ({len(group)}{', triangles lie lower' if below else ''})"
            handles += axes.plot([latency_of(c) for c in inside], [accuracy_of(c) for c in inside], marker="o",
                                 label=words, **common)
            axes.plot([latency_of(c) for c in below], [0.045] * len(below), marker="v", transform=edge, **common)
    by_hand = [c for c in scene.by_hand if accuracy_of(c) >= floor]
    if scene.by_hand:
        lower = len(scene.by_hand) - len(by_hand)
        handles += axes.plot([latency_of(c) for c in by_hand], [accuracy_of(c) for c in by_hand], "s", color=DARK,
                             markerfacecolor="none", markersize=11, markeredgewidth=1.0, zorder=6, linestyle="none",
                             label=f"made by hand ({len(scene.by_hand)}{f', {lower} below the axis' if lower else ''})")
    if scene.easy_accuracy is not None:
        handles.append(axes.axhline(scene.easy_accuracy, color=GREY, linewidth=1.1, linestyle=":", zorder=1,
                                    label=scene.easy_text))
    if scene.untrained:
        beyond = sum(latency_of(c) > scene.latency_limits_ms[1] for c in scene.untrained)
        words = f"{len(scene.untrained)}{f', {beyond} beyond the axis' if beyond else ''}"
        handles += axes.plot([latency_of(c) for c in scene.untrained], [0.012] * len(scene.untrained), "|", color=GREY,
                             alpha=0.6, markersize=8, markeredgewidth=0.9, transform=edge, zorder=2,
                             label=f"rejected before training ({words})")
    return handles


def _label_front(axes: Axes, scene: Scene, budget_label: Annotation | None) -> None:
    """Writes the trials of the front beside their marks, where they hide nothing; where they would, leaves them out."""
    renderer = axes.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    frame = axes.get_window_extent(renderer)
    boxes = _occupied(axes, scene)
    if budget_label:
        boxes.append(np.array(budget_label.get_window_extent(renderer).extents))
    for candidate in sorted(scene.front, key=accuracy_of, reverse=True):  # so that the winner has its label
        for horizontal, vertical in _LABEL_OFFSETS:
            label = axes.annotate(
                str(candidate.trial), (latency_of(candidate), accuracy_of(candidate)), (horizontal, vertical),
                textcoords="offset points", ha="right" if horizontal < 0 else "left",
                va="bottom" if vertical > 0 else "top", zorder=8, fontsize=8, color=DARK,
                fontweight="bold" if candidate is scene.winner else "normal")
            box = np.array(label.get_window_extent(renderer).extents)
            inside = frame.contains(*box[:2]) and frame.contains(*box[2:])
            if inside and not any(_overlap(box, other) for other in boxes):
                boxes.append(box)
                break
            label.remove()


def _occupied(axes: Axes, scene: Scene) -> list[np.ndarray]:
    """Returns the boxes `[left, bottom, right, top]` in pixels of marks and intervals, which labels must not touch."""
    boxes = []
    for candidate in (*scene.front, *scene.others):
        x, y = latency_of(candidate), accuracy_of(candidate)
        spans = [((x, y), (x, y))]
        if candidate in scene.front:
            (left, right), (low, high) = candidate.latency_ci_ms or (x, x), candidate.accuracy_ci or (y, y)
            spans = [((left, y), (right, y)), ((x, low), (x, high))]
        reach = (6.5 if candidate is scene.winner else 3) * DPI / 72
        center = axes.transData.transform((x, y))
        boxes.append(np.concatenate([center - reach, center + reach]))
        boxes += [axes.transData.transform(span).ravel() + np.array([-2, -2, 2, 2]) for span in spans]
    return boxes


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.all(a[:2] < b[2:]) and np.all(b[:2] < a[2:]))


def _errors(measured: Iterable[tuple[float, tuple[float, float] | None]]) -> np.ndarray:
    """Returns the distances `[2, N]` down and up to the ends of the intervals, 0 where there is none."""
    return np.array([(value - interval[0], interval[1] - value) if interval else (0.0, 0.0)
                     for value, interval in measured]).clip(min=0).T


def _subtitle(scene: Scene) -> str:
    if not (scene.front or scene.partial or scene.untrained):
        return f"{count_of(scene.total, 'candidate')}, none with a measured latency"
    eligible = len(scene.front) + len(scene.others)
    return f"{count_of(scene.total, 'candidate')}, {eligible} of them within the budget and fully trained"
