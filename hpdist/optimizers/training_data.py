"""The data that a surrogate model is fitted to: budgets, failures, and which observations.

Used by the Gaussian process and by the random forest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpdist.core.space.encoding import row_keys

Array = NDArray[np.float64]

#: Configurations whose neighbours are candidates. By experiment; more of them cost time in each
#: suggestion, fewer make the search more local.
NUM_LOCAL_CENTRES = 6
#: When observations are selected by rank, in [0, 1): the bonus of those at the highest budget, and
#: of the latest ones. By experiment; a larger bonus keeps fewer of the best at low budgets.
SELECTION_BONUS = 0.3
#: One in so many of the selected observations counts as latest. By experiment, as above.
LATEST_FRACTION = 4


@dataclass(frozen=True)
class BudgetRange:
    """The lowest and the highest budget of a search so far."""

    lowest: float
    highest: float

    @property
    def several(self) -> bool:
        return self.highest > self.lowest

    def log_ratio(self, budgets: Array) -> Array:
        """Return ``log(budget / highest) / log(27)``: -1 is three rungs of Hyperband lower."""
        log_ratio: Array = np.log(budgets / self.highest) / np.log(27.0)
        return log_ratio

    def normalised_fidelity(self, budgets: Array) -> Array:
        """Return budgets mapped, by their logarithm, to 0 (the lowest) to 1 (the highest)."""
        if not self.several:
            return np.ones_like(budgets)
        below = np.log(budgets / self.highest) / np.log(self.highest / self.lowest)
        fidelity: Array = np.clip(1.0 + below, 0.0, 1.0)
        return fidelity


def impute_failures(losses: Array) -> Array:
    """Return losses with failures (not finite) replaced by the worst finite loss."""
    succeeded = losses[np.isfinite(losses)]
    worst = succeeded.max() if len(succeeded) else 0.0
    return np.where(np.isfinite(losses), losses, worst)


def select_observations(
    targets: Array, at_highest: NDArray[np.bool_], max_count: int
) -> NDArray[np.intp]:
    """Return the rows of the best observations, the highest budget and the latest favoured."""
    n = len(targets)
    if n <= max_count:
        return np.arange(n)
    rank = np.argsort(np.argsort(targets, kind="stable"), kind="stable") / n
    latest = np.arange(n) >= n - max_count // LATEST_FRACTION
    score = rank - SELECTION_BONUS * at_highest - SELECTION_BONUS * latest
    return np.sort(np.argsort(score, kind="stable")[:max_count])


def lowest_distinct(points: Array, expected: Array) -> Array:
    """Return the encoded configurations with the lowest expected losses, each once."""
    ordered = points[np.argsort(expected, kind="stable")]
    first: dict[bytes, int] = {}
    for index, key in enumerate(row_keys(ordered)):
        first.setdefault(key, index)
        if len(first) == NUM_LOCAL_CENTRES:
            break
    return ordered[list(first.values())]
