"""The plot of accuracy against latency in plain characters, for the terminal."""

from collections.abc import Iterable, Sequence

from rich.text import Text

from nas.problem.budgets import Budgets
from nas.problem.candidate import DEFAULT_OBJECTIVES, Candidate
from nas.problem.quantities import format_latency_ms
from nas.report.scene import Scene, accuracy_of, build_scene, latency_of

_STYLES = {"★": "bold yellow", "●": "bold blue", "─": "blue", "┆": "red", "o": "", "□": "magenta", "·": "dim",
           "'": "dim", "╌": "dim"}
_GUTTER = 7  # the columns of an accuracy and the axis


def plot_front(candidates: Sequence[Candidate], budgets: Budgets, objectives: Sequence[str] = DEFAULT_OBJECTIVES,
               width: int = 80, height: int = 18, easy_accuracy: float | None = None) -> Text:
    """Returns `height` lines of at most `width` columns, and the legend: the drawing of `plot.draw_front`, coarsely."""
    scene = build_scene(candidates, budgets, objectives, easy_accuracy)
    columns, lines = max(width - _GUTTER, 20), max(height - 2, 5)
    grid = _draw(scene, columns, lines)
    low, high = scene.accuracy_limits
    text = Text(no_wrap=True)
    for line, cells in enumerate(grid):
        labelled = line % 4 == 0 or line == lines - 1
        accuracy = high - (high - low) * line / (lines - 1)
        text.append(f"{100 * accuracy:5.1f}┤" if labelled else "     │", "dim")
        for cell in cells:
            text.append(cell, _STYLES.get(cell, ""))
        text.append("\n")
    text.append(f"    %└{'─' * columns}\n", "dim")
    text.append(_latency_labels(scene, columns) + "\n", "dim")
    text.append_text(_legend(scene, width))
    return text


def _draw(scene: Scene, columns: int, lines: int) -> list[list[str]]:
    grid = [[" "] * columns for _ in range(lines)]

    def cell(latency_ms: float, accuracy: float) -> tuple[int, int]:
        column = min(int(scene.horizontal(latency_ms) * columns), columns - 1)
        return lines - 1 - min(round(scene.vertical(accuracy) * (lines - 1)), lines - 1), column

    def mark(found: Iterable[Candidate], sign: str) -> None:
        for candidate in found:
            line, column = cell(latency_of(candidate), accuracy_of(candidate))
            grid[line][column] = sign

    if scene.easy_accuracy is not None and scene.vertical(scene.easy_accuracy) > 0:
        grid[cell(scene.latency_limits_ms[0], scene.easy_accuracy)[0]] = ["╌"] * columns
    if scene.budget_ms is not None:
        for own in grid:
            own[cell(scene.budget_ms, 0)[1]] = "┆"
    latencies, accuracies = scene.stairs()
    for start, stop, accuracy in zip(latencies, latencies[1:], accuracies, strict=False):
        line, column = cell(start, accuracy)
        grid[line][column:cell(stop, accuracy)[1]] = "─" * (cell(stop, accuracy)[1] - column)
    for candidate in scene.untrained:
        grid[-1][cell(latency_of(candidate), 0)[1]] = "'"
    mark(scene.partial, "·")
    mark(scene.others, "o")
    mark(scene.front, "●")
    mark(scene.by_hand, "□")
    mark([scene.winner] if scene.winner else [], "★")
    return grid


def _latency_labels(scene: Scene, columns: int) -> str:
    low, high = scene.latency_limits_ms
    middle = (low * high) ** 0.5 if scene.logarithmic else (low + high) / 2
    left, centre, right = (format_latency_ms(value) for value in (low, middle, high))
    half = columns // 2
    return " " * (_GUTTER - 1) + left.ljust(half - len(centre) // 2) + (
        centre + right.rjust(columns - half + len(centre) // 2 - len(centre)))


def _legend(scene: Scene, width: int) -> Text:
    entries = []
    if scene.winner:
        entries.append(("★", f"winner (trial {scene.winner.trial})"))
    entries += [(sign, f"{what} ({len(group)})") for sign, what, group in (
        ("●", "front", scene.front), ("o", "dominated", scene.others),
        ("□", "made by hand", scene.by_hand), ("·", "stopped early or over a budget", scene.partial),
        ("'", "rejected before training", scene.untrained))
        if group]
    if scene.budget_ms is not None:
        entries.append(("┆", f"budget {format_latency_ms(scene.budget_ms)}"))
    if scene.easy_text:
        entries.append(("╌", scene.easy_text))
    if not entries:
        return Text("no candidate has a measured latency")
    text, used = Text(), 0
    for sign, what in entries:
        length = len(what) + 2
        separator = "" if not used else "   " if used + 3 + length <= width else "\n"
        used = length if separator in ("", "\n") else used + 3 + length
        text.append_text(Text.assemble(separator, (sign, _STYLES[sign]), f" {what}"))
    return text
