import io

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import ecdf

from nas.engine.distributions import BY_HAND, Comparison, Distribution, Member
from nas.problem.budgets import Budgets
from nas.report.distributions import distribution_table, draw_distributions, verdict

BUDGETS = Budgets(latency_ms=0.1)


@pytest.fixture
def comparison():
    def of(name, accuracies, used):
        members = tuple(Member(f"network {index}", used, f"{name} {index}") for index in range(len(accuracies)))
        return Distribution(name, members, tuple(accuracies))

    return Comparison(of(BY_HAND, [0.8, 0.85, 0.82], 0.92), (
        of("fitted", np.linspace(0.75, 0.95, 21).tolist(), 0.97), of("mobile", [0.7] * 10 + [0.8] * 11, 0.94)))


def printed(renderable):
    console = Console(width=100, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


def test_the_table_has_percentiles_intervals_and_the_share_above_the_best_by_hand(comparison):
    text = printed(distribution_table(comparison, BUDGETS, 3))
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert rows["fitted"].split()[1:6] == ["21", "97%", "75.0", "77.0", "85.0"]
    assert rows["fitted"].split()[8:-2] == ["93.0", "95.0", "48%"]  # 10 of 21 are above
    assert rows["mobile"].rstrip().endswith("80.0   80.0      0% [0, 0]")
    assert rows["made"].rstrip().endswith("85.0")
    assert "after 3 epochs of networks that use 90 to 100 % of latency 0.1 ms" in " ".join(text.split())
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    assert "…" not in text


def test_the_verdict_says_how_far_medians_are_from_the_best_by_hand(comparison):
    assert verdict(comparison) == ("best by hand: made by hand 1, 85.0 %; medians against it, in points: "
                                   "fitted +0.0, mobile -5.0")


def test_the_picture_has_the_empirical_distribution_functions_that_scipy_has(comparison):
    axes = draw_distributions(comparison, BUDGETS, 1).axes[0]
    lines = {line.get_label(): line.get_xydata() for line in axes.lines}
    for one in comparison.spaces:
        drawn = lines[f"{one.name} (21)"]
        expected = ecdf(one.accuracies).cdf
        for accuracy, share in zip(expected.quantiles, expected.probabilities, strict=True):
            assert np.max(drawn[np.isclose(drawn[:, 0], 100 * accuracy), 1]) == pytest.approx(share)
    assert sorted(lines["made by hand (3)"][:, 0]) == pytest.approx([80, 82, 85])
    assert lines["best by hand: made by hand 1"][:, 0] == pytest.approx([85, 85])
