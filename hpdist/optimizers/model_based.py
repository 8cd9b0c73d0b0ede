"""Base of optimizers with a surrogate model: initial design, random exploration, then the model."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from hpdist.core.model.validation import check_seed, check_whole
from hpdist.core.space.space import Space
from hpdist.optimizers.base import Observation, Pending, Suggestion
from hpdist.optimizers.sequential import SequentialOptimizer
from hpdist.optimizers.training_data import BudgetRange


class ModelBased(SequentialOptimizer):
    """Suggests a scrambled Sobol sequence first, then by a model, and a share at random.

    Parameters
    ----------
    space
        The space to search.
    num_initial
        Configurations before the model is used, at least 2; those of a warm start count.
    seed
        Chooses the first configurations.
    """

    #: Share of random configurations at the lowest and at the highest budget. By experiment: a
    #: larger share protects against low budgets that mislead and costs evaluations where they do
    #: not (ablation "gp-random" in benchmarks/README.rst: no significant difference).
    exploration_shares = (0.1, 0.02)

    def __init__(self, space: Space, num_initial: int, seed: int) -> None:
        super().__init__(space)
        self.num_initial = check_whole("num_initial", num_initial, minimum=2)
        self.seed = check_seed(seed)
        self._num_warm_start = 0  #: observations of earlier runs

    @abstractmethod
    def suggest_by_model(
        self, budgets: BudgetRange, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        """Suggest the configuration that maximizes the acquisition function."""

    def tell(self, observation: Observation) -> None:
        super().tell(observation)
        self._num_warm_start += observation.trial_id < 0

    def suggest(
        self, trial_id: int, budget: float, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        if trial_id + self._num_warm_start < self.num_initial:
            return self._initial(trial_id, rng)
        all_budgets = [budget, *(job.budget for job in pending), *self.history.budgets.tolist()]
        budgets = BudgetRange(min(all_budgets), max(all_budgets))
        num_succeeded = np.count_nonzero(np.isfinite(self.history.losses))
        if num_succeeded < 2 or rng.random() < self.exploration_share(budget, budgets):
            return self.sample_random(rng)
        return self.suggest_by_model(budgets, pending, rng)

    def _initial(self, trial_id: int, rng: np.random.Generator) -> Suggestion:
        from scipy.stats import qmc

        sequence = qmc.Sobol(len(self.space.names), scramble=True, seed=self.seed)
        # Some points are forbidden: a power of two above 4 times as many as are needed
        unit_points = sequence.random_base2((4 * self.num_initial).bit_length())
        points = self.encoded_space.from_unit(unit_points)
        if trial_id >= len(points):  # nearly everything is forbidden
            return self.sample_random(rng)
        config = self.encoded_space.decode(points[trial_id])
        return Suggestion(config, {"origin": "initial design"})

    def exploration_share(self, budget: float, budgets: BudgetRange) -> float:
        """Return the probability of a random configuration at ``budget``."""
        low, high = self.exploration_shares
        fidelity = float(budgets.normalised_fidelity(np.array([budget]))[0])
        return high * fidelity + low * (1.0 - fidelity)
