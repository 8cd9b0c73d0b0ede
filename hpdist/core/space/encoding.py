"""Encoded configurations, many at once: the rows of numbers that models and local searches use.

The columns are those of `Space.encode`: [0, 1] for numbers and ordered values, indices for
categories, NaN for inactive parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.values import JsonValue
from hpdist.core.space.parameters import Categorical, Float, Int, Ordinal, Parameter, Skewed
from hpdist.core.space.space import MAX_TRIES, Space

Array = NDArray[np.float64]


class EncodedSpace:
    """Samples, moves and decodes encoded configurations of a space (*points*, below).

    Attributes
    ----------
    num_choices
        Number of categories of each column, 0 for a scale; shape ``(d,)``.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.parameters = tuple(space.parameters.values())
        self.num_choices = np.array(space.num_choices, dtype=int)
        self._is_category = self.num_choices > 0
        self._draws = [_draw(parameter) for parameter in self.parameters]
        self._snaps = [_snap(parameter) for parameter in self.parameters]

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        """Return ``n`` random points, distributed as by `Space.sample`, shape ``(n, d)``.

        If nearly everything is forbidden there may be fewer, but at least one.
        """
        points = self.from_unit(rng.random((n, len(self.parameters))))
        for _ in range(MAX_TRIES // 100):
            if len(points) >= n:
                return points[:n]
            more = self.from_unit(rng.random((max(n, 100), len(self.parameters))))
            points = np.concatenate([points, more])
        return points[:n] if len(points) else self.space.encode([self.space.sample(rng)])

    def from_unit(self, unit: Array) -> Array:
        """Return the points of uniform numbers in [0, 1); forbidden ones are left out."""
        columns = [draw(column) for draw, column in zip(self._draws, unit.T, strict=True)]
        points, allowed = self.snap(np.column_stack(columns))
        return points[allowed]

    def snap(self, rows: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Move rows without NaN to the nearest points: round to the grid, apply conditions.

        Returns
        -------
        points
            Whole numbers and ordered values on their grid, inactive parameters NaN.
        allowed
            False for forbidden points, shape ``(n,)``.
        """
        columns = [snap(column) for snap, column in zip(self._snaps, rows.T, strict=True)]
        return self.space.deactivate(np.column_stack(columns))

    def neighbours(
        self,
        rng: np.random.Generator,
        points: Array,
        num: int,
        scales: Array,
        share: float,
    ) -> Array:
        """Return ``num`` neighbours of each point, without those that are forbidden.

        Each coordinate changes with probability ``share``, at least one of them: on a scale by a
        normal step of deviation ``scales`` (shape ``(num,)``, one a neighbour), up to the bounds,
        since the best is often there; a category is drawn anew, and so are parameters that become
        active.
        """
        start = np.repeat(points, num, axis=0)
        drawn = self.sample_active(rng, len(start))
        changed = rng.random(start.shape) < share
        changed[np.arange(len(start)), rng.integers(start.shape[1], size=len(start))] = True
        step = np.tile(scales, len(points))[:, None] * rng.standard_normal(start.shape)
        moved = np.clip(start + step, 0.0, 1.0)
        moved = np.where(self._is_category, drawn, moved)
        snapped, allowed = self.snap(
            np.where(np.isnan(start), drawn, np.where(changed, moved, start))
        )
        return snapped[allowed]

    def sample_active(self, rng: np.random.Generator, n: int) -> Array:
        """Return ``n`` random rows with every parameter active, to be given to `snap`."""
        unit = rng.random((n, len(self.parameters)))
        columns = [draw(column) for draw, column in zip(self._draws, unit.T, strict=True)]
        return np.column_stack(columns)

    def decode(self, point: Array) -> dict[str, JsonValue]:
        """Return the configuration of a point, shape ``(d,)``."""
        return {
            name: _value(parameter, u)
            for (name, parameter), u in zip(
                self.space.parameters.items(), point.tolist(), strict=True
            )
            if not math.isnan(u)
        }


def row_keys(points: Array) -> list[bytes]:
    """Return a key for each row; rows of equal configurations have equal keys."""
    rounded = np.nan_to_num(points, nan=-1.0).round(9) + 0.0
    return [row.tobytes() for row in rounded]


def _value(parameter: Parameter, u: float) -> JsonValue:
    if isinstance(parameter, Categorical):
        return parameter.choices[int(u)]
    base = parameter.base if isinstance(parameter, Skewed) else parameter
    value = base.at(min(max(u, 0.0), 1.0))
    # exp(log(x)) may leave the range by an ulp
    return min(max(value, base.low), base.high) if isinstance(base, Float) else value


def _draw(parameter: Parameter) -> Callable[[Array], Array]:
    """Return the function from uniform numbers to the column of a parameter."""
    if isinstance(parameter, Categorical):
        weights = parameter.weights or (1.0,) * len(parameter.choices)
        total = sum(weights)
        bounds = np.array(list(accumulate(weight / total for weight in weights))[:-1])
        return lambda u: np.searchsorted(bounds, u, side="right").astype(float)
    if isinstance(parameter, Skewed):
        return lambda u: np.asarray(parameter.quantile(u), dtype=float)  # type: ignore[arg-type]
    return lambda u: u


def _snap(parameter: Parameter) -> Callable[[Array], Array]:
    """Return the function that rounds a column of a parameter to its values."""
    base = parameter.base if isinstance(parameter, Skewed) else parameter
    if isinstance(base, Int):
        return lambda u: _on_grid(base, np.clip(u, 0.0, 1.0))
    if isinstance(base, Ordinal):
        size = len(base.values)
        return lambda u: (np.clip(np.floor(u * size), 0, size - 1) + 0.5) / size
    if isinstance(base, Float):
        return lambda u: np.clip(u, 0.0, 1.0)
    last = len(base.choices) - 1 if isinstance(base, Categorical) else 0
    return lambda u: np.clip(np.floor(u), 0, last)


def _on_grid(base: Int, u: Array) -> Array:
    low, high = base.low - 0.5, base.high + 0.5
    if base.log:
        low, high = math.log(low), math.log(high)
    raw = low + u * (high - low)
    whole = np.clip(np.round(np.exp(raw) if base.log else raw), base.low, base.high)
    position: Array = ((np.log(whole) if base.log else whole) - low) / (high - low)
    return position
