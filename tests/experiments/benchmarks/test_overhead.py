from experiments.benchmarks.overhead import AT, PARTS, WINDOW, Stopwatch, medians
from nas.engine.search import run_search
from nas.run.config import SearchConfig


def test_every_trial_of_a_search_is_noted_with_all_its_parts(tmp_path):
    config = SearchConfig(data="table:learning-curves", objectives=("accuracy", "macs"), trials=10)
    stopwatch = Stopwatch()
    with stopwatch.watching():
        run_search(config, tmp_path / "run", stopwatch, gauge={})
    assert list(stopwatch.rows) == list(range(10))
    assert all(row.keys() == set(PARTS) and min(row.values()) > 0 for row in stopwatch.rows.values())


def test_medians_are_of_the_last_trials_before_each_number():
    rows = {trial: dict.fromkeys(PARTS, 1.0 if trial < AT[1] - WINDOW else 2.0) for trial in range(AT[1])}
    assert medians(rows) == {str(AT[0]): {"trial": 3.0, **dict.fromkeys(PARTS, 1.0)},
                             str(AT[1]): {"trial": 6.0, **dict.fromkeys(PARTS, 2.0)}}
