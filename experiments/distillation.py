"""Does a small network gain from a teacher, at equal epochs?

    python -m experiments.distillation --data fashion-mnist --epochs 20 --seeds 3
    python -m experiments.distillation --epochs 2 --seeds 1 --images 400 --networks tiny --record smoke.json  # smoke

With each seed the largest network of `experiments.recipes` is trained on the training images, and then each small one
alone and taught by it, as the default recipe says. The table has test accuracies, and their paired difference with its
95 % interval. A training that is in the record, `experiments/results/distillation.json`, is not done again. Expected
time: a minute a training on two cores; expected: a point for `small`, and nothing for `tiny`.
"""

import argparse
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from evaluators.datasets import Dataset, load_dataset
from evaluators.evaluator import Fidelity
from evaluators.machine.files import write_whole
from evaluators.networks.checkpoint import network_file
from evaluators.recipe import FINAL_EPOCHS, Recipe
from evaluators.training.teacher import Teacher
from evaluators.training.train import Images, train
from experiments.recipes import NETWORKS, ROOT, fewer, network, right_on_test

SMALL, LARGE = ("tiny", "small"), "large"


def teacher_of(data: Dataset, recipe: Recipe) -> Teacher:
    """Returns the largest network, trained."""
    architecture = network(LARGE, data)
    arrays = train(architecture, Images.put(data.train.images, data.train.labels, data), None, Fidelity(recipe)).arrays
    return Teacher(LARGE, architecture, arrays, hashlib.sha256(network_file(architecture, arrays)).hexdigest())


def accuracies(data: Dataset, recipe: Recipe, names: list[str]) -> dict[str, float]:
    """Returns the test accuracies of the teacher, and of each small network alone and taught."""
    teacher, images = teacher_of(data, recipe), Images.put(data.train.images, data.train.labels, data)
    found = {LARGE: right_on_test(teacher.architecture, teacher.arrays, data)}
    for name in names:
        architecture = network(name, data)
        for teachers in ((), (teacher,)):
            arrays = train(architecture, images, None, Fidelity(recipe), teachers=teachers).arrays
            found[f"{name}, taught" if teachers else name] = right_on_test(architecture, arrays, data)
    return found


def report(rows: list[dict[str, float]], names: list[str]) -> Table:
    """Returns the table of the means over seeds."""
    table = Table("network", "alone (%)", "taught (%)", "gain (points)")
    for name in names:
        alone, taught = (100 * np.array([row[kind] for row in rows]) for kind in (name, f"{name}, taught"))
        half = 1.96 * (taught - alone).std(ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else float("nan")
        table.add_row(name, f"{alone.mean():.2f}", f"{taught.mean():.2f}",
                      f"{(taught - alone).mean():+.2f} +- {half:.2f}")
    table.add_row("teacher", f"{100 * np.mean([row[LARGE] for row in rows]):.2f}", "", "")
    return table


def main() -> None:
    """Makes the trainings that lack in the record, and prints the table of all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="fashion-mnist", help="as `nas search --data` takes them")
    parser.add_argument("--epochs", type=int, default=FINAL_EPOCHS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--networks", nargs="+", default=list(SMALL), choices=list(NETWORKS))
    parser.add_argument("--images", type=int, help="training images at most")
    parser.add_argument("--record", type=Path, default=ROOT / "experiments/results/distillation.json")
    arguments = parser.parse_args()
    content: dict[str, Any] = json.loads(arguments.record.read_text()) if arguments.record.exists() else {}
    data, rows = fewer(load_dataset(arguments.data), arguments.images), []
    for seed in range(arguments.seeds):
        recipe = Recipe(arguments.epochs, seed=seed)
        key = json.dumps([data.fingerprint, len(data.train), arguments.networks, dataclasses.asdict(recipe)])
        if key not in content:
            content[key] = accuracies(data, recipe, arguments.networks)
            write_whole(arguments.record, (json.dumps(content, indent=1) + "\n").encode())
        rows.append(content[key])
    Console(width=100).print(report(rows, arguments.networks))


if __name__ == "__main__":
    main()
