"""The tables and the picture of what `python -m experiments.winners` has recorded."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nas.export.finals import MUCH_FASTER
from nas.report.figure import BLUE, DARK, GREY, ORANGE, add_legend, new_figure

SEARCH, HAND, WHOLE = "search", "by hand", "search, none stopped"
RANDOM, MOST, BEST = "random", "most multiply-adds", "best of random"
TIGHTER, FASTER = "two thirds", 1 / MUCH_FASTER  # of the budget
WORST = -8.0  # points against the best made by hand, where the picture ends and has all that is worse


def report(rows: dict[str, Any]) -> str:
    """Returns in Markdown the search beside the best family made by hand in each cell, the means, then all sides."""
    return "\n".join([*_summary(rows), "", *_means(rows),
                      *(line for key, cell in rows.items() for line in _table(key, cell))])


def _summary(rows: dict[str, Any]) -> Iterator[str]:
    yield ("| | search at most | search | best by hand in the whole budget | search is better by | latency, search | "
           "latency, by hand |")
    yield "|---|---|---|---|---|---|---|"
    for key, cell in rows.items():
        accuracies, latencies = _by_side(cell)
        by_hand = list(filter(is_by_hand, accuracies))
        for side, share in ((SEARCH, 1), (f"{SEARCH}, {TIGHTER}", FASTER)):
            if side in accuracies and by_hand:
                best = max(by_hand, key=lambda name: np.mean(accuracies[name]))
                yield (f"| {key}{side.removeprefix(SEARCH)} | {share * cell['budget_ms']:.4g} ms | "
                       f"{np.mean(accuracies[side]):.2f} % | {np.mean(accuracies[best]):.2f} %, "
                       f"{best.removeprefix(f'{HAND}, ')} | {difference(accuracies[side], accuracies[best])} | "
                       f"{_latency(latencies[side], share * cell['budget_ms'])} | "
                       f"{_latency(latencies[best], cell['budget_ms'])} |")


def _latency(found_ms: list[float], budget_ms: float) -> str:
    """Returns the mean of latencies as a text that tells where it is over the budget."""
    return f"{np.mean(found_ms):.4f} ms{', over' if np.mean(found_ms) > budget_ms else ''}"


def _means(rows: dict[str, Any]) -> Iterator[str]:
    """Yields what searches are worth in the mean over the budgets of a data set and a target, and over their seeds.

    `all` is the mean over all cells.
    """
    yield "| in the mean over budgets | against | budgets | search is better by | times as fast |"
    yield "|---|---|---|---|---|"
    cells: dict[str, list[dict[str, Any]]] = {}
    for key, cell in rows.items():
        cells.setdefault(key.rpartition(", ")[0], []).append(cell)
    if len(cells) > 1:
        cells["all"] = list(rows.values())
    compared = ((SEARCH, HAND), (f"{SEARCH}, {TIGHTER}", HAND), (SEARCH, RANDOM), (SEARCH, MOST), (SEARCH, BEST),
                (SEARCH, WHOLE))
    for (key, own), (side, other) in itertools.product(cells.items(), compared):
        means = [np.mean(pairs, axis=0) for cell in own if (pairs := _pairs(cell, side, other))]
        if len(means) > 1:
            points, ratios = np.transpose(means)
            yield (f"| {key}{side.removeprefix(SEARCH)} | {other} | {len(means)} | {np.mean(points):+.2f}"
                   f"{_half_width(points)} | {np.exp(np.mean(ratios)):.2f} |")


def _pairs(cell: dict[str, Any], side: str, other: str) -> list[tuple[float, float]]:
    """Returns for each seed by how many points a side is better than another, and the logarithm of how much faster.

    `by hand` stands for the family whose choices are the best of the cell.
    """
    if other == HAND:
        accuracies, _ = _by_side(cell)
        other = max(filter(is_by_hand, accuracies), key=lambda name: np.mean(accuracies[name]), default=HAND)
    pairs = []
    for of_seed in cell.get("chosen", {}).values():
        networks = dict(_networks_of(of_seed))
        ours, theirs = (_delivered(cell, networks.get(name)) for name in (side, other))
        if ours and theirs:
            pairs.append((ours[0] - theirs[0], float(np.log(theirs[1] / ours[1]))))
    return pairs


def _delivered(cell: dict[str, Any], text: str | None) -> tuple[float, float] | None:
    """Returns the accuracy of a network in % and its latency, means of its trainings; None where it has none."""
    found = list(cell.get("delivered", {}).get(text, {}).values())
    return (100 * float(np.mean([one["accuracy"] for one in found])),
            float(np.mean([one["latency_ms"] for one in found]))) if found else None


def _half_width(values: np.ndarray) -> str:
    """Returns the half width of the 95 % interval of the mean of two values or more, as a text."""
    from scipy.stats import t

    return f" ± {t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values)**0.5:.2f}"


def _table(key: str, cell: dict[str, Any]) -> Iterator[str]:
    accuracies, latencies = _by_side(cell)
    yield f"\n**{key}** (at most {cell['budget_ms']} ms)\n"
    yield ("| chosen by | test accuracy of the files (%) | of each choice | latency of the budget | "
           "search is better by |")
    yield "|---|---|---|---|---|"
    for name, own in sorted(accuracies.items(), key=lambda pair: -float(np.mean(pair[1]))):
        better = difference(accuracies[SEARCH], own) if SEARCH in accuracies and name != SEARCH else ""
        share, each_one = np.mean(latencies[name]) / cell["budget_ms"], ", ".join(f"{one:.2f}" for one in own)
        yield f"| {name} | {np.mean(own):.2f} | {each_one} | {share:.0%} | {better} |"


def difference(ours: list[float], own: list[float]) -> str:
    """Returns how much larger the first mean is than the second, with its interval."""
    return f"{np.mean(ours) - np.mean(own):+.2f}{spread(ours, own)}"


def _by_side(cell: dict[str, Any]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Returns by the side that chose them the accuracies of networks in %, means of their trainings, and latencies."""
    accuracies: dict[str, list[float]] = {}
    latencies: dict[str, list[float]] = {}
    for of_seed in cell.get("chosen", {}).values():
        for name, text in _networks_of(of_seed):
            if found := _delivered(cell, text):
                accuracies.setdefault(name, []).append(found[0])
                latencies.setdefault(name, []).append(found[1])
    return accuracies, latencies


