"""The predictions of a predictor, and their errors, for the terminal."""

import dataclasses
from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table

from evaluators.prediction.predictor import LEVEL, Prediction
from nas.measuring.calibration import Agreement, Check
from nas.report.measured import UNKNOWN, latency_text
from nas.report.records import Row
from search_spaces.architecture import Architecture
from search_spaces.numbers import count_of


def prediction_lines(architectures: Sequence[Architecture], predictions: Sequence[Prediction]) -> Iterator[str]:
    """Yields a line for each architecture: the latency in ms with its interval of `LEVEL`, and the architecture."""
    for architecture, prediction in zip(architectures, predictions, strict=True):
        yield f"{latency_text(prediction.median_ms, prediction.interval_ms(LEVEL))} ms  {architecture}"


def prediction_rows(architectures: Sequence[Architecture], predictions: Sequence[Prediction]) -> list[Row]:
    """Returns a row for each architecture: the latency and its interval of `LEVEL`."""
    return [{"architecture": architecture.text, "latency_ms": prediction.median_ms,
             "interval_ms": list(prediction.interval_ms(LEVEL))}
            for architecture, prediction in zip(architectures, predictions, strict=True)]


def check_rows(check: Check) -> list[Row]:
    """Returns a row for the predictor and one for the line through multiply-adds."""
    return [{"prediction": name, "networks": check.networks, **dataclasses.asdict(found), "slowdown": check.slowdown}
            for name, found in (("predictor", check.predictor), ("line through MACs", check.line_through_macs))]


def check_table(check: Check) -> Table:
    """Returns the agreement of a predictor with timings, beside a straight line through multiply-adds."""
    caption = f"{count_of(check.networks, 'member')} of the space, not timed before"
    if check.slowdown != 1:
        caption += (f"\nthe reference model takes {100 * check.slowdown:.0f} % of the time that it took when the "
                    "predictor was learned, and predictions follow it")
    table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
    table.add_column("")
    for title in ("median error", "within 10 %", "Kendall tau", f"inside the {100 * LEVEL:.0f} % interval"):
        table.add_column(title, justify="right")
    table.add_row("predictor", *_cells(check.predictor))
    table.add_row("line through MACs", *_cells(check.line_through_macs))
    return table


def _cells(found: Agreement) -> tuple[str, ...]:
    inside = UNKNOWN if found.inside is None else f"{100 * found.inside:.0f} %"
    return (f"{100 * found.median_error:.1f} %", f"{100 * found.within_a_tenth:.0f} %", f"{found.kendall_tau:.3f}",
            inside)
