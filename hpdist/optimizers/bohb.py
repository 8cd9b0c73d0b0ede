"""BOHB: kernel densities of good and of bad configurations at the highest budget known enough."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.validation import check_whole
from hpdist.core.model.values import JsonValue
from hpdist.core.space.space import Space
from hpdist.optimizers.base import Pending, Suggestion
from hpdist.optimizers.densities import Density, spread_density
from hpdist.optimizers.density_ratio import DensityRatio

Array = NDArray[np.float64]

GOOD = 0.15  #: q: share of the configurations that count as good
RANDOM = 1.0 / 3.0  #: rho: share of random configurations
WIDEN = 3.0  #: b_w: by which bandwidths are multiplied for drawing
MOST_KNOWN = 500  #: configurations in a density


class BOHB(DensityRatio):
    """Suggests what is probable among good configurations and improbable among bad ones.

    Densities are of the observations at the highest budget that has at least ``d + 3`` of them;
    before there is one, and one time in three, a configuration is random. A failed evaluation
    counts as the worst loss. With more than 500 bad configurations the densities are of the 500
    latest ones.

    Parameters
    ----------
    space
        The space to search.
    num_samples
        Candidates that compete for a suggestion (N_s).

    References
    ----------
    Falkner, Klein and Hutter, "BOHB: robust and efficient hyperparameter optimization at scale",
    ICML 2018: Algorithm 2, equations 2 and 3.
    """

    def __init__(self, space: Space, num_samples: int = 64) -> None:
        super().__init__(space)
        self._num_samples = check_whole("num_samples", num_samples, least=1)

    def describe(self) -> dict[str, JsonValue]:
        return {"name": "BOHB", "num_samples": self._num_samples}

    def suggest(
        self, trial_id: int, budget: float, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        known = self.history.at_highest(len(self.space.names) + 3)
        if known is None or rng.random() < RANDOM:
            return self.at_random(rng)
        good, bad = self._split(*known)
        drawn = good.draw(rng, self._num_samples, widen=WIDEN)
        return self.best_of(drawn, good, bad, pending, rng)

    def _split(self, points: Array, losses: Array) -> tuple[Density, Density]:
        """Return the densities of the good and of the others (equation 3)."""
        order = np.argsort(losses, kind="stable")
        least = points.shape[1] + 1
        num_good = max(least, int(GOOD * len(order)))
        num_bad = max(least, len(order) - num_good)
        good, bad = np.sort(order[:num_good]), np.sort(order[-num_bad:])
        return self._density(points[good]), self._density(points[bad])

    def _density(self, points: Array) -> Density:
        return spread_density(self.points, points[-MOST_KNOWN:])
