"""Features of configurations for surrogate models: numbers, and one-hot blocks of categories."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class FeatureEncoding:
    """Maps encoded configurations to features.

    A number is a feature as it is, a category is its one-hot block of length 1/sqrt(2): two
    categories then lie at distance 1, as the bounds of a scale do. An inactive parameter is in the
    middle of its scale, or equally far from all categories.
    """

    def __init__(self, num_choices: NDArray[np.int_]) -> None:
        widths = np.maximum(num_choices, 1)
        self.num_choices = num_choices
        self.starts = np.concatenate([[0], np.cumsum(widths)]).astype(int)
        self.owners = np.repeat(np.arange(len(widths)), widths)  #: the parameter of each feature

    def features(self, points: Array) -> Array:
        """Return features, shape ``(n, f)``, of encoded configurations, shape ``(n, d)``."""
        columns = np.full((len(points), self.starts[-1]), 0.5)
        scales = np.flatnonzero(self.num_choices == 0)
        columns[:, self.starts[scales]] = np.nan_to_num(points[:, scales], nan=0.5)
        for column in np.flatnonzero(self.num_choices):
            start, end = self.starts[column], self.starts[column + 1]
            columns[:, start:end] = 0.0
            active = np.flatnonzero(~np.isnan(points[:, column]))
            columns[active, start + points[active, column].astype(int)] = math.sqrt(0.5)
        return columns
