"""The distributions of the accuracies of spaces, as a table and as a picture."""

from itertools import cycle

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from rich import box
from rich.table import Table

from nas.engine.distributions import BY_HAND, RANGE, Comparison
from nas.problem.budgets import Budgets
from nas.problem.candidate import Interval
from nas.report.figure import DARK, PALETTE, add_legend, new_figure
from nas.report.records import Row, listed
from search_spaces.numbers import count_of

PERCENTILES = {"least": 0, "10th": 10, "median": 50, "best\ntenth": 90, "best": 100}


def distribution_table(comparison: Comparison, budgets: Budgets, epochs: int) -> Table:
    """Returns a line for the networks made by hand and one for each space: percentiles of their accuracies."""
    table = Table(box=box.SIMPLE_HEAD, caption_justify="left", caption=(
        f"validation {comparison.metric.title} (%) after {count_of(epochs, 'epoch')} of networks that use {RANGE} of "
        f"{budgets}; brackets are 95 % bootstrap intervals over the members"))
    table.add_column("space")
    for name in ("members", "budget\nused", *PERCENTILES, "above best\nby hand"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in (comparison.by_hand, *comparison.spaces):
        accuracies = {name: f"{100 * one.percentile(at):.1f}" for name, at in PERCENTILES.items()}
        accuracies["median"] += _interval(one.median_ci, ".1f")
        above, interval = one.above(comparison.by_hand.best[1])
        table.add_row(one.name, str(len(one.members)), f"{np.median([member.used for member in one.members]):.0%}",
                      *accuracies.values(),
                      "" if one is comparison.by_hand else f"{above:.0%}{_interval(interval, '.0f')}")
    return table


def distribution_rows(comparison: Comparison) -> list[Row]:
    """Returns a row for the networks made by hand and one for each space, with each member's accuracy."""
    best = comparison.by_hand.best[1]
    return [listed({"space": one.name, **{f"p{at}": one.percentile(at) for at in PERCENTILES.values()},
                    "median_ci": one.median_ci, "above_best_by_hand": above, "above_best_by_hand_ci": interval,
                    "networks": [member.text for member in one.members], "accuracies": one.accuracies})
            for one in (comparison.by_hand, *comparison.spaces) for above, interval in (one.above(best),)]


def verdict(comparison: Comparison) -> str:
    """Returns a line on the best network made by hand, and how far the median of each space is from it."""
    member, accuracy = comparison.by_hand.best
    medians = (f"{one.name} {100 * (one.percentile(50) - accuracy):+.1f}" for one in comparison.spaces)
    return (f"best by hand: {member.name}, {100 * accuracy:.1f} %; medians against it, in points: "
            f"{', '.join(medians)}")


def draw_distributions(comparison: Comparison, budgets: Budgets, epochs: int) -> Figure:
    """Returns the empirical distribution function of each space, and marks of the networks made by hand."""
    figure, axes = new_figure(f"{comparison.metric.heading} of random members",
                              f"{RANGE} of {budgets} used, {count_of(epochs, 'epoch')}")
    axes.set_xlabel(f"validation {comparison.metric.title} (%)", fontsize=10, color=DARK)
    axes.set_ylabel(f"members of at most this {comparison.metric.title}", fontsize=10, color=DARK)
    axes.xaxis.set_major_locator(MaxNLocator(8))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    handles = [axes.ecdf(100 * np.array(one.accuracies), color=color, linewidth=1.8,
                         label=f"{one.name} ({len(one.members)})")
               for one, color in zip(comparison.spaces, cycle(PALETTE), strict=False)]
    best, accuracy = comparison.by_hand.best
    by_hand = 100 * np.array(comparison.by_hand.accuracies)
    handles += axes.plot(by_hand, np.zeros_like(by_hand), "s", color=DARK, markerfacecolor="none", clip_on=False,
                         zorder=6, label=f"{BY_HAND} ({len(by_hand)})")
    handles.append(axes.axvline(100 * accuracy, color=DARK, linewidth=1.3, linestyle=(0, (5, 3)),
                                label=f"best by hand: {best.name}"))
    add_legend(figure, handles)
    return figure


def _interval(interval: Interval, form: str) -> str:
    low, high = (format(100 * end, form) for end in interval)
    return f" [{low}, {high}]"
