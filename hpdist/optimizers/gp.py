"""The default: Bayesian optimization with one Gaussian process for all budgets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.validation import check_choice
from hpdist.core.model.values import JsonValue
from hpdist.core.space.space import Space
from hpdist.optimizers.acquisition import candidates, log_expected_improvement
from hpdist.optimizers.base import Pending, Suggestion
from hpdist.optimizers.model_based import ModelBased
from hpdist.optimizers.multi_point import ACQUISITIONS, PENDING, shuffled, width
from hpdist.optimizers.surrogate import BudgetRange, Surrogate

Array = NDArray[np.float64]

OPTIMISTIC = 0.7  #: share of suggestions by a confidence bound, not by expected improvement
WARY = 0.4  #: added to the random share at the lowest budget if that tells nothing
OPTIMISM = (1.0, 2.0, 3.0)  #: deviations below the mean of that bound


class GaussianProcess(ModelBased):
    """Suggests what promises most at the highest budget.

    The first ``num_initial`` configurations are a scrambled Sobol sequence. Then a Gaussian
    process is fitted to all observations at all budgets; pending evaluations count as if they
    had the mean predicted. Among random points and neighbours of the best ones, the point with
    the lowest confidence bound at the highest budget is taken, its width drawn for each
    suggestion; for three in ten, the one with the largest expected improvement instead. A few
    are random, more at low budgets, as a guard against budgets that mislead. A failed evaluation
    counts as the worst loss known.

    With more than 256 observations the model keeps those at the highest budgets, the best and
    the latest, so that the cost of a suggestion is bounded.

    Parameters
    ----------
    space
        The space to search.
    num_initial
        Configurations before the model is asked, at least 2; those of a warm start count.
    seed
        Chooses the first configurations.
    acquisition, pending
        For batches and many workers, see `hpdist.optimizers.multi_point`: what is maximized, and
        what pending evaluations count as.

    References
    ----------
    Jones, Schonlau and Welch, "Efficient global optimization of expensive black-box functions",
    1998. Snoek, Larochelle and Adams, "Practical Bayesian optimization", NeurIPS 2012. Swersky,
    Snoek and Adams, "Multi-task Bayesian optimization", NeurIPS 2013. Klein, Tiao, Lienart,
    Archambeau and Seeger, "Model-based asynchronous hyperparameter optimization", 2020.
    """

    def __init__(
        self,
        space: Space,
        num_initial: int = 10,
        seed: int = 0,
        *,
        acquisition: str = "mixed",
        pending: str = "believer",
    ) -> None:
        super().__init__(space, num_initial, seed)
        self._acquisition = check_choice("acquisition", acquisition, ACQUISITIONS)
        self._pending = check_choice("pending", pending, tuple(PENDING))
        self._surrogate = Surrogate(self.history, self.points, PENDING[self._pending])

    def describe(self) -> dict[str, JsonValue]:
        return {
            "name": "GaussianProcess",
            "num_initial": self.num_initial,
            "seed": self.seed,
            "acquisition": self._acquisition,
            "pending": self._pending,
        }

    def modelled(
        self, budgets: BudgetRange, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        optimism = self._optimism(rng)
        belief = self._surrogate.belief(budgets, pending)

        def score(points: Array) -> Array:
            mean, deviation = belief.predict(points)
            if optimism is not None:
                return optimism * deviation - mean
            return log_expected_improvement(mean, deviation, belief.best)

        found, scores = candidates(score, self.points, belief.best_points, rng)
        tried = shuffled(self._acquisition, scores, rng)
        found, scores = found[tried], scores[tried]
        chosen = self.history.unseen(found, pending)
        if chosen is None:  # a small space, where everything promising is known
            return self.at_random(rng)
        (mean,), (deviation,) = belief.predict(found[chosen][None])
        info = {
            "origin": "model",
            "acquisition": "expected improvement" if optimism is None else "confidence bound",
            "value": float(scores[chosen]),
            "mean": float(mean),
            "deviation": float(deviation),
            "best": belief.best,
        }
        return Suggestion(self.points.config(found[chosen]), info)

    def share_of_random(self, budget: float, budgets: BudgetRange) -> float:
        """Explore the more at low budgets the less they tell of the highest one."""
        share = super().share_of_random(budget, budgets)
        height = float(budgets.height(np.array([budget]))[0])
        doubt = max(0.0, 1.0 - 2.0 * self._surrogate.trust(budgets))
        return share + WARY * (1.0 - height) * doubt

    def _optimism(self, rng: np.random.Generator) -> float | None:
        """Return deviations below the mean of the bound that decides; None if there is none."""
        if self._acquisition == "ei":
            return None
        if self._acquisition != "mixed":
            return width(self._acquisition, len(self.history), rng)
        return OPTIMISM[rng.integers(len(OPTIMISM))] if rng.random() < OPTIMISTIC else None
