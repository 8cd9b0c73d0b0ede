"""Fronts and hypervolumes against their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpdist.core.objective.pareto import crowding, hypervolume, non_dominated, order

POINTS = st.integers(1, 4).flatmap(
    lambda m: st.lists(st.lists(st.integers(0, 5), min_size=m, max_size=m), max_size=9).map(
        lambda rows: np.array(rows, dtype=float).reshape(-1, m)
    )
)


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(
        x < y for x, y in zip(a, b, strict=True)
    )


@settings(max_examples=200, deadline=None)
@given(POINTS)
def test_a_front_is_what_nothing_dominates(points):
    expected = [not any(dominates(other, one) for other in points) for one in points]
    assert non_dominated(points).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(POINTS)
def test_a_hypervolume_is_the_number_of_unit_cells_below(points):
    bound = [6] * points.shape[1]
    cells = np.array(list(itertools.product(*(range(size) for size in bound))))
    covered = sum((points <= cell).all(axis=1).any() for cell in cells)
    assert hypervolume(points, bound) == pytest.approx(covered)


def test_what_lies_beyond_the_reference_counts_nothing():
    assert hypervolume(np.array([[1.0, 9.0], [9.0, 1.0]]), [5.0, 5.0]) == 0.0
    assert hypervolume(np.empty((0, 2)), [5.0, 5.0]) == 0.0


@settings(max_examples=200, deadline=None)
@given(POINTS)
def test_the_order_never_puts_what_is_dominated_first(points):
    ordered = order(points).tolist()
    assert sorted(ordered) == list(range(len(points)))
    for before, after in itertools.combinations(ordered, 2):
        assert not dominates(points[after], points[before])


def test_within_a_front_ends_come_first_and_then_the_lonelier():
    front = np.array([[0.0, 10.0], [1.0, 9.0], [2.0, 8.0], [7.0, 3.0], [10.0, 0.0]])
    distances = crowding(front)
    assert distances[[0, 4]].tolist() == [np.inf, np.inf]
    assert order(front).tolist() == [0, 4, 3, 2, 1]
