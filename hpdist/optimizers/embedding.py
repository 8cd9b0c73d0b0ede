"""Categories placed on a line by the losses seen with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PRIOR = 2.0  #: observations that the mean of all losses counts as, for each category
STAYING = 0.1  #: added to a category's own share, so that no two become one


def embedded_kernel(column: Array, losses: Array, num_choices: int) -> Array:
    """Return probabilities of going from category to category, shape ``(k, k)``; rows sum to 1.

    A category lies at the mean of the ranks of its losses, drawn towards the mean of all where
    it was seen seldom; the kernel between two is normal in the distance of these places.
    """
    from scipy.stats import rankdata

    ranks = rankdata(losses) / len(losses)
    active = ~np.isnan(column)
    codes = column[active].astype(int)
    counts = np.bincount(codes, minlength=num_choices)
    sums = np.bincount(codes, weights=ranks[active], minlength=num_choices)
    places = (sums + PRIOR * ranks.mean()) / (counts + PRIOR)
    width = max(float(places.std()), 1e-6) * (1 + len(codes) / num_choices) ** -0.5
    kernel = np.exp(-0.5 * ((places[:, None] - places[None, :]) / width) ** 2)
    kernel = kernel / kernel.sum(axis=1, keepdims=True)
    uniform = 1.0 / num_choices
    share = num_choices / (num_choices + len(codes))
    kernel = share * uniform + (1 - share) * (
        (1 - STAYING) * kernel + STAYING * np.eye(num_choices)
    )
    stochastic: Array = kernel / kernel.sum(axis=1, keepdims=True)
    return stochastic
