"""ETPE: a Parzen estimator whose categories lie where the losses seen with them say."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hpdist.optimizers.base import Pending
from hpdist.optimizers.densities import Density, spread_density, with_prior
from hpdist.optimizers.embedding import embedded_kernel
from hpdist.optimizers.surrogate import finite
from hpdist.optimizers.tpe import MOST_KNOWN, TPE

Array = NDArray[np.float64]

GOOD = 0.15  #: share of the configurations that count as good
WIDENED, NARROWING = 3.0, 0.96  #: by how much kernels are wider for drawing, a result less each
NARROWEST = 0.1  #: lowest bandwidth


class ETPE(TPE):
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

    def widening(self, num_known: int) -> float:
        return 1.0 + WIDENED * float(NARROWING**num_known)

    def split(
        self, points: Array, losses: Array, pending: list[Pending]
    ) -> tuple[Density, Density]:
        order = np.argsort(losses, kind="stable")
        num_good = max(2, math.ceil(GOOD * len(order)))
        kernels = self._embedded(points, losses)
        others = points[np.sort(order[num_good:])] if num_good < len(order) else points
        return (
            self._spread(points[order[:num_good]], kernels),
            self._spread(others[-MOST_KNOWN:], kernels),
        )

    def _spread(self, points: Array, kernels: list[Array | None]) -> Density:
        return spread_density(self.points, with_prior(points), NARROWEST, kernels)

    def _embedded(self, points: Array, losses: Array) -> list[Array | None]:
        known = finite(losses)
        return [
            embedded_kernel(points[:, column], known, k) if k > 2 else None
            for column, k in enumerate(self.points.num_choices.tolist())
        ]
