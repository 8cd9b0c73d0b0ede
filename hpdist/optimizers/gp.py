"""The default: Bayesian optimization with one Gaussian process for all budgets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hpdist.checks import check_seed, check_whole
from hpdist.model import JsonValue
from hpdist.optimizers.acquisition import candidates, log_expected_improvement
from hpdist.optimizers.base import Observation, Pending, Suggestion
from hpdist.optimizers.history import History
from hpdist.optimizers.surrogate import BudgetRange, Surrogate
from hpdist.optimizers.transform import TRANSFORMS
from hpdist.points import Points
from hpdist.space import Space

Array = NDArray[np.float64]

RANDOM = (0.3, 0.05)  #: share of random configurations at the lowest and at the highest budget
OPTIMISTIC = 0.15  #: share of suggestions by a confidence bound, not by expected improvement
OPTIMISM = (1.0, 2.0, 3.0)  #: deviations below the mean of that bound


class GaussianProcess:
    """Suggests what is expected to improve most on the best loss at the highest budget.

    The first ``num_initial`` configurations are a scrambled Sobol sequence. Then a Gaussian
    process is fitted to all observations at all budgets; pending evaluations count as if they
    had the mean predicted. Among random points and neighbours of the best ones, the point with
    the largest expected improvement at the highest budget is taken; for some trials an
    optimistic bound decides instead, and some are random, more at low budgets, as a guard
    against budgets that mislead. A failed evaluation counts as the worst loss known.

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

    References
    ----------
    Jones, Schonlau and Welch, "Efficient global optimization of expensive black-box functions",
    1998. Snoek, Larochelle and Adams, "Practical Bayesian optimization", NeurIPS 2012. Swersky,
    Snoek and Adams, "Multi-task Bayesian optimization", NeurIPS 2013. Klein, Tiao, Lienart,
    Archambeau and Seeger, "Model-based asynchronous hyperparameter optimization", 2020.
    """

    def __init__(self, space: Space, num_initial: int = 10, seed: int = 0) -> None:
        self.space = Space.of(space)
        self._num_initial = check_whole("num_initial", num_initial, least=2)
        self._seed = check_seed(seed)
        self._points = Points(self.space)
        self._history = History(self.space)
        self._surrogate = Surrogate(self._history, self._points)
        self._last_trial = -1
        self._num_before = 0  #: observations of earlier runs

    def tell(self, observation: Observation) -> None:
        self._history.add(observation)
        self._last_trial = max(self._last_trial, observation.trial_id)
        self._num_before += observation.trial_id < 0

    def describe(self) -> dict[str, JsonValue]:
        return {
            "name": "GaussianProcess",
            "num_initial": self._num_initial,
            "seed": self._seed,
        }

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

    def _suggest(
        self, trial_id: int, budget: float, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        if trial_id + self._num_before < self._num_initial:
            return self._initial(trial_id, rng)
        budgets = self._range(budget, pending)
        num_known = np.count_nonzero(np.isfinite(self._history.losses))
        if num_known < 2 or rng.random() < _share_of_random(budget, budgets):
            return self._random(rng)
        return self._modelled(budgets, pending, rng)

    def _initial(self, trial_id: int, rng: np.random.Generator) -> Suggestion:
        from scipy.stats import qmc

        sequence = qmc.Sobol(len(self.space.names), scramble=True, seed=self._seed)
        points = self._points.spread(sequence.random_base2((4 * self._num_initial).bit_length()))
        if trial_id >= len(points):  # nearly everything is forbidden
            return self._random(rng)
        return Suggestion(self._points.config(points[trial_id]), {"origin": "initial design"})

    def _random(self, rng: np.random.Generator) -> Suggestion:
        return Suggestion(self.space.sample(rng), {"origin": "random"})

    def _range(self, budget: float, pending: list[Pending]) -> BudgetRange:
        known = [budget, *(job.budget for job in pending), *self._history.budgets.tolist()]
        return BudgetRange(min(known), max(known))

    def _modelled(
        self, budgets: BudgetRange, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        kind = TRANSFORMS[rng.integers(len(TRANSFORMS))]
        optimism = OPTIMISM[rng.integers(len(OPTIMISM))] if rng.random() < OPTIMISTIC else None
        belief = self._surrogate.belief(kind, budgets, pending)

        def score(points: Array) -> Array:
            mean, deviation = belief.predict(points)
            if optimism is not None:
                return optimism * deviation - mean
            return log_expected_improvement(mean, deviation, belief.best)

        found, scores = candidates(score, self._points, belief.best_points, rng)
        chosen = self._history.unseen(found, pending)
        if chosen is None:  # a small space, where everything promising is known
            return self._random(rng)
        (mean,), (deviation,) = belief.predict(found[chosen][None])
        info = {
            "origin": "model",
            "acquisition": "expected improvement" if optimism is None else "confidence bound",
            "value": float(scores[chosen]),
            "mean": float(mean),
            "deviation": float(deviation),
            "best": belief.best,
            "losses": kind,
        }
        return Suggestion(self._points.config(found[chosen]), info)


def _share_of_random(budget: float, budgets: BudgetRange) -> float:
    low, high = RANDOM
    height = float(budgets.height(np.array([budget]))[0])
    return high * height + low * (1.0 - height)
