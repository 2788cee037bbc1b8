"""What should the models of a surrogate learn: the error or the log loss, with a trend, and how sure of it?

    python -m experiments.trend        # some seconds; it trains nothing

On the members of the default space in the record of `experiments.finals`, `experiments/results/finals.json`, which is
of a wider one: the strategy's Gaussian process learns the errors, or the log losses, of validation images of a random
half of the members after a brief training, and predicts those of the other half, many times. Kendall's tau says how far
its predictions rank the members as the test accuracy after whole trainings does. It may know that both fall with the
multiply-adds, and how far a share of so many images is due to chance, which is taken for the log loss too. Expected:
within a latency budget the multiply-adds alone rank networks that were not seen better than a model of errors without a
trend does; trend and log loss bring most of that.
"""

import argparse
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from evaluators.recipe import FINAL_EPOCHS
from experiments.finals import BRIEF_EPOCHS, RESULTS, SCALED, SCORES, TEST, values
from nas.run.config import FITTED
from nas.strategies.surrogate.features import Members
from nas.strategies.surrogate.gaussian_process import GaussianProcess, fit
from nas.strategies.surrogate.observations import by_chance
from search_spaces import SPACES, Architecture

DRAWS = 20
MACS = "multiply-adds alone"
IMAGES = {"fashion-mnist": 1000, "cifar10_3500": 583}  # for validation
WAYS = {"error, without either": ("accuracy", False, False), "error, with the trend": ("accuracy", True, False),
        "error, with the chance among images": ("accuracy", False, True), "error, with both": ("accuracy", True, True),
        "log loss, without either": ("log loss", False, False), "log loss, with both": ("log loss", True, True),
        f"{SCALED}, with both": (SCALED, True, True)}  # what it learns, and whether it knows trend and chance


def taus(rows: Mapping[str, Any], images: int) -> dict[str, float]:
    """Returns Kendall's tau of each way's predictions for members that it has not seen, and of multiply-adds."""
    from scipy.stats import kendalltau

    texts = [text for text, of in rows.items() if {str(BRIEF_EPOCHS[0]), str(FINAL_EPOCHS)} <= set(of)]
    input_of = Architecture.parse(texts[0])
    space = SPACES[FITTED].bind(input_of.input.resolution, input_of.input.channels, input_of.classes)
    members = Members(space, memory=False)
    known = {text: member for text in texts if (member := members.of_text(text))}
    texts, points = list(known), members.features(list(known.values()))
    recorded = min(len(row) for text in texts for row in rows[text][str(BRIEF_EPOCHS[0])])
    losses = {score: values(rows, texts, BRIEF_EPOCHS[0], place) for score, (place, _) in SCORES.items()
              if place < recorded}
    errors = losses["accuracy"] = 1 - losses["accuracy"]
    final = values(rows, texts, FINAL_EPOCHS, TEST).mean(0)
    found: dict[str, list[float]] = {}
    generator = np.random.default_rng(0)
    for draw in range(DRAWS):
        order, seed = generator.permutation(len(texts)), draw % len(errors)
        seen, new = np.split(order, [len(order) // 2])
        for way, (score, trend, chance) in ((way, of) for way, of in WAYS.items() if of[0] in losses):
            along = members.macs if trend else None
            deviations = by_chance(errors[seed, seen], images) if chance else np.zeros(len(seen))
            learned = points[seen], np.log(losses[score][seed, seen]), members.groups
            process = GaussianProcess(*learned, fit(*learned, along, deviations), deviations, along)
            found.setdefault(way, []).append(kendalltau(-process.predict(points[new])[0], final[new]).statistic)
        found.setdefault(MACS, []).append(
            kendalltau(points[new, members.macs], final[new]).statistic)
    return {way: float(np.mean(each)) for way, each in found.items()}


def main() -> None:
    """Prints the table."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    record = json.loads(RESULTS.read_text())
    found = {name: taus(rows, IMAGES[name.partition(",")[0]]) for name, rows in record.items()}
    table = Table("model", *found, title="Kendall's tau, members that were not seen")
    for way in (*WAYS, MACS):
        table.add_row(way, *(f"{of[way]:.2f}" if way in of else "" for of in found.values()))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
