"""Losses made fit for a model of normal noise: near a standard normal, the bad end compressed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TRANSFORMS = ("power", "rank", "clip")


def transform(losses: Array, kind: str) -> Array:
    """Map finite losses monotonically to numbers of mean 0 and deviation 1 (0 if all are equal).

    Parameters
    ----------
    losses
        Shape ``(n,)``.
    kind
        "rank": normal quantiles of the ranks. "clip": linear up to twice as far above the median
        as the best is below it. "power": the power of Yeo and Johnson (2000), after clipping at
        five times that distance.
    """
    if kind == "rank":
        return _standardised(_ranked(losses))
    best, median = np.percentile(losses, [0, 50])
    spread = max(median - best, 1e-12 * abs(median), 1e-300)
    relative = (losses - median) / spread
    if kind == "clip":
        return _standardised(np.minimum(relative, 2.0))
    return _standardised(_powered(np.minimum(relative, 5.0)))


def _ranked(losses: Array) -> Array:
    from scipy.special import ndtri
    from scipy.stats import rankdata

    quantiles: Array = ndtri((rankdata(losses) - 0.5) / len(losses))
    return quantiles


def _powered(relative: Array) -> Array:
    from scipy.stats import yeojohnson, yeojohnson_normmax

    scaled: Array = relative / max(float(relative.std()), 1e-12)
    if np.ptp(scaled) < 1e-9:
        return np.zeros_like(scaled)
    with np.errstate(all="ignore"):
        power = float(yeojohnson_normmax(scaled, brack=(-2, 2)))
    # Beyond these the tail that matters, the good one, is squeezed to nothing.
    powered: Array = yeojohnson(scaled, lmbda=min(max(power, -2.0), 4.0))
    return powered


def _standardised(values: Array) -> Array:
    centred = values - values.mean()
    deviation = centred.std()
    standardised: Array = centred / deviation if deviation > 1e-12 else np.zeros_like(values)
    return standardised
