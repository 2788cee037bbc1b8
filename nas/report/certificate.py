"""A certificate for the terminal."""

from pathlib import Path

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from evaluators.datasets.metrics import METRICS
from evaluators.latency import Latency
from evaluators.runtimes import parse_target
from evaluators.runtimes.target import INT8
from nas.export.certificate import DIFFERS, LOSES, assessed, latencies_of, lost_points, metric_of, moment, score_of
from nas.export.certificate import VERDICTS as SEVERITY
from nas.export.entries import Accuracy, BudgetEntry, Certificate, File, Finalist, OnTest
from nas.export.finals import MUCH_FASTER, speed_up
from nas.problem.quantities import QUANTITIES, format_bytes
from nas.report.measured import accuracy_text, latency_text
from search_spaces.numbers import count_of

_EXACT = 4
VERDICTS = {
    "met": ("certified for {targets}", "bold green"),
    "predicted": ("NOT certified for {targets}, only predicted to meet the budget: the device cannot be timed here",
                  "bold yellow"),
    "not timed": ("NOT certified for {targets}, not timed yet: `nas certify {directory}` does it", "bold yellow"),
    "missed": ("NOT certified for {targets}: a budget is exceeded", "bold red"),
    "loses accuracy": ("NOT certified for {targets}: the file loses more than {allowed:g} points of accuracy",
                       "bold red"),
    "differs": ("NOT certified for {targets}: the file computes something else than the network", "bold red"),
    "no budget": ("written for {targets}; there is no budget to certify", "bold"),
}
SATURATING = "weights of 8 bits, whose products saturate on x86 processors without VNNI; new exports have 7"


def certificate_report(certificate: Certificate, directory: Path) -> Group:
    """Returns the verdict on each target's file, the budgets, the accuracy and the files of an export."""
    certificate = assessed(certificate)
    lines = [
        *_verdict_lines(certificate, directory),
        *(_budget_line(entry, certificate) for entry in certificate["budgets"].values()),
        *_accuracy_lines(certificate["accuracy"]),
        *_finals_lines(certificate),
        *(line for entry in certificate["files"] for line in _file_lines(certificate, entry)),
    ]
    flags = dict.fromkeys((target, flag) for target, latency in _last(certificate).items() for flag in latency.flags)
    flags |= dict.fromkeys((target, f"not timed: {reason}")
                           for target, reason in certificate["timings"][-1].get("untimed", {}).items())
    lines += [Text(f"{target}: {flag}", style="yellow") for target, flag in flags]
    return Group(*lines, _files_table(certificate), _timings_table(certificate))


def _verdict_lines(certificate: Certificate, directory: Path) -> list[Text]:
    """Returns a line for each verdict on the targets' files, the worst one first."""
    found: dict[str, list[str]] = {}
    for entry in certificate["files"]:
        if entry.get("target") in certificate["targets"]:
            found.setdefault(entry["verdict"], []).append(entry["target"])
    lines = []
    for verdict in sorted(found, key=SEVERITY.index, reverse=True):
        words, style = VERDICTS[verdict]
        said = words.format(targets=", ".join(found[verdict]), directory=directory,
                            allowed=certificate.get("accuracy_loss_points", 0))
        lines.append(Text(f"{directory}: {said}", style=style))
    return lines


def _file_lines(certificate: Certificate, entry: File) -> list[Text]:
    """Returns the remarks on a file: its failures, where it holds, and others."""
    name = f"{entry['file']} ({entry['target']})" if "target" in entry else entry["file"]
    lost = lost_points(certificate, entry)
    lines = []
    if entry["verdict"] == LOSES and lost is not None:
        lines.append(Text(f"{name}: {accuracy_text(score_of(entry))} % right, {lost:.2f} points less than the "
                          "network", style="red"))
    if entry["verdict"] == DIFFERS and entry.get("target") not in certificate["targets"]:
        lines.append(Text(f"{name}: it computes something else than the network", style="red"))
    if "processors" in entry:
        lines.append(Text(f"{name}: computes the same on {entry['processors']}"))
    elif "target" in entry and parse_target(entry["target"]).options.precision == INT8:
        lines.append(Text(f"{name}: {SATURATING}", style="yellow"))
    return lines + [Text(f"{name}: {remark}", style="yellow") for remark in entry.get("remarks", ())]


def _accuracy_lines(accuracy: Accuracy | None) -> list[Text]:
    """Returns the accuracy beside that of a simple rival; nothing for an export without data."""
    if accuracy is None:
        return []
    decisive: OnTest = accuracy.get("metric", accuracy)
    lines = [Text(f"accuracy on {accuracy['images']:,} test images: {on_test_text(accuracy)}")]
    if "metric" in accuracy:
        lines.append(Text(f"{METRICS[accuracy['metric']['name']].title}, which decides: {on_test_text(decisive)}"))
    if "over_seeds" in accuracy:
        over = accuracy["over_seeds"]
        what = f"{METRICS[accuracy['metric']['name']].title} " if "metric" in accuracy else ""
        lines.append(Text(f"trained from {over['count']} seeds, of which the first is delivered: "
                          f"{what}{accuracy_text(over['mean'])} % on average, standard deviation "
                          f"{100 * over['deviation']:.2f} points"))
    if decisive["test"] < decisive["logistic_regression"]:
        lines.append(Text("the network is worse than logistic regression", style="red"))
    return lines


