import dataclasses
import re

import pytest

from nas.problem.budgets import Budgets
from nas.report.html.costs import costs_of
from nas.report.html.front import AREA, STRIP, front_section, label_of


def marks(found):
    """Returns the class and the place of each mark by its trial."""
    pattern = r'<a href="#trial-(\d+)" class="mark ([a-z-]+)".*?transform="translate\(([-\d.]+) ([-\d.]+)\)">(.*?)</a>'
    return {int(trial): (role, float(x), float(y), inside)
            for trial, role, x, y, inside in re.findall(pattern, front_section(found).text)}


def test_every_network_has_a_mark_of_its_role_in_its_place(found):
    drawn = marks(found)
    assert {trial: mark[0] for trial, mark in drawn.items()} == {
        0: "made-by-hand", 1: "on-the-front", 2: "rejected", 3: "stopped", 4: "on-the-front", 5: "dominated",
        6: "rejected", 7: "winner", 8: "failed", 10: "over-a-budget"}
    latency = next(costs_of(found))
    for trial in (0, 4, 7, 10):
        candidate = next(one for one in found.candidates if one.trial == trial)
        assert drawn[trial][1] == pytest.approx(AREA.x(latency.axis, candidate.latency_ms), abs=0.06)
    assert drawn[7][2] < drawn[1][2] < drawn[4][2] <= AREA.floor  # higher on the page is more accurate
    assert drawn[2][2] == AREA.floor + STRIP / 2


def test_bars_are_the_intervals_and_finalists_have_a_ring(found):
    drawn, winner = marks(found), found.winner
    low, high = (float(end) for end in re.search(r'd="M0 ([-\d.]+)V([-\d.]+)"', drawn[7][3]).groups())
    assert low > 0 > high
    share = (winner.accuracy_ci[1] - winner.accuracy) / (winner.accuracy_ci[1] - winner.accuracy_ci[0])
    assert -high / (low - high) == pytest.approx(share, abs=0.02)
    assert re.search(r'd="M-[\d.]+ 0H[\d.]+"', drawn[7][3])
    assert "#m-finalist" in drawn[7][3]
    assert "#m-finalist" not in drawn[4][3]
    assert "V" not in drawn[2][3]  # the accuracy of what was rejected is not known


def test_the_front_is_joined_up_to_the_budget_whose_line_is_named(found):
    text, latency = front_section(found).text, next(costs_of(found))
    assert ">budget 0.09 ms</text>" in text
    steps = re.search(r'class="stairs" d="M([\d.]+) [\d.]+((?:H[\d.]+V[\d.]+)+)"', text)
    across = [float(steps[1]), *(float(x) for x in re.findall(r"H([\d.]+)", steps[2]))]
    expected = [AREA.x(latency.axis, value) for value in (0.060, 0.070, 0.085, 0.09)]
    assert across == pytest.approx(expected, abs=0.06)


def test_logistic_regression_is_a_line_where_the_axis_reaches_it(found):
    def with_easy(accuracy):
        return dataclasses.replace(found, resolved=dataclasses.replace(found.resolved, easy_accuracy=accuracy))

    for easy, reached in ((0.88, True), (0.99, True), (0.3, False)):
        text = front_section(with_easy(easy)).text
        assert (f">logistic regression {100 * easy:.2f} %</text>" in text) == ('class="easy"' in text) == reached
    as_good = with_easy(found.winner.accuracy)
    line = re.search(r'class="easy" d="M[\d.]+ ([\d.]+)H', front_section(as_good).text)
    assert float(line[1]) == pytest.approx(marks(as_good)[7][2], abs=0.06)


def test_a_label_tells_what_a_network_is(found):
    assert label_of(found, found.winner) == (
        "trial 7, winner, on the front, finalist, 91.25 [89.93, 92.41] %, 0.0850 [0.0833, 0.0867] ms")


def test_each_axis_can_be_chosen_and_the_legend_counts(found):
    text = front_section(found).text
    assert text.count('type="radio"') == len(list(costs_of(found))) == 5
    for words in ("winner (1)", "on the front (2)", "made by hand (1)", "dominated (1)", "stopped early (1)",
                  "rejected before training: only its cost is known (2)", "trained longer in finals (2)"):
        assert words in text


def test_without_budgets_and_without_candidates_it_says_what_there_is(found):
    config = dataclasses.replace(found.config, latency_ms=None, macs=None)
    free = dataclasses.replace(found, budgets=Budgets(), config=config)
    assert ">budget " not in front_section(free).text
    assert "No candidate has been measured yet." in front_section(dataclasses.replace(found, candidates=[])).text
