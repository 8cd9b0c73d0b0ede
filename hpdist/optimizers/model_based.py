"""What optimizers with a model of the loss have in common: first configurations, chance, order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from hpdist.checks import check_seed, check_whole
from hpdist.optimizers.base import Observation, Pending, Suggestion
from hpdist.optimizers.history import History
from hpdist.optimizers.surrogate import BudgetRange
from hpdist.points import Points
from hpdist.space import Space


class ModelBased(ABC):
    """Suggests a scrambled Sobol sequence first, then now and then at random, else by a model.

    Parameters
    ----------
    space
        The space to search.
    num_initial
        Configurations before the model is asked, at least 2; those of a warm start count.
    seed
        Chooses the first configurations.
    """

    #: Share of random configurations at the lowest and at the highest budget.
    random_share = (0.1, 0.02)

    def __init__(self, space: Space, num_initial: int, seed: int) -> None:
        self.space = Space.of(space)
        self.num_initial = check_whole("num_initial", num_initial, least=2)
        self.seed = check_seed(seed)
        self.points = Points(self.space)
        self.history = History(self.space)
        self._last_trial = -1
        self._num_before = 0  #: observations of earlier runs

    @abstractmethod
    def modelled(
        self, budgets: BudgetRange, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        """Suggest what a model of `history` makes best."""

    def tell(self, observation: Observation) -> None:
        self.history.add(observation)
        self._last_trial = max(self._last_trial, observation.trial_id)
        self._num_before += observation.trial_id < 0

    def ask(
        self, budget: float, pending: Sequence[Pending], rng: np.random.Generator, n: int = 1
    ) -> list[Suggestion]:
        suggestions: list[Suggestion] = []
        waiting = list(pending)
        first = 1 + max([self._last_trial, *(job.trial_id for job in pending)])
        for trial_id in range(first, first + n):
            suggestions.append(self._suggest(trial_id, budget, waiting, rng))
            waiting.append(Pending(trial_id, suggestions[-1].config, budget))
        return suggestions

    def at_random(self, rng: np.random.Generator) -> Suggestion:
        return Suggestion(self.space.sample(rng), {"origin": "random"})

    def _suggest(
        self, trial_id: int, budget: float, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        if trial_id + self._num_before < self.num_initial:
            return self._initial(trial_id, rng)
        known = [budget, *(job.budget for job in pending), *self.history.budgets.tolist()]
        budgets = BudgetRange(min(known), max(known))
        num_known = np.count_nonzero(np.isfinite(self.history.losses))
        if num_known < 2 or rng.random() < self._share_of_random(budget, budgets):
            return self.at_random(rng)
        return self.modelled(budgets, pending, rng)

    def _initial(self, trial_id: int, rng: np.random.Generator) -> Suggestion:
        from scipy.stats import qmc

        sequence = qmc.Sobol(len(self.space.names), scramble=True, seed=self.seed)
        points = self.points.spread(sequence.random_base2((4 * self.num_initial).bit_length()))
        if trial_id >= len(points):  # nearly everything is forbidden
            return self.at_random(rng)
        return Suggestion(self.points.config(points[trial_id]), {"origin": "initial design"})

    def _share_of_random(self, budget: float, budgets: BudgetRange) -> float:
        low, high = self.random_share
        height = float(budgets.height(np.array([budget]))[0])
        return high * height + low * (1.0 - height)
