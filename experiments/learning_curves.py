"""The worth of every member of a small space, had its training been stopped after some epoch.

Trains each of the 128 architectures of `LEARNING_CURVES` on the embedded data at 14 pixels for 9 epochs, with 2 seeds,
and records the validation accuracy after every epoch. The learning rate follows the schedule of all 9 epochs, so a row
is what a search sees that stops a training early and what it sees if it goes on. Strategies and early stopping are
compared on the table in seconds, with no training: `--data table:learning-curves`.

    python experiments/learning_curves.py                  # goes on where it was, until the table is whole
    python experiments/learning_curves.py --seconds 120    # for so long at most

Takes about 20 minutes on two cores. A row is appended when a training has ended; rows that are there are kept.
"""

import argparse
import csv
import itertools
import os
import time
from pathlib import Path

from evaluators.benchmarks.networks import LEARNING_CURVES
from evaluators.benchmarks.tables import OWN
from evaluators.datasets import Dataset, load_dataset
from evaluators.evaluator import Fidelity
from evaluators.networks.weights import Weights
from evaluators.recipe import Recipe
from evaluators.training.train import evaluate
from search_spaces import Architecture

RESOLUTION = 14
EPOCHS = 9
SEEDS = (0, 1)
TABLE = Path(OWN["learning-curves"])
COLUMNS = ("architecture", "seed", "macs", "params", *(f"accuracy_{epoch}" for epoch in range(1, EPOCHS + 1)))


def all_members(data: Dataset) -> list[Architecture]:
    """Returns every architecture of the space once, in the order of its choices."""
    space = LEARNING_CURVES.bind(data.resolution, data.channels, len(data.classes))
    names = space.parameters
    found = (space.decode(dict(zip(names, values, strict=True))) for values in itertools.product(*names.values()))
    return list({architecture.id: architecture for architecture in found}.values())


def learning_curve(architecture: Architecture, data: Dataset, seed: int) -> list[float]:
    """Returns the validation accuracy after each epoch of one training."""
    accuracies: list[float] = []
    checkpoint: Weights = {}
    for epochs in range(1, EPOCHS + 1):
        score = evaluate(architecture, data, Fidelity(Recipe(EPOCHS, seed=seed), epochs, checkpoint))
        accuracies.append(score.accuracy)
        checkpoint = dict(score.checkpoint)
    return accuracies


def recorded(table: Path) -> set[tuple[str, int]]:
    """Returns the architectures and seeds of a table that may not exist yet."""
    if not table.exists():
        return set()
    with table.open(newline="") as file:
        return {(row["architecture"], int(row["seed"])) for row in csv.DictReader(file)}


def record(table: Path, seconds: float) -> bool:
    """Returns whether the table is whole, having appended rows to it for so many seconds at most."""
    deadline = time.monotonic() + seconds
    data = load_dataset("fashion-mnist", resolution=RESOLUTION)
    left = [(architecture, seed) for seed in SEEDS for architecture in all_members(data)]
    done = recorded(table)
    left = [(architecture, seed) for architecture, seed in left if (architecture.text, seed) not in done]
    if not done:
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text(",".join(COLUMNS) + "\n")
    for index, (architecture, seed) in enumerate(left):
        if time.monotonic() > deadline:
            print(f"{len(left) - index} trainings are left")
            return False
        values = [architecture.text, seed, architecture.macs, architecture.params,
                  *learning_curve(architecture, data, seed)]
        with table.open("a", newline="") as file:  # one write, so that an interruption leaves whole lines
            file.write(",".join(map(str, values)) + os.linesep)
        print(f"{len(left) - index - 1:4} left  {values[-1]:.3f}  {architecture.text}", flush=True)
    return True


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Records learning curves; see the docstring.")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="time after which no training begins")
    arguments = parser.parse_args()
    record(arguments.table, arguments.seconds)
