"""Losses made fit for a model of normal noise: near a standard normal, the bad end compressed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MOST = 5.0  #: how far above the median losses are told apart, in units of how far below the best is


def transform(losses: Array) -> Array:
    """Map finite losses monotonically to numbers of mean 0 and deviation 1 (0 if all are equal).

    Losses far above the median are cut off, and the rest gets the power that makes it most like a
    normal sample.

    Parameters
    ----------
    losses
        Shape ``(n,)``.

    References
    ----------
    Yeo and Johnson, "A new family of power transformations to improve normality or symmetry",
    Biometrika 2000, equation 2.1.
    """
    best, median = np.percentile(losses, [0, 50])
    spread = max(median - best, 1e-12 * abs(median), 1e-300)
    return _standardised(_powered(np.minimum((losses - median) / spread, MOST)))


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
