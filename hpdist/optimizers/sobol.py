"""A scrambled Sobol sequence: quasi-random search without gaps and clusters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_seed
from hpdist.core.model.values import JsonValue
from hpdist.core.space.space import MAX_TRIES, Space
from hpdist.optimizers.base import Observation, Pending, Suggestion


class Sobol:
    """Suggests for trial k the k-th point of a scrambled Sobol sequence that is not forbidden.

    Results have no influence. The next point follows from the largest observed or pending trial
    number, so a resumed search continues the sequence.

    Parameters
    ----------
    space
        The space to search.
    seed
        Chooses the scrambling.

    References
    ----------
    Owen, "Scrambling Sobol' and Niederreiter-Xing points", Journal of Complexity 14, 1998.
    """

    def __init__(self, space: Space, seed: int = 0) -> None:
        self.space = Space.of(space)
        self._seed = check_seed(seed)
        self._last_trial = -1
        self._num_points = 64  #: computed so far; doubled on demand
        self._allowed: list[tuple[int, dict[str, JsonValue]]] = []

    def ask(
        self, budget: float, pending: Sequence[Pending], rng: np.random.Generator, n: int = 1
    ) -> list[Suggestion]:
        first = 1 + max([self._last_trial, *(job.trial_id for job in pending)])
        while len(self._allowed) < first + n:
            self._extend(first + n)
        return [
            Suggestion(dict(config), {"origin": "sobol", "index": index})
            for index, config in self._allowed[first : first + n]
        ]

    def tell(self, observation: Observation) -> None:
        self._last_trial = max(self._last_trial, observation.trial_id)

    def describe(self) -> dict[str, JsonValue]:
        return {"name": "Sobol", "seed": self._seed}

    def _extend(self, wanted: int) -> None:
        """Double the number of points computed: the sequence is balanced in powers of two."""
        from scipy.stats import qmc

        if self._num_points > MAX_TRIES + 100 * wanted:
            raise ConfigurationError(
                f"{len(self._allowed)} of {self._num_points} points are not forbidden, "
                f"fewer than the {wanted} that are needed",
                cause="the forbidden clauses of the space leave (almost) nothing",
                do="loosen them, express them by conditions, or use random search",
            )
        self._num_points *= 2
        sequence = qmc.Sobol(len(self.space.names), scramble=True, seed=self._seed)
        points = sequence.random_base2(self._num_points.bit_length() - 1)
        configs = enumerate(map(self.space.from_unit, points))
        self._allowed = [(index, config) for index, config in configs if config is not None]
