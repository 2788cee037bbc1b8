"""Writes the tables of the documents from the JSON files of benchmarks and experiments.

    python -m experiments.benchmarks.table
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.machine.files import write_whole
from experiments.predictor import TRAINING
from search_spaces.zoo.sources import SOURCES, Source

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "experiments" / "results"
BEGIN, END = "<!-- python -m experiments.benchmarks.table -->\n", "<!-- end -->\n"
RUNTIMES = ("onnxruntime", "litert")
OVERHEAD = {"nas-bench-macro": "table with 8 choices", "mobile": "`mobile`, 67 choices",
            "table": "table with 28 choices"}
SETTINGS = {"command": "of the `nas` command", "default": "default"}


def geometric_mean(values: list[float]) -> float:
    """Returns the geometric mean of positive values."""
    return float(np.exp(np.mean(np.log(values))))


def training_step_table(result: dict[str, Any]) -> str:
    """Returns a table of the other sides' step times relative to ours, in the geometric mean, by allocator setting."""
    sides = list(dict.fromkeys(side for row in result["cases"] for side in row["ms"] if side != "ours"))
    lines = ["| " + " | ".join(["allocator settings", "cases", *sides, "of the roofline"]) + " |",
             "|---" * (len(sides) + 3) + "|"]
    for setting, name in SETTINGS.items():
        rows = [row for row in result["cases"] if row["setting"] == setting]
        if rows:
            medians = [{side: float(np.median(values)) for side, values in row["ms"].items()} for row in rows]
            ratios = [f"{geometric_mean([each[side] / each['ours'] for each in medians]):.2f}x"
                      if all(side in each for each in medians) else "" for side in sides]
            floor = geometric_mean([row["floor_ms"] / each["ours"] for row, each in zip(rows, medians, strict=True)])
            lines.append(f"| {name} | {len(rows)} | " + " | ".join(ratios) + f" | {floor:.0%} |")
    return "\n".join(lines) + "\n"


def whole_search_table(result: dict[str, Any]) -> str:
    """Returns the duration, the throughput, also relative to the script's, and the mean accuracy of each side."""
    sides = result["sides"]
    count, script = len(sides["pytorch"]["accuracy"]), sides["pytorch"]["candidates_per_hour"]
    lines = [f"| search of {count} candidates | seconds | candidates an hour | of the script's | mean accuracy |",
             "|---" * 5 + "|"]
    for side, own in sides.items():
        name = "Optuna and PyTorch, a script" if side == "pytorch" else f"`nas search`, {side} compile cache"
        lines.append(f"| {name} | {own['seconds']:.0f} | {own['candidates_per_hour']:.0f} | "
                     f"{own['candidates_per_hour'] / script:.2f}x | {np.mean(list(own['accuracy'].values())):.1%} |")
    return "\n".join(lines) + "\n"


def compilation_table(result: dict[str, Any]) -> str:
    """Returns the seconds that a candidate of each run waits for the compiler, in the mean."""
    lines = ["| compilation of a candidate, mean | in blocks | as a whole network | ratio |", "|---" * 4 + "|"]
    for run, found in result["runs"].items():
        blocks, network = found["seconds"]["blocks"], found["seconds"]["network"]
        begin = len(blocks) - len(network)
        later, whole = float(np.mean(blocks[begin:])), float(np.mean(network))
        lines += [f"| {run} run, candidates 1 to 5 | {np.mean(blocks[:5]):.2f} s | | |",
                  f"| {run} run, candidates {begin + 1} to {len(blocks)} | {later:.2f} s | {whole:.2f} s | "
                  f"{later / whole:.2f} |"]
    return "\n".join(lines) + "\n"


def memory_table(result: dict[str, Any]) -> str:
    """Returns the resident memory of a search under each allocator setting, early and late."""
    (early, _), (late, _) = next([row[1], row[-1]] for row in result["resident_mb"].values())
    lines = [f"| resident memory, allocator settings | after {early} candidates | after {late} | grown by |",
             "|---" * 4 + "|"]
    for setting, rows in result["resident_mb"].items():
        before, after = rows[1][1], rows[-1][1]
        lines.append(f"| {SETTINGS[setting]} | {before:.0f} MB | {after:.0f} MB | {after - before:.0f} MB |")
    return "\n".join(lines) + "\n"


