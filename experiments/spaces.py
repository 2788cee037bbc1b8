"""Do the random members of a space that fill a budget come near the published networks that do?

    python -m experiments.spaces --spaces fitted mobile --latency 0.1 --members 20
    python -m experiments.spaces --report

Spaces are compared by the distribution of the errors of their members at equal cost, as Radosavovic et al. 2020
("Designing network design spaces") do, not by the best one that a search happened to find. Members are drawn at random
and widened until they use 90 to 100 % of the budget; published mobile networks are made to fill it in every way of
`search_spaces.zoo.handmade`. All are trained alike and briefly, and scored on validation images. What is recorded is
not done again. A member takes 5 to 20 s on two cores; expected: the median of `fitted` lies near the best network made
by hand, that of `mobile` points below.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evaluators import Fidelity, evaluate
from evaluators.datasets import Dataset, load_dataset
from evaluators.machine.files import write_whole
from evaluators.recipe import Recipe
from nas.measuring.filling import FULL, filled, filled_members
from nas.measuring.meters import Gauges, file_gauges
from nas.problem.budgets import Budgets
from search_spaces import SPACES, Architecture, load_space
from search_spaces.zoo.handmade import FAMILIES, patterns

RESULTS = Path(__file__).parent / "results" / "spaces.json"
BY_HAND = "published networks made by hand"
EPOCHS = 4
PERCENTILES = (0, 10, 50, 90, 100)


def drawn(space: str, data: Dataset, budgets: Budgets, gauges: Gauges, count: int) -> list[Architecture]:
    """Returns random members of a space that fill the budget, as many as there are of `count`."""
    bound = load_space(space).bind(data.resolution, data.channels, len(data.classes))
    return filled_members(bound, budgets, gauges, 0, count, lambda what, done, total: None)


def made_by_hand(data: Dataset, budgets: Budgets, gauges: Gauges) -> Iterator[Architecture]:
    """Yields the published networks that fill the budget, in every way that they may be shortened."""
    for family in FAMILIES:
        for pattern in patterns(family, data.resolution, data.channels, len(data.classes)):
            full = filled(pattern.scaled, budgets, gauges)
            if full and full[1] >= FULL:
                yield full[0]


def report(rows: dict[str, Any]) -> str:
    """Returns the tables of all comparisons in Markdown: percentiles of the validation accuracies of each space."""
    lines = []
    for key, spaces in rows.items():
        best = 100 * max(spaces.get(BY_HAND, {}).values(), default=float("nan"))
        lines += [f"**{key}**\n", "|---" * 8 + "|"]
        lines.insert(-1, "| members of | trained | least | 10th | median | 90th | best | above the best by hand |")
        for name, found in spaces.items():
            own = 100 * np.array(list(found.values()))
            share = "" if name == BY_HAND else f"{np.mean(own > best):.0%}"
            lines.append(f"| {name if name == BY_HAND else f'`{name}`'} | {len(own)} | " + " | ".join(
                f"{value:.1f}" for value in np.percentile(own, PERCENTILES)) + f" | {share} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Makes the trainings that lack in the records, and prints the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--spaces", nargs="+", default=["fitted", "mobile"], help=f"of {', '.join(SPACES)}, or files")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--target", default="onnxruntime")
    parser.add_argument("--latency", type=float, default=0.1, help="budget in milliseconds")
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--report", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    rows: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if not arguments.report:
        data = load_dataset(arguments.data)
        budgets = Budgets(latency_ms=arguments.latency, targets=(arguments.target,))
        key = f"{Path(arguments.data).name}, {arguments.target}, {arguments.latency:g} ms, {EPOCHS} epochs"
        for name in (BY_HAND, *arguments.spaces):
            found = rows.setdefault(key, {}).setdefault(name, {})
            if found:
                continue
            with file_gauges((arguments.target,)) as gauges:
                networks = (list(made_by_hand(data, budgets, gauges)) if name == BY_HAND
                            else drawn(name, data, budgets, gauges, arguments.members))
            for network in networks:
                found[network.text] = evaluate(network, data, Fidelity(Recipe(EPOCHS))).accuracy
                print(f"{name}  {found[network.text]:.2%}  {network.text}", flush=True)
            write_whole(RESULTS, (json.dumps(rows, indent=1) + "\n").encode())
    print(report(rows))


if __name__ == "__main__":
    main()