def on_test_text(found: OnTest) -> str:
    """Returns a metric of test images with its interval, and that of a simple rival, in per cent."""
    return (f"{accuracy_text(found['test'], found['test_ci'])} % "
            f"(logistic regression: {accuracy_text(found['logistic_regression'])} %)")


def score_text(entry: File) -> str:
    """Returns the score of a file with its interval, in per cent: by the metric of its data, else its accuracy."""
    if "test_metric" in entry:
        return accuracy_text(entry["test_metric"], entry["test_metric_ci"])
    return accuracy_text(entry.get("test_accuracy"), entry.get("test_accuracy_ci"))


def _finals_lines(certificate: Certificate) -> list[Text]:
    """Returns the lines on the finals: their number, and how the network, the best by hand and a faster one did."""
    finals = certificate.get("finals", [])
    if not finals:
        return []
    won, by_hand = finals[0], [finalist for finalist in finals if finalist["by_hand"]]
    title = metric_of(certificate).title
    by = "log loss" if won.get("validation_log_loss") is not None else title
    also = ", and in the search" if all(one.get("validation_log_loss_in_search") is not None for one in finals) else ""
    hand = f", best made by hand: {_standing(by_hand[0], title)}" if by_hand and by_hand[0] is not won else ""
    lines = [Text(f"chosen among {len(finals)} finalists by {by} on validation images{also}: {_standing(won, title)}"
                  f"{hand}")]
    if won["by_hand"]:
        lines.append(Text("the winner is a published network made by hand: the search found nothing better",
                          style="yellow"))
    for finalist in finals:
        times = speed_up(finalist.get("latency_ms"), won.get("latency_ms"))
        if times >= MUCH_FASTER and finalist["epochs"] == won["epochs"] and finalist["validation_accuracy"]:
            lines.append(Text(f"{times:.1f} times as fast in the search: trial {finalist['trial']}, "
                              f"{_standing(finalist, title)}; `--trial {finalist['trial']}` exports it"))
            break
    return lines


def _standing(finalist: Finalist, title: str) -> str:
    log_loss, share = finalist.get("validation_log_loss"), f"{accuracy_text(finalist['validation_accuracy'])} %"
    score = share if log_loss is None else f"{log_loss:.3f} ({title} {share})"
    return f"{score} after {count_of(finalist['epochs'], 'epoch')}"


def _last(certificate: Certificate) -> dict[str, Latency]:
    return latencies_of(certificate["timings"][-1])


def _files_table(certificate: Certificate) -> Table:
    table = _table("file", "runtime", right=(
        "size", f"{metric_of(certificate).title} (%)", "logits differ by", "same class"))
    for entry in certificate["files"]:
        run_by = entry["target"] if "target" in entry else entry["format"]
        files = [entry, entry["beside"]] if "beside" in entry else [entry]
        table.add_row("\n".join(each["file"] for each in files), run_by,
                      "\n".join(format_bytes(each["size_bytes"]) for each in files),
                      score_text(entry),
                      f"{entry['max_abs_difference']:.1e}", f"{entry['top_class_agreement']:.1%}")
    return table


def _timings_table(certificate: Certificate) -> Table:
    """Returns every timing: raw milliseconds, and those of the reference model meanwhile."""
    table = _table("timed", "runtime", right=("raw latency (ms)", "at most", "reference (ms)", "when quiet"))
    for timing in certificate["timings"]:
        for target, latency in latencies_of(timing).items():
            table.add_row(moment(timing), target,
                          latency_text(latency.raw_ms) + (" (predicted)" if latency.is_predicted else ""),
                          latency_text(latency.raw_high_ms),
                          latency_text(latency.reference_ms), latency_text(latency.quiet_reference_ms))
    return table


def _table(*left: str, right: tuple[str, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in (*left, *right):
        table.add_column(name, justify="left" if name in left else "right", no_wrap=name in right,
                         overflow="fold")
    return table


def _budget_line(entry: BudgetEntry, certificate: Certificate) -> Text:
    quantity, timed = QUANTITIES[entry["quantity"]], [timing["latencies"] for timing in certificate["timings"]]
    timings = sum("target" not in entry or entry["target"] in latencies for latencies in timed)
    on = f" on {entry['target']}" if "target" in entry and len(certificate["targets"]) > 1 else ""
    if "met" not in entry:
        return Text(f"{entry['quantity']}{on}: not known yet, {quantity.scale.format(entry['limit'], _EXACT)} allowed",
                    style="yellow")
    found = entry["predicted"] if "predicted" in entry else entry["measured"]
    sign = ("<", ">")[quantity.lower == entry["met"]] + "=" * entry["met"]
    _, _, end = entry["unit"].partition(", ")
    over = f", median of {timings} timings" if timings > 1 else ""
    return Text(f"{'predicted ' * ('predicted' in entry)}{entry['quantity']}{on}: "
                f"{quantity.scale.format(found, _EXACT)} {sign} "
                f"{quantity.scale.format(entry['limit'], _EXACT)}" + (f" ({end}{over})" if end else ""),
                style="" if entry["met"] else "red")