def starts_table(result: dict[str, Any]) -> str:
    """Returns the CPU and wall times of the commands that only show something."""
    cores, load = (result["environment"][name] for name in ("cores", "load_average"))
    lines = [f"| command | of CPU | until it has ended, on {cores} cores at a load of {load:.0f} |", "|---" * 3 + "|"]
    lines += [f"| `{command}` | {own['cpu_s']:.2f} s | {own['wall_s']:.2f} s |"
              for command, own in result["medians"].items()]
    return "\n".join(lines) + "\n"


def overhead_table(result: dict[str, Any]) -> str:
    """Returns the overhead of a trial besides its evaluation, in all and in its parts, as the trials grow many."""
    parts = ("trial", "strategy", "storage", "rest")
    load = result["environment"]["load_average"]
    lines = [f"| CPU time of a trial but its evaluation, at a load of {load:.0f} | at trial | in all | the proposal "
             "| storage of the trials | bookkeeping |", "|---" * 6 + "|"]
    lines += [f"| {OVERHEAD[case]} | {int(at):,} | " + " | ".join(f"{own[part]:.0f} ms" for part in parts) + " |"
              for case in OVERHEAD for at, own in result[case].items()]
    return "\n".join([*lines, f"| memory of the last search, at most | | {result['peak_memory_mb']} MB | | | |"]) + "\n"


def parts_table(result: dict[str, Any]) -> str:
    """Returns a table of the milliseconds of each part of a step, in plain XLA and here."""
    lines = [f"| {result['network']}, batch {result['batch']} | plain XLA, forward | backward | here, forward | "
             "backward and update |", "|---" * 5 + "|"]
    for kind, own in result["ms"].items():
        cells = [f"{value:.1f} ms" for side in ("plain", "ours") for value in own[side].values()]
        lines.append(f"| {kind} | " + " | ".join(cells if len(cells) == 4 else [cells[0], "", cells[1], ""]) + " |")
    totals = [f"{sum(sum(own[side].values()) for own in result['ms'].values()):.1f} ms" for side in ("plain", "ours")]
    return "\n".join([*lines, f"| whole step | {totals[0]} | | {totals[1]} | |"]) + "\n"


def repeatability_table(*results: dict[str, Any]) -> str:
    """Returns the agreement of a second measurement with the first, on each of `RUNTIMES`."""
    reports = [result["report"] for result in results]
    rows = {"difference of the two medians, in the median case": "median difference",
            "the same at the 95th percentile": "95th percentile of differences",
            "half-width of the 95 % interval, in the median": "median half-width",
            "first interval holds the second median": "first interval holds the second median",
            "of pairs with disjoint intervals, ranked differently": "disjoint pairs ranked differently"}
    cells = {name: [f"{report[key]:.2%}" for report in reports] for name, key in rows.items()}
    cells["Kendall tau of the two rankings"] = [f"{report['Kendall tau']:.3f}" for report in reports]
    for load in ("busy loop on another core", "busy loop on the same core"):
        cells[f"{load}: flagged, or the interval holds the quiet median"] = [
            f"{report[load]['flagged or holds the quiet median']:.0%}" for report in reports]
    return _by_runtime("60 members of `mobile`, each timed twice", cells)


def certification_table(*results: dict[str, Any]) -> str:
    """Returns whether winners of searches kept their budgets when they were timed again later."""
    reports = [result["report"] for result in results]
    return _by_runtime("winners of searches, their files timed again later", {
        "winners": [f"{report['winners']}" for report in reports],
        "minutes later, at least": [f"{report['minutes between the timings, at least']:.0f}" for report in reports],
        "raw median within the budget": [f"{report['later medians within the budget']}" for report in reports],
        "share of the budget that is used, in the median": [
            f"{report['median share of the budget used']:.1%}" for report in reports]})


def predictor_table(measured: dict[str, Any], published: dict[str, Any]) -> str:
    """Returns the errors and rank correlations of predictors on unseen networks, in the mean over training sets."""
    lines = ["| latencies of | learned from | median error | within 10 % | Kendall tau | 90 % intervals that hold it | "
             "median error of a line through multiply-adds |", "|---" * 7 + "|"]
    for name, own in measured["results"].items():
        lines.append(_predictor_row(name, TRAINING, [each for key, each in own.items() if key.startswith("learned")]))
    for name, own in published["results"].items():
        lines.append(_predictor_row(f"{name}, published table", own["training rows"], [own]))
    return "\n".join(lines) + "\n"


