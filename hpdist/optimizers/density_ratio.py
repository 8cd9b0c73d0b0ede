"""What optimizers share that compare a density of good configurations with one of bad ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.values import JsonValue
from hpdist.optimizers.base import Pending, Suggestion
from hpdist.optimizers.densities import Density
from hpdist.optimizers.one_by_one import OneByOne

Array = NDArray[np.float64]


class DensityRatio(OneByOne):
    """Chooses the candidate with the highest ratio of the two densities.

    References
    ----------
    Bergstra, Bardenet, Bengio and Kegl, "Algorithms for hyper-parameter optimization", NeurIPS
    2011, section 4.1.
    """

    def best_of(
        self,
        drawn: Array,
        good: Density,
        bad: Density,
        pending: list[Pending],
        rng: np.random.Generator,
    ) -> Suggestion:
        """Suggest the first that is new of ``drawn``, shape ``(n, d)``, best first."""
        scores = good.log(drawn) - bad.log(drawn)
        order = np.argsort(-scores, kind="stable")
        chosen = self.history.unseen(drawn[order], pending)
        if chosen is None:
            return self.at_random(rng)
        info: dict[str, JsonValue] = {
            "origin": "model",
            "acquisition": "density ratio",
            "value": float(scores[order][chosen]),
        }
        return Suggestion(self.points.config(drawn[order][chosen]), info)
