"""The count of trials a second, on trials of known times."""

from datetime import datetime, timedelta

import pytest

from experiments.throughput import draw, rate_per_s, report
from nas.problem.candidate import Candidate


def told(trial, worker, seconds, **changes):
    return Candidate(trial, "conv", 0.5, worker=worker, state="complete", trained=True,
                     ended=datetime(2000, 1, 1) + timedelta(seconds=seconds), **changes)


def test_trials_count_from_when_each_worker_has_told_one():
    found = [told(0, "a", 0), told(1, "a", 1), told(2, "b", 10), told(3, "a", 11), told(4, "b", 12), told(5, "a", 14)]
    assert rate_per_s(found) == pytest.approx(3 / 4)
    assert rate_per_s(found[:3]) == 0
    assert rate_per_s([*found, Candidate(6, worker="c")]) == pytest.approx(3 / 4)
    assert rate_per_s([*found, told(6, "b", 13, duplicate_of=2)]) == pytest.approx(3 / 4)


def test_the_rates_are_told_and_drawn(tmp_path):
    results = {"sqlite, sleeping": {"1": 1.5, "8": 9.0}, "postgresql, hashed": {"8": 25.0}}
    assert "8: 9.00/s (6.0x)" in report(results)
    draw(results, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
