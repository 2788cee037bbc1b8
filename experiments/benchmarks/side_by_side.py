"""How many candidates an hour are trained alone, and how many in groups, side by side on one device?

    python -m experiments.benchmarks.side_by_side                                      # on the device that JAX takes
    python -m experiments.benchmarks.side_by_side --together 3 --groups 1 --images 640    # fewer, keeps no figures

Groups of 8 different random members of `fitted` for the embedded data are trained by the default recipe: each alone,
then all of a group in one program, in turn. What was compiled is kept in memory only, so the time of a candidate has
all of tracing and compiling in it. Beside it stand the pieces that a group has, the stacks that they make, and by how
much accuracies differ, which is by rounding only.

Meant for a GPU or a TPU; expected there: more candidates an hour side by side, and accuracies that differ by less than
those of two seeds. On a CPU it shows the second only: there is nothing to fill, and a program for each group is dear.
"""

import argparse
import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.datasets import Dataset, load_dataset
from evaluators.datasets.dataset import Split
from evaluators.evaluator import Fidelity
from evaluators.machine.files import write_whole
from evaluators.recipe import Recipe
from evaluators.training.executables import LIMIT
from nas.measuring.survey import members
from nas.run.environment import environment
from search_spaces import Architecture, load_space

RESULT = Path(__file__).parents[1] / "results" / "side_by_side.json"
TOGETHER, GROUPS, SEED = 8, 4, 0


def compared(networks: list[Architecture], data: Dataset, recipe: Recipe) -> dict[str, Any]:
    """Returns seconds and accuracies of networks that are trained alone and side by side, and how they are stacked."""
    from evaluators.training.partition import cut
    from evaluators.training.side_by_side import aligned
    from evaluators.training.train import evaluate, evaluate_side_by_side

    fidelity, programs = Fidelity(recipe), tuple(network.program for network in networks)
    start = time.perf_counter()
    alone = [evaluate(network, data, fidelity).accuracy for network in networks]
    alone_s = time.perf_counter() - start
    start = time.perf_counter()
    together = [getattr(score, "accuracy", 0.0) for score in evaluate_side_by_side(
        [(network, fidelity) for network in networks], data)]
    return {"alone_s": alone_s, "together_s": time.perf_counter() - start, "alone": alone, "together": together,
            "pieces": sum(len(cut(program)) for program in programs), "stacks": len(aligned(programs))}


def summary(groups: list[dict[str, Any]]) -> str:
    """Returns the figures of all groups in lines."""
    count = sum(len(group["alone"]) for group in groups)
    alone, together = (3600 * count / sum(group[key] for group in groups) for key in ("alone_s", "together_s"))
    differences = np.concatenate([np.subtract(group["alone"], group["together"]) for group in groups])
    return (f"candidates an hour: {alone:.0f} alone, {together:.0f} side by side, {together / alone:.2f}x\n"
            f"accuracies differ by {100 * np.abs(differences).mean():.2f} points in the mean, at most by "
            f"{100 * np.abs(differences).max():.2f}\n"
            f"{sum(group['pieces'] for group in groups)} pieces in {sum(group['stacks'] for group in groups)} stacks")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description="Times trainings side by side; see the docstring.")
    parser.add_argument("--together", type=int, default=TOGETHER, help="figures are kept of the defaults only")
    parser.add_argument("--groups", type=int, default=GROUPS, help="the same")
    parser.add_argument("--images", type=int, help="the first so many training images; all by default")
    arguments = parser.parse_args()
    os.environ[LIMIT] = "0"
    import jax

    data = load_dataset("fashion-mnist", seed=SEED)
    data = dataclasses.replace(data, train=Split(data.train.images[:arguments.images],
                                                 data.train.labels[:arguments.images]))
    space = load_space("fitted").bind(data.resolution, data.channels, len(data.classes))
    networks = [space.decode(assignment)
                for assignment in members(space, arguments.together * arguments.groups, SEED)]
    groups = []
    for first in range(0, len(networks), arguments.together):
        groups.append(compared(networks[first:first + arguments.together], data, Recipe(seed=SEED)))
        print(summary(groups), flush=True)
    if (arguments.together, arguments.groups, arguments.images) == (TOGETHER, GROUPS, None):
        device = jax.devices()[0]
        write_whole(RESULT, (json.dumps({"device": f"{device.platform}: {device.device_kind}", "groups": groups,
                                         "environment": environment()}) + "\n").encode())


if __name__ == "__main__":
    main()
