"""Tree-structured Parzen estimator, with joint densities over all parameters."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.validation import check_whole
from hpdist.core.model.values import JsonValue
from hpdist.core.space.space import Space
from hpdist.optimizers.base import Pending, Suggestion
from hpdist.optimizers.density_ratio import DensityRatio
from hpdist.optimizers.kernel_density import Density, Kernels, aitchison_aitken, with_prior

Array = NDArray[np.float64]

#: Share of the configurations that count as good, how many at most, and candidates that compete
#: for a suggestion: the defaults of Optuna's TPE.
GAMMA, MAX_GOOD, NUM_CANDIDATES = 0.1, 25, 24
#: Bandwidth of a number if there were one configuration, as in the multivariate TPE of Optuna 4.
BANDWIDTH = 0.2
#: The lowest bandwidth is one over one more than the number of components, or one over this
#: (Optuna's "magic clip").
MAGIC_CLIP = 100
#: Configurations in a density. By experiment; bounds the cost of a suggestion.
MAX_OBSERVATIONS = 500


class TPE(DensityRatio):
    """Suggests configurations that are probable among good ones and improbable among bad ones.

    Differs from `BOHB` in that a uniform prior is part of both densities, bandwidths depend on
    the number of configurations and not on their spread, pending configurations count as bad
    ("constant liar"), and no configuration is random after the first ones. A density is joint
    over all parameters, and uniform in parameters that are inactive in a configuration.

    Observations are those at the highest budget that has at least ``num_initial`` of them.

    Parameters
    ----------
    space
        The space to search.
    num_initial
        Random configurations before a density is made.

    References
    ----------
    Bergstra, Bardenet, Bengio and Kegl, "Algorithms for hyper-parameter optimization", NeurIPS
    2011. Watanabe, "Tree-structured Parzen estimator: understanding its algorithm
    components and their roles", 2023, section 3 (weights, bandwidths, prior).
    """

    def __init__(self, space: Space, num_initial: int = 10) -> None:
        super().__init__(space)
        self._num_initial = check_whole("num_initial", num_initial, minimum=2)

    def describe(self) -> dict[str, JsonValue]:
        return {"name": type(self).__name__, "num_initial": self._num_initial}

    def suggest(
        self, trial_id: int, budget: float, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        observed = self.history.at_highest_budget(self._num_initial)
        if observed is None:
            return self.sample_random(rng)
        good, bad = self.split(*observed, pending)
        drawn = good.sample(rng, NUM_CANDIDATES, self.bandwidth_factor(len(observed[0])))
        return self.best_of(drawn, good, bad, pending, rng)

    def bandwidth_factor(self, num_observations: int) -> float:
        """Return the factor of the bandwidths of numbers for sampling."""
        return 1.0

    def split(
        self, points: Array, losses: Array, pending: list[Pending]
    ) -> tuple[Density, Density]:
        """Return the densities of good and of bad configurations."""
        order = np.argsort(losses, kind="stable")
        num_good = min(math.ceil(GAMMA * len(order)), MAX_GOOD)
        waiting = self.space.encode([job.config for job in pending])
        bad = np.concatenate([points[np.sort(order[num_good:])], waiting])[-MAX_OBSERVATIONS:]
        return self._density(points[order[:num_good]]), self._density(bad)

    def _density(self, points: Array) -> Density:
        """Return a density with a component for each configuration, and one for the prior."""
        n, d = points.shape
        bandwidth = max(BANDWIDTH * max(n, 1) ** (-1.0 / (d + 4)), 1.0 / min(MAGIC_CLIP, n + 2))
        transitions = [
            # As if the component had been observed n times, and each category once
            aitchison_aitken(k, (k - 1) / (k + n)) if k else None
            for k in self.encoded_space.num_choices.tolist()
        ]
        kernels = Kernels(np.full(d, bandwidth), transitions)
        return Density(self.encoded_space, with_prior(points), kernels, np.ones(n + 1))
