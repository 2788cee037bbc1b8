import contextlib

from experiments.benchmarks.overhead import AT, PARTS, WINDOW, Stopwatch, fill, medians, table_of
from nas.engine.search import run_search
from nas.run.config import SearchConfig
from nas.run.directory import RunDirectory


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


def test_a_study_that_is_filled_at_once_is_gone_on_with(tmp_path):
    data = f"table:accel-nasbench:{table_of(tmp_path, 40)}"
    config = SearchConfig(data=data, objectives=("accuracy", "macs"), trials=30, strategy="random")
    with contextlib.suppress(KeyboardInterrupt):
        run_search(config, tmp_path / "run", Stopwatch(trials=1), gauge={})
    fill(tmp_path / "run" / "study.db", config.data, 25)
    assert len(RunDirectory(tmp_path / "run").told()) == 25
    told = run_search(config, tmp_path / "run", gauge={}).told()
    assert all(candidate.trained and len(candidate.assignment) == 28 for candidate in told)
    assert len({candidate.architecture for candidate in told}) == len(told) == 30
