import json

import pytest

from experiments.benchmarks.table import RESULT, ROOT, training_step_table, with_table


def test_the_readme_shows_the_recorded_figures():
    readme = (ROOT / "README.md").read_text()
    assert with_table(readme, training_step_table(json.loads(RESULT.read_text()))) == readme


def test_a_ratio_is_the_geometric_mean_over_cases_of_ratios_of_medians():
    rows = [{"setting": "command", "floor_ms": 1.0, "ms": {"ours": [2.0, 2.0, 9.0], "pytorch": [4.0]}},
            {"setting": "command", "floor_ms": 4.0, "ms": {"ours": [8.0], "pytorch": [64.0]}}]
    assert "| of the `nas` command | 2 | 4.00x | 50% |" in training_step_table({"cases": rows})


def test_a_readme_without_marks_is_left_alone():
    with pytest.raises(ValueError):
        with_table("no marks", "table")
