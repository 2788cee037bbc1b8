"""The worth of scores as a table."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from nas.engine.correlation import Interval, Ranking


def ranking_table(rankings: Sequence[Ranking], epochs: int) -> Table:
    """Returns a line for each score: its rank correlations with the accuracy at the end, noise, cost and use."""
    table = Table(box=box.SIMPLE_HEAD, caption_justify="left", caption=(
        f"of {rankings[0].networks} networks, against {epochs} epochs; brackets are 95 % intervals over the networks"))
    table.add_column("score")
    for name in ("Kendall's tau", "Spearman's rho", "best tenth found", "noise (points)", "s each"):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in rankings:
        table.add_row(one.score, _correlation(one.tau, one.tau_ci), _correlation(one.rho, one.rho_ci),
                      f"{one.overlap:.0%}", "–" if one.noise is None else f"± {100 * one.noise:.2f}",
                      f"{one.seconds:.1f}" if one.seconds else "–", one.use)
    return table


def _correlation(value: float, interval: Interval) -> str:
    low, high = interval
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"
