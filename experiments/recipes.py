"""Which recipe trains networks of several sizes best at equal epochs?

    python -m experiments.recipes --data PHOTOGRAPHS fashion-mnist --seeds 3
    python -m experiments.recipes --data fashion-mnist --epochs 1 --seeds 1 --images 400 --recipes mixup      # smoke

Each of `RECIPES` trains four networks on the training images, with each seed. The recipe of a data set is the one of
highest validation accuracy, in the mean over networks and seeds; its test accuracy is reported beside that of the
default before any of these were tried, with the 95 % interval of the mean paired difference. A training that is in the
record, `experiments/results/recipes.json`, is not done again, so that the command goes on after a kill. Expected time:
5 s to 5 min a training on two cores; expected: the default is better than the one before by a point or two where images
are few, most of it in the smallest network.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from evaluators.datasets import Dataset, load_dataset
from evaluators.evaluator import Fidelity
from evaluators.machine.files import write_whole
from evaluators.networks.network import Network, logits_of
from evaluators.networks.weights import Weights
from evaluators.recipe import FINAL_EPOCHS, Recipe
from evaluators.training.augmentation import prepare
from evaluators.training.train import Images, train
from search_spaces import Architecture

ROOT = Path(__file__).parents[1]
EARLIER = "batch 64"  # the default before any of these were tried, which others are compared with
RECIPES: Mapping[str, Mapping[str, Any]] = {
    EARLIER: {"batch": 64},
    "default": {},
    "batch 16": {"batch": 16},
    "rate 0.003": {"peak_rate": 3e-3},
    "average": {"average": 0.99},
    "gentle": {"augmentation": "randaugment", "magnitude": 0.3, "operations": 1},
    "gentle, average": {"augmentation": "randaugment", "magnitude": 0.3, "operations": 1, "average": 0.99},
    "randaugment": {"augmentation": "randaugment"},
    "randaugment, average": {"augmentation": "randaugment", "average": 0.99},
    "mixup": {"mixup": 0.2},
    "cutmix": {"cutmix": 1.0},
    "randaugment, mixup, average": {"augmentation": "randaugment", "mixup": 0.1, "average": 0.99},
    "depth, average": {"stochastic_depth": 0.1, "average": 0.99},
    "all": {"augmentation": "randaugment", "mixup": 0.1, "cutmix": 0.5, "average": 0.99, "stochastic_depth": 0.1},
}
NETWORKS = {
    "tiny": "conv_k3_c8_s2_relu+mb_k3_e3_c16_s2_se0_relu+mb_k3_e3_c16_s1_se0_relu+head_c32_relu",
    "small": "conv_k3_c16_s2_relu+mb_k3_e3_c24_s2_se0_relu+mb_k3_e3_c24_s1_se0_relu+mb_k3_e3_c40_s2_se0_relu+"
             "mb_k3_e3_c40_s1_se0_relu+head_c96_relu",
    "medium": "conv_k3_c24_s2_hswish+mb_k3_e4_c40_s2_se0.25_hswish+mb_k3_e4_c40_s1_se0.25_hswish+"
              "mb_k5_e4_c80_s2_se0.25_hswish+mb_k5_e4_c80_s1_se0.25_hswish+head_c256_hswish",
    "large": "conv_k3_c32_s1_hswish+mb_k3_e4_c48_s2_se0.25_hswish+mb_k3_e4_c48_s1_se0.25_hswish+"
             "mb_k3_e4_c96_s2_se0.25_hswish+mb_k5_e4_c96_s1_se0.25_hswish+mb_k5_e4_c96_s1_se0.25_hswish+"
             "head_c384_hswish",
}
TEST_BATCH = 250


def network(name: str, data: Dataset) -> Architecture:
    """Returns the network of that name in `NETWORKS` for the images and classes of data."""
    return Architecture.parse(f"in_r{data.resolution}_c{data.channels}+{NETWORKS[name]}_n{len(data.classes)}")


def scored(architecture: Architecture, data: Dataset, recipe: Recipe) -> dict[str, float]:
    """Returns the accuracies on validation and on test images, and the seconds of the training."""
    began_s = time.monotonic()
    training, validation = (Images.put(part.images, part.labels, data) for part in (data.train, data.validation))
    trained = train(architecture, training, validation, Fidelity(recipe))
    seconds = time.monotonic() - began_s
    return {"validation": trained.accuracy, "test": right_on_test(architecture, trained.arrays, data),
            "seconds": round(seconds, 1)}


def right_on_test(architecture: Architecture, arrays: Weights, data: Dataset) -> float:
    """Returns the accuracy of a network on the test images."""
    module, right = Network(architecture, arrays=arrays), 0
    mean, std = tuple(map(float, data.mean)), tuple(map(float, data.std))
    for start in range(0, len(data.test), TEST_BATCH):
        images = prepare(data.test.images[start:start + TEST_BATCH], mean, std, data.resolution)
        found = np.asarray(logits_of(module, images)).argmax(-1)
        right += int(np.sum(found == data.test.labels[start:start + TEST_BATCH]))
    return right / len(data.test)


def fewer(data: Dataset, count: int | None) -> Dataset:
    """Returns data with so many training images, of all classes alike."""
    return data if count is None else dataclasses.replace(data, train=data.train.sample(count, seed=0))


def chosen(accuracies: Mapping[str, np.ndarray]) -> str:
    """Returns the recipe of highest mean accuracy on validation images."""
    return max(accuracies, key=lambda name: float(accuracies[name].mean()))


def report(data: str, rows: Mapping[str, list[dict[str, float]]]) -> tuple[Table, str]:
    """Returns the table of the recipes of a data set, and a line on the chosen one."""
    validation, test = ({name: np.array([row[part] for row in of]) for name, of in rows.items()}
                        for part in ("validation", "test"))
    table = Table("recipe", "validation (%)", "test (%)", "seconds", title=f"{data}: means over networks and seeds")
    for name, of in rows.items():
        table.add_row(name, f"{100 * validation[name].mean():.2f}", f"{100 * test[name].mean():.2f}",
                      f"{np.mean([row['seconds'] for row in of]):.0f}")
    best = chosen(validation)
    gains = 100 * (test[best] - test[EARLIER])
    half = 1.96 * gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else float("nan")
    return table, f"chosen on validation images: {best}; {gains.mean():+.2f} +- {half:.2f} points of test accuracy"


def main() -> None:
    """Makes the trainings that lack in the record, and prints the table of all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", nargs="+", default=["fashion-mnist"], help="as `nas search --data` takes them")
    parser.add_argument("--epochs", type=int, default=FINAL_EPOCHS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--images", type=int, help="training images at most")
    parser.add_argument("--record", type=Path, default=ROOT / "experiments/results/recipes.json")
    arguments = parser.parse_args()
    console = Console(width=100)
    content: dict[str, Any] = json.loads(arguments.record.read_text()) if arguments.record.exists() else {}
    for place in arguments.data:
        data = fewer(load_dataset(place), arguments.images)
        rows: dict[str, list[dict[str, float]]] = {}
        for name in dict.fromkeys([EARLIER, *arguments.recipes]):
            for size in arguments.networks:
                for seed in range(arguments.seeds):
                    recipe = Recipe(arguments.epochs, seed=seed, **RECIPES[name])
                    architecture = network(size, data)
                    key = json.dumps([data.fingerprint, len(data.train), architecture.text, dataclasses.asdict(recipe)])
                    if key not in content:
                        content[key] = scored(architecture, data, recipe)
                        write_whole(arguments.record, (json.dumps(content, indent=1) + "\n").encode())
                    rows.setdefault(name, []).append(content[key])
        console.print(*report(Path(place).stem, rows), sep="\n")


if __name__ == "__main__":
    main()
