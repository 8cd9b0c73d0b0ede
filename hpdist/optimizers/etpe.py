"""ETPE: a Parzen estimator whose categories lie where the losses seen with them say."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hpdist.checks import check_whole
from hpdist.model import JsonValue
from hpdist.optimizers.base import Pending, Suggestion
from hpdist.optimizers.densities import Density, spread_density, with_prior
from hpdist.optimizers.density_ratio import DensityRatio
from hpdist.optimizers.embedding import embedded_kernel
from hpdist.optimizers.surrogate import finite
from hpdist.space import Space

Array = NDArray[np.float64]

GOOD = 0.15  #: share of the configurations that count as good
WIDENED, NARROWING = 3.0, 0.96  #: by how much kernels are wider for drawing, a result less each
NARROWEST = 0.1  #: lowest bandwidth
CANDIDATES = 24
MOST_KNOWN = 500  #: configurations in a density


class ETPE(DensityRatio):
    """Suggests what is probable among good configurations and improbable among bad ones.

    The best 15 % at the highest budget with ``num_initial`` results are good. Bandwidths follow
    from the spread of the configurations; for drawing they are four times as wide at first and
    narrow to their own width. A uniform prior is part of both densities. Categories lie on a
    line, at the mean rank of the losses seen with them, so that those which do alike share what
    is known. As the optimizer of that name in UltraOpt, which embeds categories by a network.

    Parameters
    ----------
    space
        The space to search.
    num_initial
        Random configurations before a density is made.
    """

    def __init__(self, space: Space, num_initial: int = 10) -> None:
        super().__init__(space)
        self._num_initial = check_whole("num_initial", num_initial, least=2)

    def describe(self) -> dict[str, JsonValue]:
        return {"name": "ETPE", "num_initial": self._num_initial}

    def suggest(
        self, trial_id: int, budget: float, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        known = self.history.at_highest(self._num_initial)
        if known is None:
            return self.at_random(rng)
        points, losses = known
        order = np.argsort(losses, kind="stable")
        num_good = max(2, math.ceil(GOOD * len(order)))
        kernels = self._embedded(points, losses)
        good = self._density(points[order[:num_good]], kernels)
        others = points[np.sort(order[num_good:])] if num_good < len(order) else points
        bad = self._density(others[-MOST_KNOWN:], kernels)
        drawn = good.draw(rng, CANDIDATES, 1.0 + WIDENED * NARROWING ** len(order))
        return self.best_of(drawn, good, bad, pending, rng)

    def _density(self, points: Array, kernels: list[Array | None]) -> Density:
        return spread_density(self.points, with_prior(points), NARROWEST, kernels)

    def _embedded(self, points: Array, losses: Array) -> list[Array | None]:
        known = finite(losses)
        return [
            embedded_kernel(points[:, column], known, k) if k > 2 else None
            for column, k in enumerate(self.points.num_choices.tolist())
        ]