def _predictor_row(name: str, rows: int, found: list[dict[str, Any]]) -> str:
    error, within, tau, inside = (float(np.mean([each["predictor"][key] for each in found])) for key in (
        "median error", "within 10 %", "Kendall tau", "inside the 90% interval"))
    line = float(np.mean([each["line through MACs"]["median error"] for each in found]))
    return f"| {name} | {rows} | {error:.1%} | {within:.0%} | {tau:.3f} | {inside:.0%} | {line:.1%} |"


def interval_table(result: dict[str, Any]) -> str:
    """Returns the coverage and the half-widths of 90 % intervals that are learned from few rows."""
    counts = list(dict.fromkeys(count for own in result["results"].values() for count in own))
    lines = [f"| 90 % intervals hold (half-width), learned from | {' | '.join(f'{count} rows' for count in counts)} |",
             "|---" * (1 + len(counts)) + "|"]
    for name, own in result["results"].items():
        cells = [f"{own[count]['inside the 90% interval']:.0%} (±{own[count]['median half-width']:.1%})"
                 if count in own else "" for count in counts]
        title = f"{name}, method chosen on it" if name in result["chosen on"] else name
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def sources_table(result: dict[str, Any]) -> str:
    """Returns the names at their sources of the networks of one text, its conventions, and the largest difference."""
    networks = result["networks"]
    alike: dict[Source, tuple[str, ...]] = {}
    for name, source in SOURCES.items():
        alike[source] = (*alike.get(source, ()), name)
    lines = ["| names at their sources | network of the zoo | padding, epsilon | largest difference, in units of the "
             "largest logit |", "|---" * 4 + "|"]
    for source, names in alike.items():
        own = "".join(f", {what}" for what in (source.activation, source.stem and "a bare stem") if what)
        found = [max(networks[name]["differences"].values()) for name in names if name in networks]
        lines.append(f"| {', '.join(f'`{name}`' for name in names)} | `{source.network}` | {source.padding}, "
                     f"{source.bn_epsilon:g}{own} | {f'{max(found):.0e}' if found else 'not measured'} |")
    return "\n".join(lines) + "\n"


def _by_runtime(title: str, cells: dict[str, list[str]]) -> str:
    lines = [f"| {title} | " + " | ".join(RUNTIMES) + " |", "|---" * (1 + len(RUNTIMES)) + "|"]
    return "\n".join([*lines, *(f"| {name} | " + " | ".join(own) + " |" for name, own in cells.items())]) + "\n"


Tables = dict[Callable[..., str], tuple[str, ...]]  # the results that each table is made of

DOCUMENTS: dict[str, Tables] = {
    "docs/performance.md": {
        training_step_table: ("training_step",), parts_table: ("step_parts",), whole_search_table: ("whole_search",),
        compilation_table: ("compilation",), memory_table: ("resident_memory",),
        overhead_table: ("overhead",), starts_table: ("starts",)},
    "docs/latency.md": {repeatability_table: tuple(f"latency_repeatability_{runtime}" for runtime in RUNTIMES),
                        certification_table: tuple(f"certification_{runtime}" for runtime in RUNTIMES),
                        predictor_table: ("predictor", "predictor_tables"),
                        interval_table: ("interval_coverage",)},
    "docs/sources.md": {sources_table: ("reference_logits",)}}


def tables(document: str) -> str:
    """Returns the tables of a document."""
    return "\n".join(write(*(json.loads((RESULTS / f"{name}.json").read_text()) for name in names))
                     for write, names in DOCUMENTS[document].items())


def with_table(text: str, table: str) -> str:
    """Returns a document with the tables between its marks."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + table + END + rest.split(END, 1)[1]


def main() -> None:
    """Writes the tables into their documents."""
    for document in DOCUMENTS:
        path = ROOT / document
        write_whole(path, with_table(path.read_text(), tables(document)).encode())


if __name__ == "__main__":
    main()
