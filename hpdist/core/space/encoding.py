"""Configurations as rows of numbers, by the hundred: what models and local searches work on.

The columns are those of `Space.encode`: [0, 1] for numbers and ordered values, indices for
categories, NaN for what is inactive.
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


class Points:
    """Draws, moves and reads the points of a space.

    Attributes
    ----------
    num_choices
        For each column the number of categories, 0 for a scale; shape ``(d,)``.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.parameters = tuple(space.parameters.values())
        self.num_choices = np.array(space.num_choices, dtype=int)
        self._is_category = self.num_choices > 0
        self._draws = [_draw(parameter) for parameter in self.parameters]
        self._snaps = [_snap(parameter) for parameter in self.parameters]

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """Draw ``n`` points as `Space.sample` would, shape ``(n, d)``.

        Where nearly everything is forbidden there may be fewer, but always one.
        """
        points = self.spread(rng.random((n, len(self.parameters))))
        for _ in range(MAX_TRIES // 100):
            if len(points) >= n:
                return points[:n]
            more = self.spread(rng.random((max(n, 100), len(self.parameters))))
            points = np.concatenate([points, more])
        return points[:n] if len(points) else self.space.encode([self.space.sample(rng)])

    def spread(self, unit: Array) -> Array:
        """Map uniform numbers in [0, 1) to points; forbidden ones are left out."""
        columns = [draw(column) for draw, column in zip(self._draws, unit.T, strict=True)]
        points, allowed = self.settle(np.column_stack(columns))
        return points[allowed]

    def settle(self, points: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Move points, none of them NaN, to those of configurations.

        Returns
        -------
        points
            Whole numbers and ordered values on their grid, inactive parameters NaN.
        allowed
            False for those that are forbidden, shape ``(n,)``.
        """
        columns = [snap(column) for snap, column in zip(self._snaps, points.T, strict=True)]
        return self.space.deactivate(np.column_stack(columns))

    def near(
        self,
        rng: np.random.Generator,
        points: Array,
        num: int,
        scales: Array,
        share: float,
    ) -> Array:
        """Return neighbours of points, as many as are allowed of ``num`` for each.

        Each coordinate changes with probability ``share``, at least one of them: on a scale by a
        normal step of deviation ``scales`` (shape ``(num,)``, one a neighbour), up to the bounds,
        since the best is often there; a category to another one. What becomes active is drawn anew.
        """
        start = np.repeat(points, num, axis=0)
        fresh = self.fresh(rng, len(start))
        changed = rng.random(start.shape) < share
        changed[np.arange(len(start)), rng.integers(start.shape[1], size=len(start))] = True
        step = np.tile(scales, len(points))[:, None] * rng.standard_normal(start.shape)
        moved = np.clip(start + step, 0.0, 1.0)
        moved = np.where(self._is_category, fresh, moved)
        settled, allowed = self.settle(
            np.where(np.isnan(start), fresh, np.where(changed, moved, start))
        )
        return settled[allowed]

    def fresh(self, rng: np.random.Generator, n: int) -> Array:
        """Draw ``n`` rows with every parameter active: `settle` makes points of them."""
        unit = rng.random((n, len(self.parameters)))
        columns = [draw(column) for draw, column in zip(self._draws, unit.T, strict=True)]
        return np.column_stack(columns)

    def config(self, point: Array) -> dict[str, JsonValue]:
        """Return the configuration of a settled point, shape ``(d,)``."""
        return {
            name: _value(parameter, u)
            for (name, parameter), u in zip(
                self.space.parameters.items(), point.tolist(), strict=True
            )
            if not math.isnan(u)
        }


def keys(points: Array) -> list[bytes]:
    """Return a key for each point: equal points have equal ones."""
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
    """Return what maps uniform numbers to the column of a parameter."""
    if isinstance(parameter, Categorical):
        weights = parameter.weights or (1.0,) * len(parameter.choices)
        total = sum(weights)
        bounds = np.array(list(accumulate(weight / total for weight in weights))[:-1])
        return lambda u: np.searchsorted(bounds, u, side="right").astype(float)
    if isinstance(parameter, Skewed):
        return lambda u: np.asarray(parameter.quantile(u), dtype=float)  # type: ignore[arg-type]
    return lambda u: u


def _snap(parameter: Parameter) -> Callable[[Array], Array]:
    base = parameter.base if isinstance(parameter, Skewed) else parameter
    if isinstance(base, Int):
        return lambda u: _on_grid(base, np.clip(u, 0.0, 1.0))
    if isinstance(base, Ordinal):
        size = len(base.values)
        return lambda u: (np.clip(np.floor(u * size), 0, size - 1) + 0.5) / size
    if isinstance(base, Float):
        return lambda u: np.clip(u, 0.0, 1.0)
    most = len(base.choices) - 1 if isinstance(base, Categorical) else 0
    return lambda u: np.clip(np.floor(u), 0, most)


def _on_grid(base: Int, u: Array) -> Array:
    low, high = base.low - 0.5, base.high + 0.5
    if base.log:
        low, high = math.log(low), math.log(high)
    raw = low + u * (high - low)
    whole = np.clip(np.round(np.exp(raw) if base.log else raw), base.low, base.high)
    position: Array = ((np.log(whole) if base.log else whole) - low) / (high - low)
    return position
