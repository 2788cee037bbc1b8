"""What searches are worth beside other choices, in the mean over budgets and seeds."""

import re

import numpy as np
from scipy.stats import ttest_1samp

from experiments.winners_report import report

ACCURACIES = {"p10": ((0.90, 0.91), (0.89, 0.905)), "p30": ((0.92,), (0.915,))}  # of searches and of two families' best


def cell(searches, by_hand):
    """Returns the record of a budget: searches in 0.5 ms, a family made by hand in 1 ms, and one that is worse."""
    sides = {"search": (searches, 0.5), "by hand, mobilenet_v1": (by_hand, 1.0),
             "by hand, squeezenet_1.1": (tuple(one - 0.05 for one in by_hand), 1.0)}
    return {"budget_ms": 1.0,
            "chosen": {str(seed): {side: {"networks": {side: f"{side} {seed}"}} for side in sides}
                       for seed in range(len(searches))},
            "delivered": {f"{side} {seed}": {"0": {"accuracy": one, "latency_ms": latency_ms}}
                          for side, (own, latency_ms) in sides.items() for seed, one in enumerate(own)}}


def test_the_mean_over_budgets_has_the_interval_of_paired_differences_from_the_best_family():
    printed = report({f"digits, onnxruntime, {budget}": cell(*own) for budget, own in ACCURACIES.items()})

    row = next(line for line in printed.splitlines() if line.startswith("| digits, onnxruntime | by hand"))
    differences = [100 * (ours - theirs) for own in ACCURACIES.values() for ours, theirs in zip(*own, strict=True)]
    low, high = ttest_1samp(differences, 0).confidence_interval()
    assert [float(number) for number in re.findall(r"[-+]?\d+\.\d+|\d+", row)] == [
        3, round(float(np.mean(differences)), 2), round((high - low) / 2, 2), 2.0]
