"""Writes the README's table of the benchmarks from their JSON files.

    python -m experiments.benchmarks.table
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.files import write_whole

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "experiments" / "results" / "training_step.json"
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


def with_table(readme: str, table: str) -> str:
    """Returns the README with the table between its marks."""
    before, rest = readme.split(BEGIN)
    return before + BEGIN + table + END + rest.split(END, 1)[1]


def main() -> None:
    """Writes the table into the README."""
    readme = ROOT / "README.md"
    write_whole(readme, with_table(readme.read_text(), training_step_table(json.loads(RESULT.read_text()))).encode())


if __name__ == "__main__":
    main()