def _networks_of(of_seed: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the name and the text of all that was chosen with a seed."""
    for side in of_seed.values():
        yield from ((name, text) for name, text in side["networks"].items() if text)


def spread(ours: list[float], own: list[float]) -> str:
    """Returns the half width of the 95 % interval of the difference of two means, as a text; none for one seed."""
    from scipy.stats import t

    if min(len(ours), len(own)) < 2:
        return ""
    variances = [np.var(each, ddof=1) / len(each) for each in (ours, own)]
    freedom = sum(variances)**2 / max(sum(v**2 / (len(e) - 1) for v, e in zip(variances, (ours, own), strict=True)),
                                      1e-12)
    return f" ± {t.ppf(0.975, max(freedom, 1)) * np.sqrt(sum(variances)):.2f}"  # Welch


def drawn(rows: dict[str, Any]) -> Figure:
    """Returns a picture of what the sides of each cell have, in points against the best family made by hand there."""
    cells = [(key, *_by_side(cell)) for key, cell in rows.items()]
    cells = [(key, accuracies, latencies) for key, accuracies, latencies in cells if SEARCH in accuracies
             and any(map(is_by_hand, accuracies))]
    figure, axes = new_figure("The winner of a search and networks made by hand",
                              "test accuracy of delivered files, within one measured latency budget each")
    axes.set_xlabel("points against the best family made by hand", fontsize=10, color=DARK)
    axes.set_yticks(range(len(cells)), [key.replace(".npz", "") for key, *_ in cells])
    axes.invert_yaxis()
    axes.axvline(0, color=DARK, linewidth=1)
    handles: dict[str, Any] = {}
    for place, (_, accuracies, _) in enumerate(cells):
        best = max(float(np.mean(own)) for name, own in accuracies.items() if is_by_hand(name))
        for name, own in accuracies.items():
            label, marker, color, size = _mark(name)
            if label:
                points = np.maximum(np.array(own if label != "made by hand" else [np.mean(own)]) - best, WORST)
                handles[label], = axes.plot(points, np.full(len(points), place), marker, color=color, label=label,
                                            markersize=size, markerfacecolor="none" if marker == "s" else color)
    axes.set_xlim(left=WORST)  # once all is drawn, as it keeps the other end
    figure.subplots_adjust(left=0.3)
    add_legend(figure, list(handles.values()))
    return figure


def _mark(name: str) -> tuple[str, str, str, float]:
    """Returns label, marker, colour and size of a side in the picture; without a label where it is left out."""
    if is_by_hand(name):
        return "made by hand", "s", GREY, 6
    return {SEARCH: ("searches", "*", BLUE, 12), f"{SEARCH}, {TIGHTER}": ("searches, 1.5 times as fast", "*", ORANGE, 9)
            }.get(name, ("", "", "", 0))


def is_by_hand(name: str) -> bool:
    """Tells whether a side is a family made by hand for the whole budget."""
    return name.startswith(f"{HAND}, ") and not name.endswith(TIGHTER)
