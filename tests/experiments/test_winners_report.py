"""What searches are worth beside other choices, in the mean over budgets."""

import re

import numpy as np
from scipy.stats import ttest_1samp

from experiments.winners_report import report

SEARCHES = {"p10": (0.90, None, 0.91), "p30": (0.9215,)}  # accuracies by seed, one of which found nothing
BY_HAND = {"p10": (0.89, 0.80, 0.905), "p30": (0.915,)}  # of the best family


def cell(searches, by_hand):
    """Returns the record of a budget: searches in 0.5 ms, a family made by hand in 1 ms, and one that is worse."""
    sides = {"search": (searches, 0.5), "by hand, mobilenet_v1": (by_hand, 1.0),
             "by hand, squeezenet_1.1": (tuple(one - 0.05 for one in by_hand), 1.0)}
    return {"budget_ms": 1.0,
            "chosen": {str(seed): {side: {"networks": {side: f"{side} {seed}" if own[seed] else None}}
                                   for side, (own, _) in sides.items()} for seed in range(len(searches))},
            "delivered": {f"{side} {seed}": {"0": {"accuracy": one, "latency_ms": latency_ms}}
                          for side, (own, latency_ms) in sides.items() for seed, one in enumerate(own) if one}}


def test_the_mean_over_budgets_is_of_choices_of_one_seed_and_has_the_interval_of_students_t():
    printed = report({f"digits, onnxruntime, {budget}": cell(SEARCHES[budget], BY_HAND[budget]) for budget in SEARCHES})

    row = next(line for line in printed.splitlines() if line.startswith("| digits, onnxruntime | by hand"))
    differences = [100 * np.mean([ours - theirs for ours, theirs in zip(SEARCHES[budget], BY_HAND[budget], strict=True)
                                  if ours]) for budget in SEARCHES]
    low, high = ttest_1samp(differences, 0).confidence_interval()
    assert [float(number) for number in re.findall(r"[-+]?\d+\.\d+|\d+", row)] == [
        2, round(float(np.mean(differences)), 2), round((high - low) / 2, 2), 2.0]
