"""Random search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpdist.core.model.values import JsonValue
from hpdist.core.space.space import Space
from hpdist.optimizers.base import Observation, Pending, Suggestion


class RandomSearch:
    """Samples configurations independently of the results.

    References
    ----------
    Bergstra and Bengio, "Random search for hyper-parameter optimization", JMLR 13, 2012.
    """

    def __init__(self, space: Space) -> None:
        self.space = Space.of(space)

    def ask(
        self, budget: float, pending: Sequence[Pending], rng: np.random.Generator, n: int = 1
    ) -> list[Suggestion]:
        return [Suggestion(self.space.sample(rng), {"origin": "random"}) for _ in range(n)]

    def tell(self, observation: Observation) -> None:
        """Do nothing: results have no influence."""

    def describe(self) -> dict[str, JsonValue]:
        return {"name": "RandomSearch"}
