"""Base of optimizers that keep a history and suggest one configuration after another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from hpdist.core.space.encoding import EncodedSpace
from hpdist.core.space.space import Space
from hpdist.optimizers.base import Observation, Pending, Suggestion
from hpdist.optimizers.history import History


class SequentialOptimizer(ABC):
    """Suggests the configurations of a batch in turn, each as if those before it were pending.

    Parameters
    ----------
    space
        The space to search.
    """

    def __init__(self, space: Space) -> None:
        self.space = Space.of(space)
        self.encoded_space = EncodedSpace(self.space)
        self.history = History(self.space)
        self._last_trial = -1

    @abstractmethod
    def suggest(
        self, trial_id: int, budget: float, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        """Suggest a configuration for trial ``trial_id``."""

    def tell(self, observation: Observation) -> None:
        self.history.add(observation)
        self._last_trial = max(self._last_trial, observation.trial_id)

    def ask(
        self, budget: float, pending: Sequence[Pending], rng: np.random.Generator, n: int = 1
    ) -> list[Suggestion]:
        suggestions: list[Suggestion] = []
        waiting = list(pending)
        first = 1 + max([self._last_trial, *(job.trial_id for job in pending)])
        for trial_id in range(first, first + n):
            suggestions.append(self.suggest(trial_id, budget, waiting, rng))
            waiting.append(Pending(trial_id, suggestions[-1].config, budget))
        return suggestions

    def sample_random(self, rng: np.random.Generator) -> Suggestion:
        """Suggest a random configuration."""
        return Suggestion(self.space.sample(rng), {"origin": "random"})
