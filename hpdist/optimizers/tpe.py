"""Tree-structured Parzen estimator, with joint densities over all parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hpdist.checks import check_whole
from hpdist.model import JsonValue
from hpdist.optimizers.base import Pending, Suggestion
from hpdist.optimizers.densities import Density, Kernels, aitchison_aitken
from hpdist.optimizers.embedding import embedded_kernel
from hpdist.optimizers.one_by_one import OneByOne
from hpdist.optimizers.surrogate import finite
from hpdist.space import Space

Array = NDArray[np.float64]

GOOD, MOST_GOOD = 0.1, 25  #: share of the configurations that count as good, and how many at most
CANDIDATES = 24
WIDTH = 0.2  #: bandwidth of a number if there were one configuration
MOST_KNOWN = 500  #: configurations in a density


class TPE(OneByOne):
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
    embedding
        Whether categories are placed on a line by the losses seen with them, so that those which
        do alike share what is known (as "ETPE" did in UltraOpt). Without it all are equally far.

    References
    ----------
    Bergstra, Bardenet, Bengio and Kegl, "Algorithms for hyper-parameter optimization", NeurIPS
    2011, section 4. Watanabe, "Tree-structured Parzen estimator: understanding its algorithm
    components and their roles", 2023, equation 9 (weights, bandwidths, prior).
    """

    def __init__(self, space: Space, num_initial: int = 10, *, embedding: bool = False) -> None:
        super().__init__(space)
        self._num_initial = check_whole("num_initial", num_initial, least=2)
        self._embedding = bool(embedding)

    def describe(self) -> dict[str, JsonValue]:
        return {
            "name": "TPE",
            "num_initial": self._num_initial,
            "embedding": self._embedding,
        }

    def suggest(
        self, trial_id: int, budget: float, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        known = self.history.at_highest(self._num_initial)
        if known is None:
            return self.at_random(rng)
        good, bad = self._split(*known, pending)
        drawn = good.draw(rng, CANDIDATES)
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

    def _split(
        self, points: Array, losses: Array, pending: list[Pending]
    ) -> tuple[Density, Density]:
        order = np.argsort(losses, kind="stable")
        num_good = min(math.ceil(GOOD * len(order)), MOST_GOOD)
        waiting = self.space.encode([job.config for job in pending])
        kernels = self._transitions(points, losses)
        bad = np.concatenate([points[np.sort(order[num_good:])], waiting])[-MOST_KNOWN:]
        return self._density(points[order[:num_good]], kernels), self._density(bad, kernels)

    def _density(self, points: Array, embedded: Sequence[Array | None]) -> Density:
        """Return kernels at points and, as one more component, the prior."""
        n, d = points.shape
        bandwidth = max(WIDTH * max(n, 1) ** (-1.0 / (d + 4)), 1.0 / min(100, n + 2))
        transitions = [
            aitchison_aitken(k, (k - 1) / (k + n)) if k and table is None else table
            for k, table in zip(self.points.num_choices.tolist(), embedded, strict=True)
        ]
        prior = np.full((1, d), np.nan)
        kernels = Kernels(np.full(d, bandwidth), transitions)
        return Density(self.points, np.concatenate([points, prior]), kernels, np.ones(n + 1))

    def _transitions(self, points: Array, losses: Array) -> list[Array | None]:
        choices = self.points.num_choices.tolist()
        if not self._embedding:
            return [None] * len(choices)
        known = finite(losses)
        return [
            embedded_kernel(points[:, column], known, k) if k > 2 else None
            for column, k in enumerate(choices)
        ]


class ETPE(TPE):
    """`TPE` with ``embedding=True``, by a name of its own."""

    def __init__(self, space: Space, num_initial: int = 10) -> None:
        super().__init__(space, num_initial, embedding=True)
