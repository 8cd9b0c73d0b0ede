"""Transformation of losses for a model of normal noise: nearly standard normal, outliers cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Losses further above the median than so many times its distance from the best are cut off. By
#: experiment; lower values flatten the bad end, higher ones let outliers dominate the fit.
CUT_OFF = 5.0
#: Bounds of the power. By experiment: beyond them the good end, which matters, is squeezed to
#: nothing. (Ablation "gp-transform" in benchmarks/README.rst: without the whole transformation
#: no significant difference there; it is kept for losses of other scales.)
MIN_POWER, MAX_POWER = -2.0, 4.0


def transform_losses(losses: Array) -> Array:
    """Return finite losses, monotonically mapped to mean 0 and deviation 1 (0 if all are equal).

    Losses far above the median are cut off, and the rest gets the power that makes it most like a
    normal sample.

    Parameters
    ----------
    losses
        Shape ``(n,)``.

    References
    ----------
    Yeo and Johnson, "A new family of power transformations to improve normality or symmetry",
    Biometrika 87, 2000.
    """
    best, median = np.percentile(losses, [0, 50])
    # The lower bounds, here and below, avoid a division by zero where losses are equal.
    spread = max(median - best, 1e-12 * abs(median), 1e-300)
    return _standardised(_powered(np.minimum((losses - median) / spread, CUT_OFF)))


def _powered(relative: Array) -> Array:
    from scipy.stats import yeojohnson, yeojohnson_normmax

    scaled: Array = relative / max(float(relative.std()), 1e-12)
    if np.ptp(scaled) < 1e-9:
        return np.zeros_like(scaled)
    with np.errstate(all="ignore"):
        power = float(yeojohnson_normmax(scaled, brack=(-2, 2)))
    powered: Array = yeojohnson(scaled, lmbda=min(max(power, MIN_POWER), MAX_POWER))
    return powered


def _standardised(values: Array) -> Array:
    centred = values - values.mean()
    deviation = centred.std()
    standardised: Array = centred / deviation if deviation > 1e-12 else np.zeros_like(values)
    return standardised
