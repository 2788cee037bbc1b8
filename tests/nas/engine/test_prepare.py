"""What a search needs is made once, however many trials it has."""

import tomllib
from collections import Counter

import pytest

from nas.engine.search import run_search
from nas.problem.budgets import Budgets
from nas.run.config import SearchConfig


@pytest.fixture
def made(monkeypatch):
    """Counts how often a file of TOML is parsed, and a configuration and budgets are made."""
    counts = Counter()

    def counted(owner, name):
        function = getattr(owner, name)

        def call(*arguments):
            counts[owner.__name__] += 1
            return function(*arguments)

        monkeypatch.setattr(owner, name, call)

    counted(tomllib, "loads")
    counted(SearchConfig, "__post_init__")
    counted(Budgets, "__post_init__")
    return counts


@pytest.mark.parametrize("trials", [2, 6])
def test_a_search_reads_its_directory_at_most_twice_and_makes_budgets_no_more_often_with_more_trials(
        trials, make_config, gauge, made, tmp_path):
    config = make_config(space="mobile", trials=trials, macs=10**9)
    made.clear()
    run_search(config, tmp_path / "run", gauge=gauge)
    assert made["tomllib"] == 0  # it has just written what it might read
    assert made["SearchConfig"] == 0
    assert made["Budgets"] <= 5
    run_search(config, tmp_path / "run", gauge=gauge)
    assert made["tomllib"] == 2  # to compare with the configuration, and to add to it
    assert made["SearchConfig"] == 1
    assert made["Budgets"] <= 10
