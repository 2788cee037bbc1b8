"""Writes the README's tables of the benchmarks from their JSON files.

    python -m experiments.benchmarks.table
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.files import write_whole

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "experiments" / "results"
BEGIN, END = "<!-- python -m experiments.benchmarks.table -->\n", "<!-- end -->\n"
SETTINGS = {"command": "of the `nas` command", "default": "default"}


def geometric_mean(values: list[float]) -> float:
    """Returns the geometric mean of positive values."""
    return float(np.exp(np.mean(np.log(values))))


def training_step_table(result: dict[str, Any]) -> str:
    """Returns, for each allocator setting, how many times as fast as other sides a step is, in the geometric mean."""
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
    """Returns how many candidates an hour each side trains, and how that compares with the script."""
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


def parts_table(result: dict[str, Any]) -> str:
    """Returns where the milliseconds of a step go, in plain XLA and here."""
    lines = [f"| {result['network']}, batch {result['batch']} | plain XLA, forward | backward | here, forward | "
             "backward and update |", "|---" * 5 + "|"]
    for kind, own in result["ms"].items():
        cells = [f"{value:.1f} ms" for side in ("plain", "ours") for value in own[side].values()]
        lines.append(f"| {kind} | " + " | ".join(cells if len(cells) == 4 else [cells[0], "", cells[1], ""]) + " |")
    totals = [f"{sum(sum(own[side].values()) for own in result['ms'].values()):.1f} ms" for side in ("plain", "ours")]
    return "\n".join([*lines, f"| whole step | {totals[0]} | | {totals[1]} | |"]) + "\n"


TABLES = {"training_step": training_step_table, "step_parts": parts_table, "whole_search": whole_search_table,
          "compilation": compilation_table, "resident_memory": memory_table}


def tables() -> str:
    """Returns the tables of all results that are recorded."""
    return "\n".join(write(json.loads(path.read_text())) for name, write in TABLES.items()
                     if (path := RESULTS / f"{name}.json").exists())


def with_table(readme: str, table: str) -> str:
    """Returns the README with the tables between its marks."""
    before, rest = readme.split(BEGIN)
    return before + BEGIN + table + END + rest.split(END, 1)[1]


def main() -> None:
    """Writes the tables into the README."""
    readme = ROOT / "README.md"
    write_whole(readme, with_table(readme.read_text(), tables()).encode())


if __name__ == "__main__":
    main()
