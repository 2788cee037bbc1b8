"""Compared fronts over one another, as a figure for files."""

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from nas.problem.candidate import OBJECTIVES
from nas.report.figure import DARK, PALETTE, add_legend, new_figure
from nas.report.fronts import LATENCY, Comparison
from nas.report.fronts_table import cost_text, percent_text, title_of

MARKERS = "o^sDvP"  # of the runs, in their order


def draw_fronts(comparison: Comparison) -> Figure:
    """Returns the front of each run with its intervals, and its winner in outline."""
    cost = OBJECTIVES[comparison.cost]
    end = cost_text(comparison.cost, comparison.reference)
    figure, axes = new_figure("Fronts over one another", f"volumes up to {end} of {comparison.cost}, 95 % intervals")
    axes.set_xlabel(title_of(comparison.cost), fontsize=10, color=DARK)
    axes.set_ylabel(f"validation {comparison.metric.title} (%)", fontsize=10, color=DARK)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}"))
    if comparison.cost != LATENCY:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: cost_text(comparison.cost, value)))
    handles = []
    for run, colour, marker in zip(comparison.runs, PALETTE, MARKERS, strict=False):
        if run.volume is None or run.winner is None:
            continue
        name = run.name.replace("$", r"\$")  # which would begin a formula
        costs, accuracies = [cost(one) for one in run.front], [one.accuracy or 0.0 for one in run.front]
        axes.step([*costs, max(comparison.reference, costs[-1])], [*accuracies, accuracies[-1]], where="post",
                  color=colour, linewidth=1.4, alpha=0.5)
        for one, x, y in zip(run.front, costs, accuracies, strict=True):
            axes.plot([x, x], one.accuracy_ci or (y, y), color=colour, linewidth=0.9)
            if comparison.cost == LATENCY and one.latency_ci_ms:
                axes.plot(one.latency_ci_ms, [y, y], color=colour, linewidth=0.9)
        handles += axes.plot(costs, accuracies, marker, color=colour, markersize=6.5, markeredgecolor="white",
                             label=f"{name} ({percent_text(run.volume)} %)")
        axes.plot([cost(run.winner)], [run.winner.accuracy or 0.0], marker, color=colour, markersize=9,
                  markeredgecolor=DARK, markeredgewidth=1.2)
    add_legend(figure, handles)
    return figure
