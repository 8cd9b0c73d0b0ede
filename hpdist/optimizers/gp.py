"""The default: Bayesian optimization with one Gaussian process for all budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpdist.checks import check_seed, check_whole
from hpdist.model import JsonValue
from hpdist.optimizers.acquisition import candidates, log_expected_improvement
from hpdist.optimizers.base import Observation, Pending, Suggestion
from hpdist.optimizers.gaussian_process import Posterior, fit
from hpdist.optimizers.history import History
from hpdist.optimizers.kernel import Encoding, Inputs, Kernel
from hpdist.optimizers.transform import TRANSFORMS, transform
from hpdist.points import Points, keys
from hpdist.space import Space

Array = NDArray[np.float64]

REFIT = 1.08  #: hyperparameters are fitted anew when there are 8 % more observations
MOST_FITTED = 160  #: observations that hyperparameters are fitted to
MOST_KNOWN = 256  #: observations that predictions are made from
BEST_KNOWN = 6  #: configurations whose neighbours are looked at
RANDOM = (0.3, 0.05)  #: share of random configurations at the lowest and at the highest budget
OPTIMISTIC = 0.15  #: share of suggestions by a confidence bound, not by expected improvement
OPTIMISM = (1.0, 2.0, 3.0)


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
        Suggestions before the model is asked, at least 2.
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
        self._encoding = Encoding(self._points.num_choices)
        self._history = History(self.space)
        self._last_trial = -1
        self._fitted: tuple[tuple[int, float], Kernel, Array] | None = None

    def tell(self, observation: Observation) -> None:
        self._history.add(observation)
        self._last_trial = max(self._last_trial, observation.trial_id)

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
        known = np.isfinite(self._history.losses).sum()
        if trial_id < self._num_initial or known < 2:
            return self._initial(trial_id, rng)
        if rng.random() < self._share_of_random(budget):
            return self._random(rng)
        return self._modelled(budget, pending, rng)

    # ------------------------------------------------------------------ without a model

    def _initial(self, trial_id: int, rng: np.random.Generator) -> Suggestion:
        from scipy.stats import qmc

        if trial_id >= self._num_initial:
            return self._random(rng)
        sequence = qmc.Sobol(len(self.space.names), scramble=True, seed=self._seed)
        points = self._points.spread(sequence.random_base2((4 * self._num_initial).bit_length()))
        if trial_id >= len(points):
            return self._random(rng)
        return Suggestion(self._points.config(points[trial_id]), {"origin": "initial design"})

    def _random(self, rng: np.random.Generator) -> Suggestion:
        return Suggestion(self.space.sample(rng), {"origin": "random"})

    def _share_of_random(self, budget: float) -> float:
        lowest, highest = self._range(budget)
        low, high = RANDOM
        return (
            high
            if highest <= lowest
            else high + (low - high) * (1 - _height(budget, lowest, highest))
        )

    def _range(self, *budgets: float) -> tuple[float, float]:
        known = [*budgets, *self._history.budgets]
        return min(known), max(known)

    # ------------------------------------------------------------------ with the model

    def _modelled(
        self, budget: float, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        lowest, highest = self._range(budget, *(job.budget for job in pending))
        scale = _Scale(lowest, highest)
        kernel, theta = self._hyperparameters(scale)
        targets = transform(
            _finite(self._history.losses), TRANSFORMS[rng.integers(len(TRANSFORMS))]
        )
        kept = self._kept(targets, scale)
        inputs, known = (
            self._inputs(self._history.points[kept], self._history.budgets[kept], scale),
            targets[kept],
        )
        posterior = Posterior(kernel, theta, inputs, known)
        waiting = self.space.encode([job.config for job in pending])
        if pending:
            budgets = np.array([job.budget for job in pending])
            imagined = self._inputs(waiting, budgets, scale)
            mean, _ = posterior.predict(imagined)
            posterior = Posterior(
                kernel, theta, inputs.joined(imagined), np.concatenate([known, mean])
            )
        optimism = OPTIMISM[rng.integers(len(OPTIMISM))] if rng.random() < OPTIMISTIC else None

        def predict(points: Array) -> tuple[Array, Array]:
            at_full = np.full(len(points), highest)
            return posterior.predict(self._inputs(points, at_full, scale))

        points = self._history.points[kept]
        expected, _ = predict(points)
        best = float(expected.min())

        def score(some: Array) -> Array:
            mean, deviation = predict(some)
            if optimism is not None:
                return optimism * deviation - mean
            return log_expected_improvement(mean, deviation, best)

        found, scores = candidates(score, self._points, _distinct(points, expected), rng)
        chosen = self._unseen(found, waiting)
        if chosen is None:
            return self._random(rng)
        (mean,), (deviation,) = predict(found[chosen][None])
        return Suggestion(
            self._points.config(found[chosen]),
            {
                "origin": "model",
                "acquisition": "expected improvement" if optimism is None else "confidence bound",
                "value": float(scores[chosen]),
                "mean": float(mean),
                "deviation": float(deviation),
                "best": best,
            },
        )

    def _hyperparameters(self, scale: _Scale) -> tuple[Kernel, Array]:
        """Fit to the data up to a count that grows by steps, so that few fits are needed."""
        count = 2
        while (following := max(count + 1, int(count * REFIT))) <= len(self._history):
            count = following
        if self._fitted is None or self._fitted[0] != (count, scale.key):
            history = self._history
            kernel = Kernel(self._encoding.owners, len(self.space.names), budgets=scale.several)
            targets = transform(_finite(history.losses[:count]), "power")
            rows = self._for_fit(count)
            inputs = self._inputs(history.points[rows], history.budgets[rows], scale)
            self._fitted = (count, scale.key), kernel, fit(kernel, inputs, targets[rows])
        return self._fitted[1:]

    def _for_fit(self, count: int) -> NDArray[np.intp]:
        """Choose observations: all at the highest budgets, of the others by chance."""
        chance = np.random.default_rng(count).random(count)
        levels = np.log(self._history.budgets[:count])
        return np.sort(np.argsort(-3 * levels - chance, kind="stable")[:MOST_FITTED])

    def _kept(self, targets: Array, scale: _Scale) -> NDArray[np.intp]:
        n = len(targets)
        if n <= MOST_KNOWN:
            return np.arange(n)
        rank = np.argsort(np.argsort(targets, kind="stable"), kind="stable") / n
        full = self._history.budgets >= scale.highest
        latest = np.arange(n) >= n - MOST_KNOWN // 4
        return np.sort(np.argsort(rank - 0.3 * full - 0.3 * latest, kind="stable")[:MOST_KNOWN])

    def _inputs(self, points: Array, budgets: Array, scale: _Scale) -> Inputs:
        level, height = scale.of(budgets)
        return Inputs(self._encoding.features(points), level, height)

    def _unseen(self, found: Array, waiting: Array) -> int | None:
        seen = {*keys(self._history.points), *keys(waiting)}
        return next((index for index, key in enumerate(keys(found)) if key not in seen), None)


@dataclass(frozen=True)
class _Scale:
    """Budgets as the kernel sees them."""

    lowest: float
    highest: float

    @property
    def several(self) -> bool:
        return self.highest > self.lowest

    @property
    def key(self) -> float:
        return self.highest / self.lowest

    def of(self, budgets: Array) -> tuple[Array, Array]:
        level = np.log(budgets / self.highest) / np.log(27.0)
        if not self.several:
            return level, np.ones_like(level)
        return level, np.clip(1 + np.log(budgets / self.highest) / np.log(self.key), 0.0, 1.0)


def _height(budget: float, lowest: float, highest: float) -> float:
    return float(_Scale(lowest, highest).of(np.array([budget]))[1][0])


def _finite(losses: Array) -> Array:
    """Put the worst loss known in the place of failures."""
    succeeded = losses[np.isfinite(losses)]
    worst = succeeded.max() if len(succeeded) else 0.0
    return np.where(np.isfinite(losses), losses, worst)


def _distinct(points: Array, expected: Array) -> Array:
    """Return the points with the lowest expected losses, each once."""
    order = np.argsort(expected, kind="stable")
    seen: dict[bytes, int] = {}
    for index, key in zip(order.tolist(), keys(points[order]), strict=True):
        seen.setdefault(key, index)
        if len(seen) == BEST_KNOWN:
            break
    return points[list(seen.values())]
