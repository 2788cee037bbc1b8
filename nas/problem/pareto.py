"""Dominance, Pareto fronts and hypervolume of points `[N, objectives]`, every objective to be minimised."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search_spaces.errors import InvalidInput

Points = NDArray[np.float64]


def dominates(first: ArrayLike, second: ArrayLike) -> bool:
    """Returns whether the first point is at least as good in every objective and better in one."""
    a, b = np.asarray(first), np.asarray(second)
    return bool(np.all(a <= b) and np.any(a < b))


def non_dominated(points: ArrayLike) -> NDArray[np.bool_]:
    """Returns the mask `[N]` of the points that no other dominates; equal points are kept or left together.

    Takes O(N log N) for one and two objectives, O(N x front) for more.
    """
    values = _points(points)
    if not len(values):
        return np.zeros(0, bool)
    if values.shape[1] == 2:
        return _non_dominated_2d(values)
    unique, inverse = np.unique(values, axis=0, return_inverse=True)
    left, kept = np.arange(len(unique)), []
    while len(left):  # in lexicographic order no point is dominated by a later one
        kept.append(left[0])
        left = left[np.any(unique[left] < unique[left[0]], axis=1)]
    return np.isin(inverse.reshape(-1), kept)


def ranks(points: ArrayLike, enough: int | None = None) -> NDArray[np.int64]:
    """Returns the rank `[N]` of each point: 0 on the front, 1 on the front of the others, and so on.

    Once `enough` points have theirs, the others share the next one.
    """
    values = _points(points)
    if values.ndim == 2 and values.shape[1] == 1:
        return np.unique(values, return_inverse=True)[1].reshape(-1)
    found, left = np.zeros(len(values), np.int64), np.arange(len(values))
    most_left = 0 if enough is None else max(0, len(values) - enough)
    while len(left) > most_left:
        mask = non_dominated(values[left])
        left = left[~mask]
        found[left] += 1
    return found


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """Returns the volume that the points dominate within the reference point; points not below it add nothing.

    Exact: a sweep for two objectives, and slices along the last objective for more, so O(N^(objectives - 1) log N).
    """
    values, limit = _points_and_reference(points, reference)
    return _volume(values[np.all(values < limit, axis=1)], limit)


def hypervolume_contributions(points: ArrayLike, reference: ArrayLike) -> Points:
    """Returns the volume `[N]` that would be lost without each point; of equal points, none is missed."""
    values, limit = _points_and_reference(points, reference)
    found = np.zeros(len(values))
    for index, point in enumerate(values):
        if np.all(point < limit):  # its own box, without the part of the box that others cover
            shared = np.maximum(np.delete(values, index, axis=0), point)
            found[index] = max(0.0, float(np.prod(limit - point)) - hypervolume(shared, limit))
    return found


def _points(points: ArrayLike) -> Points:
    values = np.asarray(points, dtype=float)
    if values.size and values.ndim != 2:
        raise InvalidInput(f"points are rows `[N, objectives]`, but got the shape {values.shape}")
    if np.any(np.isnan(values)):
        raise InvalidInput("points must be numbers, but one of them has NaN")
    return values


def _points_and_reference(points: ArrayLike, reference: ArrayLike) -> tuple[Points, Points]:
    values, limit = _points(points), np.asarray(reference, dtype=float)
    values = values.reshape(-1, len(limit)) if not values.size else values
    if values.shape[1] != len(limit):
        raise InvalidInput(f"points and reference share their objectives, but got {values.shape[1]} and {len(limit)}")
    if not np.all(np.isfinite(limit)) or np.any(values == -np.inf):
        raise InvalidInput(f"a hypervolume needs a finite reference and points above -inf, but got reference={limit}")
    return values, limit


def _non_dominated_2d(values: Points) -> NDArray[np.bool_]:
    order = np.lexsort((values[:, 1], values[:, 0]))
    first, second = values[order].T
    column = np.searchsorted(first, first)  # where the points that share the first objective begin
    best_before = np.concatenate([[np.inf], np.minimum.accumulate(second)])[column]
    mask = np.empty(len(values), bool)
    mask[order] = (second == second[column]) & ((column == 0) | (second < best_before))
    return mask


def _volume(values: Points, limit: Points) -> float:
    if not len(values):
        return 0.0
    if len(limit) == 1:
        return float(limit[0] - values.min())
    front = np.unique(values[non_dominated(values)], axis=0)
    if len(limit) == 2:
        heights = np.concatenate([limit[1:], front[:-1, 1]]) - front[:, 1]
        return float(np.sum((limit[0] - front[:, 0]) * heights))
    front = front[np.argsort(front[:, -1], kind="stable")]
    depths = np.diff(np.append(front[:, -1], limit[-1]))
    return float(sum(depth * _volume(front[: index + 1, :-1], limit[:-1])
                     for index, depth in enumerate(depths) if depth > 0))
