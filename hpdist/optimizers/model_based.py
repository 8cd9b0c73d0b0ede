"""What optimizers with a model of the loss have in common: first configurations, chance, order."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from hpdist.core.model.validation import check_seed, check_whole
from hpdist.core.space.space import Space
from hpdist.optimizers.base import Observation, Pending, Suggestion
from hpdist.optimizers.one_by_one import OneByOne
from hpdist.optimizers.surrogate import BudgetRange


class ModelBased(OneByOne):
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
        super().__init__(space)
        self.num_initial = check_whole("num_initial", num_initial, least=2)
        self.seed = check_seed(seed)
        self._num_before = 0  #: observations of earlier runs

    @abstractmethod
    def modelled(
        self, budgets: BudgetRange, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        """Suggest what a model of `history` makes best."""

    def tell(self, observation: Observation) -> None:
        super().tell(observation)
        self._num_before += observation.trial_id < 0

    def suggest(
        self, trial_id: int, budget: float, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        if trial_id + self._num_before < self.num_initial:
            return self._initial(trial_id, rng)
        known = [budget, *(job.budget for job in pending), *self.history.budgets.tolist()]
        budgets = BudgetRange(min(known), max(known))
        num_known = np.count_nonzero(np.isfinite(self.history.losses))
        if num_known < 2 or rng.random() < self.share_of_random(budget, budgets):
            return self.at_random(rng)
        return self.modelled(budgets, pending, rng)

    def _initial(self, trial_id: int, rng: np.random.Generator) -> Suggestion:
        from scipy.stats import qmc

        sequence = qmc.Sobol(len(self.space.names), scramble=True, seed=self.seed)
        points = self.points.spread(sequence.random_base2((4 * self.num_initial).bit_length()))
        if trial_id >= len(points):  # nearly everything is forbidden
            return self.at_random(rng)
        return Suggestion(self.points.config(points[trial_id]), {"origin": "initial design"})

    def share_of_random(self, budget: float, budgets: BudgetRange) -> float:
        """Return the probability of a random configuration at ``budget``."""
        low, high = self.random_share
        height = float(budgets.height(np.array([budget]))[0])
        return high * height + low * (1.0 - height)
