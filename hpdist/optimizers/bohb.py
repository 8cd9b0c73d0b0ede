"""BOHB: kernel densities of good and bad configurations at the highest budget with enough data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.validation import check_whole
from hpdist.core.model.values import JsonValue
from hpdist.core.space.space import Space
from hpdist.optimizers.base import Pending, Suggestion
from hpdist.optimizers.density_ratio import DensityRatio
from hpdist.optimizers.kernel_density import Density, normal_reference_density

Array = NDArray[np.float64]

# The paper's symbols; the values are the defaults of HpBandSter, the authors' package.
GAMMA = 0.15  #: q: share of the configurations that count as good
EXPLORATION_SHARE = 1.0 / 3.0  #: rho: share of random configurations
BANDWIDTH_FACTOR = 3.0  #: b_w: factor of the bandwidths for sampling
#: Configurations in a density. By experiment; bounds the cost of a suggestion.
MAX_OBSERVATIONS = 500


class BOHB(DensityRatio):
    """Suggests configurations that are probable among good ones and improbable among bad ones.

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
        self._num_samples = check_whole("num_samples", num_samples, minimum=1)

    def describe(self) -> dict[str, JsonValue]:
        return {"name": "BOHB", "num_samples": self._num_samples}

    def suggest(
        self, trial_id: int, budget: float, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        observed = self.history.at_highest_budget(len(self.space.names) + 3)
        if observed is None or rng.random() < EXPLORATION_SHARE:
            return self.sample_random(rng)
        good, bad = self._split(*observed)
        drawn = good.sample(rng, self._num_samples, bandwidth_factor=BANDWIDTH_FACTOR)
        return self.best_of(drawn, good, bad, pending, rng)

    def _split(self, points: Array, losses: Array) -> tuple[Density, Density]:
        """Return the densities of the good and of the others (equation 3)."""
        order = np.argsort(losses, kind="stable")
        minimum = points.shape[1] + 1
        num_good = max(minimum, int(GAMMA * len(order)))
        num_bad = max(minimum, len(order) - num_good)
        good, bad = np.sort(order[:num_good]), np.sort(order[-num_bad:])
        return self._density(points[good]), self._density(points[bad])

    def _density(self, points: Array) -> Density:
        return normal_reference_density(self.encoded_space, points[-MAX_OBSERVATIONS:])
