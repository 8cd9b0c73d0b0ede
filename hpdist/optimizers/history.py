"""All observations of a search as arrays: the data that every model is fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hpdist.core.space.encoding import row_keys
from hpdist.core.space.space import Space
from hpdist.optimizers.base import Observation, Pending


class History:
    """Observations in the order of `Optimizer.tell`.

    `add` costs next to nothing, since a journal is replayed through it; the arrays are computed
    on access, and only for new observations.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.observations: list[Observation] = []
        self._encoded = np.empty((0, len(space.names)))

    def __len__(self) -> int:
        return len(self.observations)

    def add(self, observation: Observation) -> None:
        self.observations.append(observation)
        vars(self).pop("losses", None)
        vars(self).pop("budgets", None)

    @property
    def encoded(self) -> NDArray[np.float64]:
        """The encoded configurations (`Space.encode`), shape ``(n, d)``."""
        new = self.observations[len(self._encoded) :]
        if new:
            encoded = self.space.encode([one.config for one in new])
            self._encoded = np.concatenate([self._encoded, encoded])
        return self._encoded

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """Shape ``(n,)``; inf where the evaluation failed."""
        return np.array([one.loss for one in self.observations], dtype=float)

    @cached_property
    def budgets(self) -> NDArray[np.float64]:
        """Shape ``(n,)``."""
        return np.array([one.budget for one in self.observations], dtype=float)

    def first_new(self, candidates: NDArray[np.float64], pending: Sequence[Pending]) -> int | None:
        """Return the index of the first candidate neither observed nor pending, None if none is."""
        waiting = self.space.encode([job.config for job in pending])
        seen = {*row_keys(self.encoded), *row_keys(waiting)}
        keys = row_keys(candidates)
        return next((index for index, key in enumerate(keys) if key not in seen), None)

    def at_highest_budget(
        self, min_count: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return encoded configurations and losses at the highest budget with enough of them.

        ``min_count`` observations are enough; None if no budget has as many.
        """
        for budget in np.unique(self.budgets)[::-1]:
            rows = np.flatnonzero(self.budgets == budget)
            if len(rows) >= min_count:
                return self.encoded[rows], self.losses[rows]
        return None
