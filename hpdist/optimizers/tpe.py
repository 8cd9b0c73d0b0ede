"""Tree-structured Parzen estimator, with joint densities over all parameters."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.validation import check_whole
from hpdist.core.model.values import JsonValue
from hpdist.core.space.space import Space
from hpdist.optimizers.base import Pending, Suggestion
from hpdist.optimizers.densities import Density, Kernels, aitchison_aitken, with_prior
from hpdist.optimizers.density_ratio import DensityRatio

Array = NDArray[np.float64]

GOOD, MOST_GOOD = 0.1, 25  #: share of the configurations that count as good, and how many at most
CANDIDATES = 24
WIDTH = 0.2  #: bandwidth of a number if there were one configuration
MOST_KNOWN = 500  #: configurations in a density


class TPE(DensityRatio):
    """Suggests what is probable among good configurations and improbable among bad ones.

    Differs from `BOHB` in that a uniform prior is part of both densities, bandwidths depend on
    the number of configurations and not on their spread, pending configurations count as bad
    ("constant liar"), and no configuration is random after the first ones. A density is joint
    over all parameters; of parameters that a configuration does not have it says nothing.

    Observations are those at the highest budget that has at least ``num_initial`` of them.

    Parameters
    ----------
    space
        The space to search.
    num_initial
        Random configurations before that.

    References
    ----------
    Bergstra, Bardenet, Bengio and Kegl, "Algorithms for hyper-parameter optimization", NeurIPS
    2011, section 4. Watanabe, "Tree-structured Parzen estimator: understanding its algorithm
    components and their roles", 2023, equation 9 (weights, bandwidths, prior).
    """

    def __init__(self, space: Space, num_initial: int = 10) -> None:
        super().__init__(space)
        self._num_initial = check_whole("num_initial", num_initial, least=2)

    def describe(self) -> dict[str, JsonValue]:
        return {"name": type(self).__name__, "num_initial": self._num_initial}

    def suggest(
        self, trial_id: int, budget: float, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        known = self.history.at_highest(self._num_initial)
        if known is None:
            return self.at_random(rng)
        good, bad = self.split(*known, pending)
        drawn = good.draw(rng, CANDIDATES, self.widening(len(known[0])))
        return self.best_of(drawn, good, bad, pending, rng)

    def widening(self, num_known: int) -> float:
        """Return by what the bandwidths of numbers are multiplied for drawing."""
        return 1.0

    def split(
        self, points: Array, losses: Array, pending: list[Pending]
    ) -> tuple[Density, Density]:
        """Return the densities of good and of bad configurations."""
        order = np.argsort(losses, kind="stable")
        num_good = min(math.ceil(GOOD * len(order)), MOST_GOOD)
        waiting = self.space.encode([job.config for job in pending])
        bad = np.concatenate([points[np.sort(order[num_good:])], waiting])[-MOST_KNOWN:]
        return self._density(points[order[:num_good]]), self._density(bad)

    def _density(self, points: Array) -> Density:
        """Return kernels at points and, as one more component, the prior."""
        n, d = points.shape
        bandwidth = max(WIDTH * max(n, 1) ** (-1.0 / (d + 4)), 1.0 / min(100, n + 2))
        transitions = [
            aitchison_aitken(k, (k - 1) / (k + n)) if k else None
            for k in self.points.num_choices.tolist()
        ]
        kernels = Kernels(np.full(d, bandwidth), transitions)
        return Density(self.points, with_prior(points), kernels, np.ones(n + 1))
