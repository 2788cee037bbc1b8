import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nas.problem.budgets import Budgets
from nas.report.measured import accuracy_text, latency_text
from nas.report.table import front_report, front_table, shorten
from search_spaces.architecture import Architecture


def printed(renderable, width=100):
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_the_table_has_the_front_from_fast_to_accurate_with_intervals(candidates, budgets):
    lines = [line for line in printed(front_table(candidates, budgets)).splitlines() if re.search(r"\d \[", line)]
    assert len(lines) == 3
    assert [line.split()[0] for line in lines] == ["4", "1", "*"]
    low, high = candidates[7].accuracy_ci
    assert f"* 7   91.25 [{100 * low:.2f}, {100 * high:.2f}]   0.0850 [0.0833, 0.0867]" in lines[2]
    assert re.search(r"3\.86M\s+355k\s+163 kB\s+1\.42 MB", lines[2])


def test_limits_stand_under_what_they_limit(candidates, budgets):
    header = printed(front_table(candidates, budgets)).splitlines()[:3]
    assert any("≤ 0.09 ms" in line and "≤ 20M" in line for line in header)
    assert "≤" not in printed(front_table(candidates, Budgets()))


def test_what_one_has_without_a_search_stands_below(candidates, budgets):
    by_hand = [dataclasses.replace(one, by_hand=one.trial in (0, 4)) for one in candidates]
    text = printed(front_report(by_hand, budgets, easy_accuracy=0.844))
    assert "on the same images: best made by hand 88.00 % (trial 0), logistic regression 84.40 %" in text
    assert "on the same images: logistic regression 84.40 %" in printed(front_table(candidates, budgets,
                                                                                    easy_accuracy=0.844))
    assert "on the same images" not in printed(front_table(candidates, budgets))


def test_a_hundred_columns_are_enough_for_the_report(candidates, budgets):
    text = printed(front_report(candidates, budgets), 100)
    assert printed(front_report(candidates, budgets), 200).splitlines()[0] == text.splitlines()[0]
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    table = printed(front_table(candidates, budgets))
    assert "…" not in table
    tokens = {token for one in (1, 4, 7) for token in candidates[one].architecture.split("+")}
    for token in tokens:  # folded between blocks only
        assert re.search(rf"(^|[\s+]){re.escape(token)}($|[\s+])", text, re.MULTILINE), token


def test_the_heading_counts_candidates(candidates, budgets):
    text = printed(front_report(candidates, budgets))
    assert text.startswith("Pareto front: 3 of 10 candidates (5 within the budget and fully trained, 1 stopped early)")


def test_without_a_front_the_report_says_why(candidates, budgets):
    text = printed(front_report([candidates[2], candidates[3]], budgets))
    assert " ".join(text.split()) == "No front yet: of 2 candidates, none is within the budget and fully trained"


def test_an_architecture_printed_whole_can_be_pasted_back(candidates, budgets):
    text = printed(front_report(candidates, budgets, ["accuracy"]))
    pasted = text[text.index("in_r28"):]
    assert "".join(pasted.split()) == candidates[7].architecture
    assert Architecture.parse(pasted) == Architecture.parse(candidates[7].architecture)


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6).map("+".join), min_size=2,
                max_size=4))
def test_what_is_left_out_of_architectures_is_said(texts):
    short, prefix, suffix = shorten(texts)
    for text, left in zip(texts, short, strict=True):
        middle = [token for token in left.split("+") if token and token != "…"]
        assert "+".join(filter(None, [prefix, *middle, suffix])) == text


@pytest.mark.parametrize(("text", "expected"), [
    (accuracy_text(None), "–"), (accuracy_text(0.5), "50.00"), (accuracy_text(0.5, (0.4, 0.6)), "50.00 [40.00, 60.00]"),
    (latency_text(None), "–"), (latency_text(0.09, (0.08931, 0.0912)), "0.0900 [0.0893, 0.0912]"),
    (latency_text(12.34, (12.0, 13.0)), "12.3 [12.0, 13.0]"), (latency_text(1234.4), "1234"),
    (latency_text(1.0), "1.00"),
])
def test_measured_values_keep_their_digits(text, expected):
    assert text == expected
