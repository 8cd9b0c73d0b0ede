"""A grid, in an order in which every beginning covers the space."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.validation import check_seed, check_whole
from hpdist.core.model.values import JsonValue
from hpdist.core.space.encoding import Points, keys
from hpdist.core.space.parameters import Int, Ordinal, Parameter, Skewed
from hpdist.core.space.space import Space
from hpdist.optimizers.base import Observation, Pending, Suggestion

Array = NDArray[np.float64]

CHUNK = 256
MOST_LOOKED_AT = 100_000  #: grid points that one suggestion may skip


class Grid:
    """Suggests every point of a grid once, in a random order; then random configurations.

    Categories, ordered values and whole numbers with few values are all taken; other numbers at
    ``per_parameter`` places from bound to bound, evenly spaced on their scale. Points that differ
    only in what is inactive are one, and forbidden ones are left out. The grid is never made as
    a whole, so it may be huge. ``list(grid.configurations())`` are its configurations, and their
    number is what ``n_trials`` should be.

    Parameters
    ----------
    space
        The space to search.
    per_parameter
        Places on the scale of a number.
    seed
        Chooses the order.
    """

    def __init__(self, space: Space, per_parameter: int = 5, seed: int = 0) -> None:
        self.space = Space.of(space)
        self._per_parameter = check_whole("per_parameter", per_parameter, least=1)
        self._seed = check_seed(seed)
        self._points = Points(self.space)
        self._levels = [
            _levels(parameter, int(k), self._per_parameter)
            for parameter, k in zip(self._points.parameters, self._points.num_choices, strict=True)
        ]
        self._size = math.prod(len(levels) for levels in self._levels)
        rng = np.random.default_rng(self._seed)
        self._shift = int(rng.integers(2**62)) % self._size
        self._stride = _coprime(self._size, rng)
        self._seen: set[bytes] = set()

    def describe(self) -> dict[str, JsonValue]:
        return {"name": "Grid", "per_parameter": self._per_parameter, "seed": self._seed}

    def tell(self, observation: Observation) -> None:
        self._seen.update(keys(self.space.encode([observation.config])))

    def configurations(self) -> Iterator[dict[str, JsonValue]]:
        """Go through the grid in its order."""
        return (self._points.config(point) for point in self._unseen(set()))

    def ask(
        self, budget: float, pending: Sequence[Pending], rng: np.random.Generator, n: int = 1
    ) -> list[Suggestion]:
        known = self._seen | set(keys(self.space.encode([job.config for job in pending])))
        left = self._unseen(known, MOST_LOOKED_AT)
        return [self._suggest(next(left, None), rng) for _ in range(n)]

    def _suggest(self, point: Array | None, rng: np.random.Generator) -> Suggestion:
        if point is None:
            return Suggestion(self.space.sample(rng), {"origin": "random"})
        return Suggestion(self._points.config(point), {"origin": "grid"})

    def _unseen(self, known: set[bytes], most: int | None = None) -> Iterator[Array]:
        """Yield points in order, each once, that are not among ``known``."""
        found = set(known)
        end = self._size if most is None else min(self._size, most + len(known))
        for start in range(0, end, CHUNK):
            for point in self._chunk(start, min(start + CHUNK, end)):
                (key,) = keys(point[None])
                if key not in found:
                    found.add(key)
                    yield point

    def _chunk(self, start: int, end: int) -> Array:
        """Return the allowed points at places ``start`` to ``end`` of the order."""
        rows = []
        for place in range(start, end):
            index, row = (self._shift + place * self._stride) % self._size, []
            for levels in self._levels:
                index, digit = divmod(index, len(levels))
                row.append(levels[digit])
            rows.append(row)
        settled, allowed = self._points.settle(np.array(rows, dtype=float))
        return settled[allowed]


def _levels(parameter: Parameter, num_choices: int, places: int) -> list[float]:
    """Return the places of a parameter in the columns of `Points`."""
    base = parameter.base if isinstance(parameter, Skewed) else parameter
    if num_choices:
        return [float(code) for code in range(num_choices)]
    if isinstance(base, Ordinal):
        return [(index + 0.5) / len(base.values) for index in range(len(base.values))]
    if isinstance(base, Int) and base.high - base.low < places:
        return [base.position(value) for value in range(base.low, base.high + 1)]
    return [0.5] if places == 1 else np.linspace(0.0, 1.0, places).tolist()


def _coprime(size: int, rng: np.random.Generator) -> int:
    """Return a step that visits every place before it comes back."""
    stride = max(1, int(rng.uniform(0.2, 0.8) * size))
    while math.gcd(stride, size) != 1:
        stride += 1
    return stride
