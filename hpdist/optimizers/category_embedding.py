"""Embedding of categories on a line, by the losses observed with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# By experiment (UltraOpt trains a network instead).
#: Observations that the mean of all losses counts as, for each category: more of them trust a few
#: observations of a category less.
PRIOR_COUNT = 2.0
#: Share of a category's probability that stays with it: keeps two categories with equal losses
#: apart, and shares less between them.
IDENTITY_SHARE = 0.1


def embedding_kernel(column: Array, losses: Array, num_choices: int) -> Array:
    """Return transition probabilities between categories, shape ``(k, k)``; rows sum to 1.

    A category lies at the mean rank of its losses, shrunk towards the mean of all ranks where it
    has few observations; the kernel between two categories is normal in their distance.
    """
    from scipy.stats import rankdata

    ranks = rankdata(losses) / len(losses)
    active = ~np.isnan(column)
    codes = column[active].astype(int)
    counts = np.bincount(codes, minlength=num_choices)
    sums = np.bincount(codes, weights=ranks[active], minlength=num_choices)
    positions = (sums + PRIOR_COUNT * ranks.mean()) / (counts + PRIOR_COUNT)
    # Narrower with more observations of each category; 1e-6 avoids a division by zero.
    bandwidth = max(float(positions.std()), 1e-6) * (1 + len(codes) / num_choices) ** -0.5
    kernel = np.exp(-0.5 * ((positions[:, None] - positions[None, :]) / bandwidth) ** 2)
    kernel = kernel / kernel.sum(axis=1, keepdims=True)
    uniform = 1.0 / num_choices
    # A uniform kernel counts as one observation of each category.
    share = num_choices / (num_choices + len(codes))
    kernel = share * uniform + (1 - share) * (
        (1 - IDENTITY_SHARE) * kernel + IDENTITY_SHARE * np.eye(num_choices)
    )
    stochastic: Array = kernel / kernel.sum(axis=1, keepdims=True)
    return stochastic
