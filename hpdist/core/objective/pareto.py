"""Several objectives: dominance, ranking by front, and hypervolume. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def non_dominated(losses: Array) -> NDArray[np.bool_]:
    """Return which rows no other row dominates; equal rows do not dominate each other.

    Parameters
    ----------
    losses
        Shape ``(n, m)``, all to be minimized.

    Returns
    -------
    mask
        Shape ``(n,)``.
    """
    mask = np.ones(len(losses), dtype=bool)
    for index, row in enumerate(losses):
        # What a dominated row dominates, whatever dominates that row dominates as well.
        if mask[index]:
            mask &= ~((row <= losses).all(axis=1) & (row < losses).any(axis=1))
    return mask


def order(losses: Array) -> NDArray[np.intp]:
    """Return indices from best to worst: by front, then by falling crowding distance.

    References
    ----------
    Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm:
    NSGA-II", 2002, sections III.A and III.B; for promotions as in Schmucker, Donini, Zafar,
    Salinas and Archambeau, "Multi-objective asynchronous successive halving", 2021.
    """
    left = np.arange(len(losses))
    ordered: list[int] = []
    while len(left):
        first = non_dominated(losses[left])
        front = left[first]
        sparse_first = np.argsort(-crowding(losses[front]), kind="stable")
        ordered += front[sparse_first].tolist()
        left = left[~first]
    return np.array(ordered, dtype=np.intp)


def crowding(losses: Array) -> Array:
    """Return each row's crowding distance within a front; inf at its ends, shape ``(n,)``."""
    distance = np.zeros(len(losses))
    for column in losses.T:
        ranks = np.argsort(column, kind="stable")
        span = column[ranks[-1]] - column[ranks[0]] if len(ranks) else 0.0
        distance[ranks[[0, -1]]] = np.inf
        if span > 0:
            distance[ranks[1:-1]] += (column[ranks[2:]] - column[ranks[:-2]]) / span
    return distance


def hypervolume(losses: Array, reference: Sequence[float]) -> float:
    """Return the volume that is dominated by rows of ``losses`` and dominates ``reference``.

    Exact, by slicing along the last objective; the cost grows fast with their number.

    Parameters
    ----------
    losses
        Shape ``(n, m)``; rows beyond the reference count nothing.
    reference
        A point that is worse than what is worth having, length m.

    References
    ----------
    Zitzler and Thiele, "Multiobjective evolutionary algorithms: a comparative case study", 1999.
    """
    bound = np.asarray(reference, dtype=float)
    inside = losses[(losses < bound).all(axis=1)]
    return _volume(inside[non_dominated(inside)], bound)


def _volume(front: Array, bound: Array) -> float:
    if not len(front):
        return 0.0
    if front.shape[1] == 1:
        return float(bound[0] - front[:, 0].min())
    front = front[np.argsort(front[:, -1], kind="stable")]
    depths = np.diff(np.append(front[:, -1], bound[-1]))
    total = 0.0
    for count, depth in enumerate(depths.tolist(), start=1):
        if depth > 0:
            slices = front[:count, :-1]
            if slices.shape[1] > 1:
                slices = slices[non_dominated(slices)]
            total += depth * _volume(slices, bound[:-1])
    return total
