"""The default: Bayesian optimization with one Gaussian process for all budgets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.validation import check_choice
from hpdist.core.model.values import JsonValue
from hpdist.core.space.space import Space
from hpdist.optimizers.acquisition import log_expected_improvement, search_candidates
from hpdist.optimizers.base import Pending, Suggestion
from hpdist.optimizers.batch_strategies import ACQUISITIONS, PENDING, draw_kappa, trial_order
from hpdist.optimizers.gp_surrogate import Surrogate
from hpdist.optimizers.model_based import ModelBased
from hpdist.optimizers.training_data import BudgetRange

Array = NDArray[np.float64]

# By experiment, on the problems of docs/optimizers.rst, "What was measured".
#: Share of suggestions by a confidence bound, the others by expected improvement (ablation
#: "gp-bound" in benchmarks/README.rst: no significant difference; a higher share explores
#: more).
BOUND_SHARE = 0.7
#: Deviations below the mean of that bound, one drawn for each suggestion.
KAPPAS = (1.0, 2.0, 3.0)
#: Added to the exploration share at the lowest budget where it does not correlate with the highest:
#: protects against budgets that mislead, and costs evaluations where the correlation is
#: underestimated.
DOUBT_SHARE = 0.4


class GaussianProcess(ModelBased):
    """Suggests the configuration with the best acquisition value at the highest budget.

    The first ``num_initial`` configurations are a scrambled Sobol sequence. Then a Gaussian
    process is fitted to all observations at all budgets; pending evaluations count as if they
    had the predicted mean. Among random candidates and neighbours of the best observations, the one
    with the lowest confidence bound at the highest budget is taken, its kappa drawn for each
    suggestion; for three in ten, the one with the largest expected improvement instead. A few
    are random, more at low budgets, as a guard against budgets that mislead. A failed evaluation
    counts as the worst observed loss.

    With more than 256 observations the model keeps those at the highest budgets, the best and
    the latest, so that the cost of a suggestion is bounded.

    Parameters
    ----------
    space
        The space to search.
    num_initial
        Configurations before the model is used, at least 2; those of a warm start count.
    seed
        Chooses the first configurations.
    acquisition, pending
        For batches and many workers, see `hpdist.optimizers.batch_strategies`: the acquisition
        function, and the losses that pending evaluations count as.

    References
    ----------
    Jones, Schonlau and Welch, "Efficient global optimization of expensive black-box functions",
    1998. Snoek, Larochelle and Adams, "Practical Bayesian optimization of machine learning
    algorithms", NeurIPS 2012. Swersky, Snoek and Adams, "Multi-task Bayesian optimization", NeurIPS
    2013. Klein, Tiao, Lienart, Archambeau and Seeger, "Model-based asynchronous hyperparameter and
    neural architecture search", 2020.
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
        self._surrogate = Surrogate(self.history, self.encoded_space, PENDING[self._pending])

    def describe(self) -> dict[str, JsonValue]:
        return {
            "name": "GaussianProcess",
            "num_initial": self.num_initial,
            "seed": self.seed,
            "acquisition": self._acquisition,
            "pending": self._pending,
        }

    def suggest_by_model(
        self, budgets: BudgetRange, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        kappa = self._kappa(rng)
        predictor = self._surrogate.predictor(budgets, pending)

        def score(points: Array) -> Array:
            mean, deviation = predictor.predict(points)
            if kappa is not None:
                return kappa * deviation - mean
            return log_expected_improvement(mean, deviation, predictor.best)

        candidates, scores = search_candidates(
            score, self.encoded_space, predictor.best_points, rng
        )
        order = trial_order(self._acquisition, scores, rng)
        candidates, scores = candidates[order], scores[order]
        chosen = self.history.first_new(candidates, pending)
        if chosen is None:  # a small space, all of whose candidates are observed or pending
            return self.sample_random(rng)
        (mean,), (deviation,) = predictor.predict(candidates[chosen][None])
        info = {
            "origin": "model",
            "acquisition": "expected improvement" if kappa is None else "confidence bound",
            "value": float(scores[chosen]),
            "mean": float(mean),
            "deviation": float(deviation),
            "best": predictor.best,
        }
        return Suggestion(self.encoded_space.decode(candidates[chosen]), info)

    def exploration_share(self, budget: float, budgets: BudgetRange) -> float:
        """Return a share that rises at low budgets, the less they predict the highest one."""
        share = super().exploration_share(budget, budgets)
        fidelity = float(budgets.normalised_fidelity(np.array([budget]))[0])
        doubt = max(0.0, 1.0 - 2.0 * self._surrogate.budget_correlation(budgets))
        return share + DOUBT_SHARE * (1.0 - fidelity) * doubt

    def _kappa(self, rng: np.random.Generator) -> float | None:
        """Return kappa of the confidence bound; None for expected improvement."""
        if self._acquisition == "ei":
            return None
        if self._acquisition != "mixed":
            return draw_kappa(self._acquisition, len(self.history), rng)
        return KAPPAS[rng.integers(len(KAPPAS))] if rng.random() < BOUND_SHARE else None
