"""What an optimizer was told, as arrays: the part that every model is fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hpdist.core.space.encoding import keys
from hpdist.core.space.space import Space
from hpdist.optimizers.base import Observation, Pending


class History:
    """Observations in the order in which they were told.

    Storing one costs next to nothing, since a journal is replayed through it; the arrays are
    made when they are asked for, and only for what is new.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.observations: list[Observation] = []
        self._points = np.empty((0, len(space.names)))

    def __len__(self) -> int:
        return len(self.observations)

    def add(self, observation: Observation) -> None:
        self.observations.append(observation)
        vars(self).pop("losses", None)
        vars(self).pop("budgets", None)

    @property
    def points(self) -> NDArray[np.float64]:
        """The configurations as `Space.encode` gives them, shape ``(n, d)``."""
        new = self.observations[len(self._points) :]
        if new:
            encoded = self.space.encode([one.config for one in new])
            self._points = np.concatenate([self._points, encoded])
        return self._points

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """Shape ``(n,)``; inf where the evaluation failed."""
        return np.array([one.loss for one in self.observations], dtype=float)

    @cached_property
    def budgets(self) -> NDArray[np.float64]:
        """Shape ``(n,)``."""
        return np.array([one.budget for one in self.observations], dtype=float)

    def unseen(self, found: NDArray[np.float64], pending: Sequence[Pending]) -> int | None:
        """Return the first of these points that is neither known nor pending; None if all are."""
        waiting = self.space.encode([job.config for job in pending])
        seen = {*keys(self.points), *keys(waiting)}
        return next((index for index, key in enumerate(keys(found)) if key not in seen), None)

    def at_highest(self, least: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return points and losses at the highest budget with at least ``least`` of them."""
        for budget in np.unique(self.budgets)[::-1]:
            rows = np.flatnonzero(self.budgets == budget)
            if len(rows) >= least:
                return self.points[rows], self.losses[rows]
        return None
