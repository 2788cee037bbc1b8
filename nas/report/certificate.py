"""A certificate for the terminal."""

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from nas.budget import QUANTITIES, format_bytes
from nas.report.measured import accuracy_text, latency_text

_EXACT = 4
VERDICTS = {
    "met": ("certified for {targets}", "bold green"),
    "missed": ("NOT certified for {targets}: a budget is exceeded", "bold red"),
    "differs": ("NOT certified for {targets}: the file computes something else than the network", "bold red"),
    "no budget": ("written for {targets}; there is no budget to certify", "bold"),
}


def certificate_report(certificate: dict[str, Any], directory: Path) -> Group:
    """Returns the verdict, the budgets, the accuracy and the files of an export."""
    accuracy = certificate["accuracy"]
    lines = [
        _verdict_line(certificate, directory),
        *(_budget_line(entry, len(certificate["targets"]) > 1) for entry in certificate["budgets"].values()),
        Text(f"accuracy on {accuracy['images']:,} test images: {accuracy_text(accuracy['test'], accuracy['test_ci'])} %"
             f" (logistic regression: {accuracy_text(accuracy['logistic_regression'])} %)"),
    ]
    if accuracy["test"] < accuracy["logistic_regression"]:
        lines.append(Text("the network is worse than logistic regression", style="red"))
    for entry in certificate["files"]:
        flags = entry.get("latency", {}).get("flags", ())
        lines += [Text(f"{entry['file']}: {flag}", style="yellow") for flag in flags]
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("file", "runtime", "size", "latency (ms)", "logits differ by", "same class"):
        table.add_column(name, justify="left" if name in ("file", "runtime") else "right",
                         no_wrap=name == "latency (ms)")
    for entry in certificate["files"]:
        latency = entry.get("latency")
        table.add_row(
            entry["file"], entry.get("target", "flax"), format_bytes(entry["size_bytes"]),
            latency_text(latency["median_ms"], (latency["low_ms"], latency["high_ms"])) if latency else "-",
            f"{entry['max_abs_difference']:.1e}", f"{entry['top_class_agreement']:.1%}")
    return Group(*lines, table)


def _verdict_line(certificate: dict[str, Any], directory: Path) -> Text:
    words, style = VERDICTS[certificate["verdict"]]
    return Text(f"{directory}: {words.format(targets=', '.join(certificate['targets']))}", style=style)


def _budget_line(entry: dict[str, Any], several: bool) -> Text:
    quantity = QUANTITIES[entry["quantity"]]
    on = f" on {entry['target']}" if several and "target" in entry else ""
    sign = ("<", ">")[quantity.lower == entry["met"]] + "=" * entry["met"]
    _, _, end = entry["unit"].partition(", ")
    return Text(f"{entry['quantity']}{on}: {quantity.format(entry['measured'], _EXACT)} {sign} "
                f"{quantity.format(entry['limit'], _EXACT)}" + (f" ({end})" if end else ""),
                style="" if entry["met"] else "red")
