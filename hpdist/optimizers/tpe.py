"""Tree-structured Parzen estimator, with joint densities over all parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hpdist.checks import check_whole
from hpdist.model import JsonValue
from hpdist.optimizers.base import Observation, Pending, Suggestion
from hpdist.optimizers.densities import Density, Kernels, aitchison_aitken
from hpdist.optimizers.embedding import embedded_kernel
from hpdist.optimizers.history import History
from hpdist.optimizers.surrogate import finite
from hpdist.points import Points
from hpdist.space import Space

Array = NDArray[np.float64]

GOOD, MOST_GOOD = 0.1, 25  #: share of the configurations that count as good, and how many at most
CANDIDATES = 24
WIDTH = 0.2  #: bandwidth of a number if there were one configuration
MOST_KNOWN = 500  #: configurations in a density


class TPE:
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
        self.space = Space.of(space)
        self._num_initial = check_whole("num_initial", num_initial, least=2)
        self._embedding = bool(embedding)
        self._points = Points(self.space)
        self._history = History(self.space)

    def tell(self, observation: Observation) -> None:
        self._history.add(observation)

    def describe(self) -> dict[str, JsonValue]:
        return {
            "name": "TPE",
            "num_initial": self._num_initial,
            "embedding": self._embedding,
        }

    def ask(
        self, budget: float, pending: Sequence[Pending], rng: np.random.Generator, n: int = 1
    ) -> list[Suggestion]:
        waiting, suggestions = list(pending), list[Suggestion]()
        for _ in range(n):
            suggestions.append(self._suggest(waiting, rng))
            waiting.append(Pending(-1, suggestions[-1].config, budget))
        return suggestions

    def _suggest(self, pending: list[Pending], rng: np.random.Generator) -> Suggestion:
        known = self._history.at_highest(self._num_initial)
        if known is None:
            return Suggestion(self.space.sample(rng), {"origin": "random"})
        good, bad = self._split(*known, pending)
        drawn = good.draw(rng, CANDIDATES)
        scores = good.log(drawn) - bad.log(drawn)
        order = np.argsort(-scores, kind="stable")
        chosen = self._history.unseen(drawn[order], pending)
        if chosen is None:
            return Suggestion(self.space.sample(rng), {"origin": "random"})
        info: dict[str, JsonValue] = {
            "origin": "model",
            "acquisition": "density ratio",
            "value": float(scores[order][chosen]),
        }
        return Suggestion(self._points.config(drawn[order][chosen]), info)

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
            for k, table in zip(self._points.num_choices.tolist(), embedded, strict=True)
        ]
        prior = np.full((1, d), np.nan)
        kernels = Kernels(np.full(d, bandwidth), transitions)
        return Density(self._points, np.concatenate([points, prior]), kernels, np.ones(n + 1))

    def _transitions(self, points: Array, losses: Array) -> list[Array | None]:
        choices = self._points.num_choices.tolist()
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
