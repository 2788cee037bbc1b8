import pytest

from experiments.benchmarks.table import (
    DOCUMENTS,
    ROOT,
    compilation_table,
    memory_table,
    overhead_table,
    predictor_table,
    starts_table,
    tables,
    training_step_table,
    whole_search_table,
    with_table,
)


def test_a_search_is_compared_with_the_script():
    sides = {"2 workers, cold": {"seconds": 60.2, "candidates_per_hour": 120.0, "accuracy": {"a": 0.8, "b": 0.9}},
             "pytorch": {"seconds": 90.0, "candidates_per_hour": 80.0, "accuracy": {"a": 0.75, "b": 0.85}}}
    table = whole_search_table({"sides": sides})
    assert "| `nas search`, 2 workers, cold compile cache | 60 | 120 | 1.50x | 85.0% |" in table
    assert "| Optuna and PyTorch, a script | 90 | 80 | 1.00x | 80.0% |" in table


def test_a_command_has_its_time_on_the_processor_and_on_the_clock():
    table = starts_table({"medians": {"nas --help": {"cpu_s": 0.134, "wall_s": 0.256}},
                          "environment": {"load_average": 1.9, "cores": 4}})
    assert "on 4 cores at a load of 2" in table
    assert "| `nas --help` | 0.13 s | 0.26 s |" in table


def test_what_a_trial_takes_is_told_with_its_parts():
    own = {"trial": 84.0, "strategy": 59.7, "storage": 14.8, "rest": 9.2}
    table = overhead_table({"nas-bench-macro": {"100": own}, "mobile": {}, "table": {"10000": own},
                            "peak_memory_mb": 383, "environment": {"load_average": 1.0}})
    assert "| table with 8 choices | 100 | 84 ms | 60 ms | 15 ms | 9 ms |" in table
    assert "| table with 28 choices | 10,000 | 84 ms |" in table
    assert "383 MB" in table


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_shows_the_recorded_figures(document):
    text = (ROOT / document).read_text()
    assert with_table(text, tables(document)) == text


def test_a_ratio_is_the_geometric_mean_over_cases_of_ratios_of_medians():
    rows = [{"setting": "command", "floor_ms": 1.0, "ms": {"ours": [2.0, 2.0, 9.0], "pytorch": [4.0]}},
            {"setting": "command", "floor_ms": 4.0, "ms": {"ours": [8.0], "pytorch": [64.0]}}]
    assert "| of the `nas` command | 2 | 4.00x | 50% |" in training_step_table({"cases": rows})


def test_compilation_is_compared_over_the_candidates_that_both_sides_had():
    seconds = {"blocks": [9.0, 8.0, 7.0, 6.0, 5.0, 1.0, 3.0], "network": [7.0, 9.0]}
    table = compilation_table({"runs": {"first": {"seconds": seconds}}})
    assert "| first run, candidates 1 to 5 | 7.00 s |" in table
    assert "| first run, candidates 6 to 7 | 2.00 s | 8.00 s | 0.25 |" in table


def test_memory_grows_from_the_fifth_candidate_to_the_last():
    table = memory_table({"resident_mb": {"default": [[0, 200.0], [5, 500.0], [30, 900.0], [60, 610.4]]}})
    assert "after 5 candidates | after 60 |" in table
    assert "| default | 500 MB | 610 MB | 110 MB |" in table


def test_a_readme_without_marks_is_left_alone():
    with pytest.raises(ValueError):
        with_table("no marks", "table")


def test_a_predictor_is_shown_in_the_mean_of_what_it_was_learned_from():
    def found(error):
        return {"predictor": {"median error": error, "within 10 %": 0.9, "Kendall tau": 0.8,
                              "inside the 90% interval": 0.91}, "line through MACs": {"median error": 0.2}}

    measured = {"results": {"litert": {"median latency (ms)": 1.0, "learned from 1": found(0.01),
                                       "learned from 2": found(0.03)}}}
    assert "| litert | 150 | 2.0% | 90% | 0.800 | 91% | 20.0% |" in predictor_table(measured, {"results": {}})
