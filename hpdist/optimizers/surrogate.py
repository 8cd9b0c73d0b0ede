"""A Gaussian process that knows a search: its observations, its budgets, what is pending."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpdist.core.space.encoding import Points, keys
from hpdist.optimizers.base import Pending
from hpdist.optimizers.gaussian_process import Posterior, fit
from hpdist.optimizers.history import History
from hpdist.optimizers.kernel import Encoding, Inputs, Kernel
from hpdist.optimizers.transform import transform

Array = NDArray[np.float64]

REFIT = 1.08  #: hyperparameters are fitted anew when there are 8 % more observations
MOST_FITTED = 160  #: observations that hyperparameters are fitted to
MOST_KNOWN = 256  #: observations that predictions are made from
BEST_KNOWN = 6  #: configurations whose neighbours are looked at


@dataclass(frozen=True)
class BudgetRange:
    """The lowest and the highest budget of a search so far."""

    lowest: float
    highest: float

    @property
    def several(self) -> bool:
        return self.highest > self.lowest

    def level(self, budgets: Array) -> Array:
        """Return ``log(budget / highest) / log(27)``: -1 is three rungs of Hyperband lower."""
        level: Array = np.log(budgets / self.highest) / np.log(27.0)
        return level

    def height(self, budgets: Array) -> Array:
        """Return the place between the lowest budget (0) and the highest (1), in logarithms."""
        if not self.several:
            return np.ones_like(budgets)
        below = np.log(budgets / self.highest) / np.log(self.highest / self.lowest)
        height: Array = np.clip(1.0 + below, 0.0, 1.0)
        return height


class Surrogate:
    """Fits hyperparameters now and then, and predicts losses at the highest budget."""

    def __init__(
        self, history: History, points: Points, imagine: Callable[[Array, Array], Array]
    ) -> None:
        self._history = history
        self._imagine = imagine
        self._encoding = Encoding(points.num_choices)
        self._fitted: tuple[tuple[int, BudgetRange], Kernel, Array] | None = None

    def belief(self, budgets: BudgetRange, pending: Sequence[Pending]) -> Belief:
        """Return what is believed, of transformed losses.

        What is pending counts as if it had come out as ``imagine`` makes it, given what was
        predicted and what is known.
        """
        kernel, theta = self._hyperparameters(budgets)
        targets = transform(finite(self._history.losses))
        rows = informative(targets, self._history.budgets >= budgets.highest, MOST_KNOWN)
        known = self._history.points[rows]
        inputs = self._inputs(known, self._history.budgets[rows], budgets)
        posterior = Posterior(kernel, theta, inputs, targets[rows])
        if pending:
            waiting = self._history.space.encode([job.config for job in pending])
            at = np.array([job.budget for job in pending], dtype=float)
            imagined = self._inputs(waiting, at, budgets)
            believed, _ = posterior.predict(imagined)
            believed = self._imagine(believed, targets[rows])
            both = np.concatenate([targets[rows], believed])
            posterior = Posterior(kernel, theta, inputs.joined(imagined), both)
        return Belief(posterior, self._encoding, known)

    def trust(self, budgets: BudgetRange) -> float:
        """Return how far the lowest budget tells of the highest: their correlation, 0 to 1."""
        kernel, theta = self._hyperparameters(budgets)
        return kernel.correlation(theta, float(budgets.level(np.array([budgets.lowest]))[0]))

    def _hyperparameters(self, budgets: BudgetRange) -> tuple[Kernel, Array]:
        """Fit to the data up to a count that grows by steps, so that few fits are needed."""
        count = 2
        while (following := max(count + 1, int(count * REFIT))) <= len(self._history):
            count = following
        key = (count, budgets)
        if self._fitted is None or self._fitted[0] != key:
            history, rows = self._history, self._for_fit(count)
            kernel = Kernel(
                self._encoding.owners, len(history.space.names), budgets=budgets.several
            )
            targets = transform(finite(history.losses[:count]))
            inputs = self._inputs(history.points[rows], history.budgets[rows], budgets)
            self._fitted = key, kernel, fit(kernel, inputs, targets[rows])
        return self._fitted[1:]

    def _for_fit(self, count: int) -> NDArray[np.intp]:
        """Choose observations: those at the highest budgets, and of a budget by chance."""
        chance = np.random.default_rng(count).random(count)
        order = np.lexsort((chance, -self._history.budgets[:count]))
        return np.sort(order[:MOST_FITTED])

    def _inputs(self, points: Array, at: Array, budgets: BudgetRange) -> Inputs:
        return Inputs(self._encoding.features(points), budgets.level(at), budgets.height(at))


class Belief:
    """Losses at the highest budget, as predicted now.

    Attributes
    ----------
    best
        The lowest mean over the configurations known.
    best_points
        The configurations with the lowest means, each once, shape ``(k, d)``.
    """

    def __init__(self, posterior: Posterior, encoding: Encoding, known: Array) -> None:
        self._posterior, self._encoding = posterior, encoding
        expected, _ = self.predict(known)
        self.best = float(expected.min())
        self.best_points = best_distinct(known, expected)

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Return mean and deviation of (transformed) losses, shape ``(n,)`` each."""
        features = self._encoding.features(points)
        highest = np.zeros(len(points)), np.ones(len(points))
        return self._posterior.predict(Inputs(features, *highest))


def finite(losses: Array) -> Array:
    """Put the worst loss known in the place of failures."""
    succeeded = losses[np.isfinite(losses)]
    worst = succeeded.max() if len(succeeded) else 0.0
    return np.where(np.isfinite(losses), losses, worst)


def informative(targets: Array, at_highest: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    """Choose the best observations, with a bonus for the highest budget and the latest."""
    n = len(targets)
    if n <= most:
        return np.arange(n)
    rank = np.argsort(np.argsort(targets, kind="stable"), kind="stable") / n
    latest = np.arange(n) >= n - most // 4
    return np.sort(np.argsort(rank - 0.3 * at_highest - 0.3 * latest, kind="stable")[:most])


def best_distinct(points: Array, expected: Array) -> Array:
    """Return the points with the lowest values expected, each once."""
    ordered = points[np.argsort(expected, kind="stable")]
    first: dict[bytes, int] = {}
    for index, key in enumerate(keys(ordered)):
        first.setdefault(key, index)
        if len(first) == BEST_KNOWN:
            break
    return ordered[list(first.values())]
