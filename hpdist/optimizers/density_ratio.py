"""Base of Parzen estimators, which compare densities of good and of bad configurations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.values import JsonValue
from hpdist.optimizers.base import Pending, Suggestion
from hpdist.optimizers.kernel_density import Density
from hpdist.optimizers.sequential import SequentialOptimizer

Array = NDArray[np.float64]


class DensityRatio(SequentialOptimizer):
    """Chooses the candidate with the highest ratio of the two densities.

    References
    ----------
    Bergstra, Bardenet, Bengio and Kegl, "Algorithms for hyper-parameter optimization", NeurIPS
    2011.
    """

    def best_of(
        self,
        drawn: Array,
        good: Density,
        bad: Density,
        pending: list[Pending],
        rng: np.random.Generator,
    ) -> Suggestion:
        """Suggest the candidate of ``drawn``, shape ``(n, d)``, with the best ratio that is new."""
        scores = good.log(drawn) - bad.log(drawn)
        order = np.argsort(-scores, kind="stable")
        chosen = self.history.first_new(drawn[order], pending)
        if chosen is None:
            return self.sample_random(rng)
        info: dict[str, JsonValue] = {
            "origin": "model",
            "acquisition": "density ratio",
            "value": float(scores[order][chosen]),
        }
        return Suggestion(self.encoded_space.decode(drawn[order][chosen]), info)
