"""Grid search, in an order in which the first points already cover the space."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.validation import check_seed, check_whole
from hpdist.core.model.values import JsonValue
from hpdist.core.space.encoding import EncodedSpace, row_keys
from hpdist.core.space.parameters import Int, Ordinal, Parameter, Skewed
from hpdist.core.space.space import Space
from hpdist.optimizers.base import Observation, Pending, Suggestion

Array = NDArray[np.float64]

CHUNK = 256  #: grid points that are computed at once
MAX_SKIPPED = 100_000  #: grid points that one suggestion may skip; bounds its cost


class Grid:
    """Suggests every point of a grid once, in a random order; then random configurations.

    Categories, ordered values and whole numbers with few values are all taken; other numbers at
    ``per_parameter`` values from bound to bound, evenly spaced on their scale. Points that differ
    only in inactive parameters count once, and forbidden ones are left out. The grid is computed
    in chunks, so it may be huge. ``list(grid.configurations())`` are its configurations, and their
    number is what ``n_trials`` should be.

    Parameters
    ----------
    space
        The space to search.
    per_parameter
        Values of a number.
    seed
        Chooses the order.
    """

    def __init__(self, space: Space, per_parameter: int = 5, seed: int = 0) -> None:
        self.space = Space.of(space)
        self._per_parameter = check_whole("per_parameter", per_parameter, minimum=1)
        self._seed = check_seed(seed)
        self._encoded_space = EncodedSpace(self.space)
        self._levels = [
            _levels(parameter, int(k), self._per_parameter)
            for parameter, k in zip(
                self._encoded_space.parameters, self._encoded_space.num_choices, strict=True
            )
        ]
        self._size = math.prod(len(levels) for levels in self._levels)
        rng = np.random.default_rng(self._seed)
        self._shift = int(rng.integers(2**62)) % self._size
        self._stride = _coprime(self._size, rng)
        self._observed: set[bytes] = set()

    def describe(self) -> dict[str, JsonValue]:
        return {"name": "Grid", "per_parameter": self._per_parameter, "seed": self._seed}

    def tell(self, observation: Observation) -> None:
        self._observed.update(row_keys(self.space.encode([observation.config])))

    def configurations(self) -> Iterator[dict[str, JsonValue]]:
        """Yield the configurations of the grid in its order."""
        return (self._encoded_space.decode(point) for point in self._points(set()))

    def ask(
        self, budget: float, pending: Sequence[Pending], rng: np.random.Generator, n: int = 1
    ) -> list[Suggestion]:
        excluded = self._observed | set(
            row_keys(self.space.encode([job.config for job in pending]))
        )
        remaining = self._points(excluded, MAX_SKIPPED)
        return [self._suggest(next(remaining, None), rng) for _ in range(n)]

    def _suggest(self, point: Array | None, rng: np.random.Generator) -> Suggestion:
        if point is None:
            return Suggestion(self.space.sample(rng), {"origin": "random"})
        return Suggestion(self._encoded_space.decode(point), {"origin": "grid"})

    def _points(self, excluded: set[bytes], max_skipped: int | None = None) -> Iterator[Array]:
        """Yield grid points in order, each once, without those whose keys are ``excluded``."""
        seen = set(excluded)
        end = self._size if max_skipped is None else min(self._size, max_skipped + len(excluded))
        for start in range(0, end, CHUNK):
            for point in self._chunk(start, min(start + CHUNK, end)):
                (key,) = row_keys(point[None])
                if key not in seen:
                    seen.add(key)
                    yield point

    def _chunk(self, start: int, end: int) -> Array:
        """Return the allowed points at positions ``start`` to ``end`` of the order."""
        rows = []
        for position in range(start, end):
            index, row = (self._shift + position * self._stride) % self._size, []
            for levels in self._levels:
                index, digit = divmod(index, len(levels))
                row.append(levels[digit])
            rows.append(row)
        snapped, allowed = self._encoded_space.snap(np.array(rows, dtype=float))
        return snapped[allowed]


def _levels(parameter: Parameter, num_choices: int, num_values: int) -> list[float]:
    """Return the encoded grid values of a parameter."""
    base = parameter.base if isinstance(parameter, Skewed) else parameter
    if num_choices:
        return [float(code) for code in range(num_choices)]
    if isinstance(base, Ordinal):
        return [(index + 0.5) / len(base.values) for index in range(len(base.values))]
    if isinstance(base, Int) and base.high - base.low < num_values:
        return [base.position(value) for value in range(base.low, base.high + 1)]
    return [0.5] if num_values == 1 else np.linspace(0.0, 1.0, num_values).tolist()


def _coprime(size: int, rng: np.random.Generator) -> int:
    """Return a stride coprime to the size, so that it visits every point before it repeats one.

    Between 0.2 and 0.8 of the size, so that successive points are far apart.
    """
    stride = max(1, int(rng.uniform(0.2, 0.8) * size))
    while math.gcd(stride, size) != 1:
        stride += 1
    return stride
