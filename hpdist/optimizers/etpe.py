"""ETPE: a tree-structured Parzen estimator that embeds categories by the losses observed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hpdist.optimizers.base import Pending
from hpdist.optimizers.category_embedding import embedding_kernel
from hpdist.optimizers.kernel_density import Density, normal_reference_density, with_prior
from hpdist.optimizers.tpe import MAX_OBSERVATIONS, TPE
from hpdist.optimizers.training_data import impute_failures

Array = NDArray[np.float64]

GAMMA = 0.15  #: share of the configurations that count as good, as in BOHB
#: The bandwidth factor for sampling is 1 + 3 * 0.96**n with n observations, as in UltraOpt, where
#: n counts suggestions by the model: wider or slower to narrow explores longer.
EXTRA_BANDWIDTH, BANDWIDTH_DECAY = 3.0, 0.96
#: Lowest bandwidth. By experiment, among ten variants on the problems of docs/optimizers.rst, "What
#: was measured": a lower one exploits earlier, and repeats what is observed.
MIN_BANDWIDTH = 0.1


class ETPE(TPE):
    """Suggests configurations that are probable among good ones and improbable among bad ones.

    The best 15 % at the highest budget with ``num_initial`` results are good. Bandwidths follow
    from the spread of the configurations; for sampling they are four times as wide at first and
    narrow to their own width. A uniform prior is part of both densities. Categories lie on a
    line, at the mean rank of the losses observed with them, so that similar categories share
    observations. The optimizer of that name in UltraOpt embeds categories by a network.

    Parameters
    ----------
    space
        The space to search.
    num_initial
        Random configurations before a density is made.
    """

    def bandwidth_factor(self, num_observations: int) -> float:
        return 1.0 + EXTRA_BANDWIDTH * float(BANDWIDTH_DECAY**num_observations)

    def split(
        self, points: Array, losses: Array, pending: list[Pending]
    ) -> tuple[Density, Density]:
        order = np.argsort(losses, kind="stable")
        num_good = max(2, math.ceil(GAMMA * len(order)))
        kernels = self._embedded(points, losses)
        others = points[np.sort(order[num_good:])] if num_good < len(order) else points
        return (
            self._density_of(points[order[:num_good]], kernels),
            self._density_of(others[-MAX_OBSERVATIONS:], kernels),
        )

    def _density_of(self, points: Array, kernels: list[Array | None]) -> Density:
        return normal_reference_density(
            self.encoded_space, with_prior(points), MIN_BANDWIDTH, kernels
        )

    def _embedded(self, points: Array, losses: Array) -> list[Array | None]:
        finite = impute_failures(losses)
        return [
            embedding_kernel(points[:, column], finite, k) if k > 2 else None
            for column, k in enumerate(self.encoded_space.num_choices.tolist())
        ]
