"""The worth of scores as a table, and their noise as a line."""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from evaluators.datasets.metrics import Metric
from nas.engine.correlation import FEWEST, LOG_LOSS, Interval, Ranking
from nas.engine.scores import Noise
from nas.report.records import Row, listed
from search_spaces.numbers import count_of


def ranking_table(rankings: Sequence[Ranking], epochs: int, metric: Metric) -> Table:
    """Returns a line for each score: its rank correlations with the end, noise, cost and use."""
    table = Table(box=box.SIMPLE_HEAD, caption_justify="left", caption=(
        f"{ranked_text(rankings, epochs, metric)}; brackets are 95 % intervals over the networks"))
    table.add_column("score")
    for name in ("Kendall's tau", "Spearman's rho", "best tenth found", "noise (points)", "s each"):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in rankings:
        table.add_row(one.score, _correlation(one.tau, one.tau_ci), _correlation(one.rho, one.rho_ci),
                      share_text(one.overlap, one.overlap_ci),
                      "–" if one.noise is None else f"± {100 * one.noise:.2f}",
                      f"{one.seconds:.1f}" if one.seconds else "–", one.use)
    return table


def ranked_text(rankings: Sequence[Ranking], epochs: int, metric: Metric) -> str:
    """Returns the number of networks and the end that scores of them are compared with."""
    end = LOG_LOSS if rankings[0].by_log_loss else metric.title
    steps = f" of {rankings[0].steps_per_epoch} steps" if rankings[0].steps_per_epoch else ""
    return f"{rankings[0].networks} networks, against the {end} after {count_of(epochs, 'epoch')}{steps}"


def ranking_rows(rankings: Sequence[Ranking]) -> list[Row]:
    """Returns a row for each score."""
    return [listed(dataclasses.asdict(one)) | {"use": one.use} for one in rankings]


def noise_text(noise: Noise | None, epochs: int, run: Path) -> str:
    """Returns a line on how far the whole trainings of a search differ between seeds.

    >>> noise_text(Noise(0.0071, 1), 3, Path("runs/a"))
    'noise: ± 0.71 points between seeds of 3 epochs (1 network trained again; `nas correlate runs/a` tells it better)'
    """
    length, command = count_of(epochs, "epoch"), f"`nas correlate {shlex.quote(str(run))}`"
    if noise is None:
        return f"noise: not known; {command} measures how far trainings of {length} differ by seed"
    networks = f"{count_of(noise.networks, 'network')} trained again"
    better = f"; {command} tells it better" if noise.networks < FEWEST else ""
    return f"noise: ± {100 * noise.deviation:.2f} points between seeds of {length} ({networks}{better})"


def share_text(share: float, interval: Interval) -> str:
    """Returns a share with its interval in per cent.

    >>> share_text(0.5, (0.1667, 1.0))
    '50% [17, 100]'
    """
    return f"{share:.0%} [{', '.join(f'{100 * end:.0f}' for end in interval)}]"


def _correlation(value: float, interval: Interval) -> str:
    low, high = interval
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"
