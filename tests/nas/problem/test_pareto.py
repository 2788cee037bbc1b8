import csv
import itertools

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume
from optuna.study._multi_objective import _fast_non_domination_rank

from nas.problem.pareto import dominates, hypervolume, hypervolume_contributions, non_dominated, ranks
from search_spaces.errors import InvalidInput


def clouds(low=1, high=4, limit=6, largest=30):
    """Points on a small grid, so that ties and duplicates are common."""
    return st.integers(low, high).flatmap(lambda width: st.lists(
        st.lists(st.integers(0, limit), min_size=width, max_size=width), min_size=1, max_size=largest)).map(np.array)


def by_definition(points):
    return np.array([not any(dominates(other, point) for other in points) for point in points])


def unit_cells(points, reference):
    """The volume as a count of the unit cells below the reference that some point dominates."""
    cells = itertools.product(*(range(limit) for limit in reference))
    return sum(any(all(p <= c for p, c in zip(point, cell, strict=True)) for point in points) for cell in cells)


@pytest.mark.parametrize(("first", "second", "expected"), [
    ((0, 0), (1, 1), True), ((0, 1), (0, 2), True), ((0, 1), (0, 1), False), ((0, 2), (1, 1), False),
    ((1, 1), (0, 0), False), ((0, 0), (0, np.inf), True), ((3,), (4,), True),
])
def test_dominance_is_no_worse_anywhere_and_better_somewhere(first, second, expected):
    assert dominates(first, second) is expected


@given(clouds())
def test_the_front_is_what_no_point_dominates(points):
    np.testing.assert_array_equal(non_dominated(points), by_definition(points))


@given(clouds())
def test_ranks_agree_with_optuna(points):
    np.testing.assert_array_equal(ranks(points), _fast_non_domination_rank(points.astype(float)))


@given(clouds(low=2), st.randoms())
def test_the_order_of_the_points_does_not_matter(points, random):
    order = list(range(len(points)))
    random.shuffle(order)
    np.testing.assert_array_equal(non_dominated(points[order]), non_dominated(points)[order])
    np.testing.assert_array_equal(ranks(points[order]), ranks(points)[order])
    np.testing.assert_allclose(hypervolume_contributions(points[order], [5] * points.shape[1]),
                               hypervolume_contributions(points, [5] * points.shape[1])[order])


@given(clouds(), st.integers(0, 12))
def test_the_best_points_are_the_same_where_the_others_need_no_rank(points, enough):
    best, of_all = (np.argsort(ranks(points, *limit), kind="stable")[:enough] for limit in ((enough,), ()))
    np.testing.assert_array_equal(best, of_all)


def test_copies_of_a_point_on_the_front_are_all_kept():
    points = [[1, 2], [1, 2], [2, 1], [2, 2], [2, 1], [1, 3]]
    assert non_dominated(points).tolist() == [True, True, True, False, True, False]
    assert ranks(points).tolist() == [0, 0, 0, 1, 0, 1]


def test_an_unknown_cost_of_infinity_is_on_the_front_only_if_nothing_else_is_better():
    assert non_dominated([[-0.9, np.inf], [-0.8, 0.1]]).tolist() == [True, True]
    assert non_dominated([[-0.9, np.inf], [-0.9, 0.1]]).tolist() == [False, True]
    assert non_dominated([[-0.9, np.inf], [-0.8, np.inf]]).tolist() == [True, False]


def test_no_points_have_no_front_and_no_volume():
    assert non_dominated([]).shape == (0,)
    assert ranks(np.empty((0, 2))).shape == (0,)
    assert hypervolume([], [1, 1]) == 0
    assert hypervolume_contributions([], [1, 1]).shape == (0,)


def test_the_front_is_that_of_an_optuna_study():
    study = optuna.create_study(directions=["maximize", "minimize"])
    generator = np.random.default_rng(0)
    values = np.round(generator.random((200, 2)), 1)
    study.add_trials([optuna.trial.create_trial(values=row) for row in values])
    expected = sorted(trial.number for trial in study.best_trials)
    assert np.flatnonzero(non_dominated(values * [-1, 1])).tolist() == expected


def test_the_front_of_a_published_search_is_the_published_one(published):
    with published("archai_mbv2_latency", "search_results_with_full_validation_error.csv").open() as file:
        records = list(csv.DictReader(file))
    points = np.array([[float(record["Partial_training_Validation_Error"]), float(record["onnx_latency_(ms)"])]
                       for record in records])
    front = np.array([record["is_pareto"] == "True" for record in records])
    assert front.sum() == 7
    np.testing.assert_array_equal(non_dominated(points), front)
    reference = points.max(axis=0) * 1.1
    assert hypervolume(points, reference) == pytest.approx(compute_hypervolume(points, reference), rel=1e-12)
    np.testing.assert_array_equal(hypervolume_contributions(points, reference) > 0, front)


@settings(deadline=None)
@given(clouds(limit=5, largest=12))
def test_the_hypervolume_counts_the_dominated_cells_of_a_grid(points):
    reference = [4] * points.shape[1]  # some points are not below it
    assert hypervolume(points, reference) == unit_cells(points, reference)


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_the_hypervolume_agrees_with_optuna_on_real_numbers(objectives):
    generator = np.random.default_rng(objectives)
    for count in (1, 2, 10, 40):
        points = generator.random((count, objectives))
        reference = np.full(objectives, 1.1)
        assert hypervolume(points, reference) == pytest.approx(compute_hypervolume(points, reference), rel=1e-12)


@given(clouds(low=2, largest=12))
def test_contributions_are_what_is_lost_without_a_point(points):
    reference = [5] * points.shape[1]
    whole = hypervolume(points, reference)
    lost = [whole - hypervolume(np.delete(points, index, axis=0), reference) for index in range(len(points))]
    np.testing.assert_allclose(hypervolume_contributions(points, reference), lost, atol=1e-9)


@given(clouds(low=2, high=3), st.lists(st.integers(0, 6), min_size=3, max_size=3))
def test_another_point_never_lowers_the_hypervolume(points, extra):
    reference = [5] * points.shape[1]
    more = np.vstack([points, extra[:points.shape[1]]])
    assert hypervolume(more, reference) >= hypervolume(points, reference)


def test_points_beyond_the_reference_add_nothing():
    assert hypervolume([[0.5, 0.5], [2.0, 0.1], [0.1, 1.0], [np.inf, 0.0]], [1, 1]) == 0.25


@pytest.mark.parametrize("call", [
    lambda: non_dominated([[0.0, np.nan]]),
    lambda: non_dominated([0.0, 1.0]),
    lambda: hypervolume([[0, 0]], [1, np.inf]),
    lambda: hypervolume([[0, -np.inf]], [1, 1]),
    lambda: hypervolume([[0, 0, 0]], [1, 1]),
    lambda: hypervolume_contributions([[0, 0]], [1, np.nan]),
])
def test_points_without_a_meaning_are_refused(call):
    with pytest.raises(InvalidInput):
        call()
