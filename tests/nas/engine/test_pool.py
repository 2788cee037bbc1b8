import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nas.engine.pool as module
from evaluators.evaluator import Context
from evaluators.recipe import Recipe
from nas.engine.pool import each, evaluators, training_processes, workers_of
from nas.engine.workers import TrainingProcess
from nas.run.config import SearchConfig


@given(st.integers(1, 4), st.lists(st.integers(0, 3), max_size=8))
def test_each_task_is_worked_on_once_and_no_means_has_two_at_a_time(count, pauses):
    busy = [threading.Lock() for _ in range(count)]

    def work(lock, task):
        assert lock.acquire(blocking=False)
        time.sleep(pauses[task] / 1000)
        lock.release()
        return task * 2

    found = list(each(busy, work, range(len(pauses))))
    assert sorted(found) == [(task, 2 * task) for task in range(len(pauses))]


def test_tasks_that_end_early_are_told_first():
    first_may_end = threading.Event()

    def work(_, task):
        if task == 0:
            assert first_may_end.wait(10)
        return task

    order = each("ab", work, range(3))
    assert {next(order)[0], next(order)[0]} == {1, 2}
    first_may_end.set()
    assert [task for task, _ in order] == [0]


@pytest.mark.parametrize("means", ["a", "ab"])
def test_after_an_error_no_task_is_begun(means):
    begun = []

    def work(_, task):
        begun.append(task)
        if task == 1:
            raise RuntimeError("of the second")
        time.sleep(0.05 * (len(means) > 1))
        return task

    with pytest.raises(RuntimeError, match="of the second"):
        list(each(means, work, range(50)))
    assert len(begun) <= 3  # the other one may have ended and begun its next


@pytest.mark.parametrize(("cores", "accelerators", "count"), [(1, 0, 1), (2, 0, 2), (64, 0, 4), (64, 1, 1)])
def test_a_network_is_trained_on_each_core_and_not_on_more_than_four(cores, accelerators, count, monkeypatch):
    monkeypatch.setattr(module, "whole_cores", lambda: cores)
    monkeypatch.setattr(module, "accelerators", lambda: accelerators)
    assert training_processes() == count


@pytest.mark.parametrize(("settings", "count"), [
    ({"time_s": 60}, 3), ({"time_s": 60, "workers": 2}, 2), ({"time_s": 60, "workers": 1}, 1), ({"trials": 5}, 1),
    ({"trials": 5, "workers": 4}, 4), ({"time_s": 60, "data": "table:learning-curves"}, 1),
    ({"time_s": 60, "evaluator": "tests.nas.engine.test_pool:named"}, 1)])
def test_a_search_for_a_time_trains_on_all_cores_and_another_one_as_asked_for(settings, count, monkeypatch):
    monkeypatch.setattr(module, "training_processes", lambda: 3)
    assert workers_of(SearchConfig(**settings)) == count


def named(architecture, data, fidelity):
    """An evaluator of a module."""


def test_a_worker_alone_trains_in_this_process_and_others_in_their_own(tmp_path):
    context = Context(None, None, tmp_path, Recipe())
    with evaluators("tests.nas.engine.test_pool:named", context, 1) as made:
        assert made == [named]
    with evaluators("training", context, 3) as made:
        assert [type(one) for one in made] == [TrainingProcess] * 3
