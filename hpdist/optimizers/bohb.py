"""BOHB: kernel densities of good and of bad configurations at the highest budget known enough."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpdist.checks import check_whole
from hpdist.model import JsonValue
from hpdist.optimizers.base import Pending, Suggestion
from hpdist.optimizers.densities import Density, Kernels, aitchison_aitken
from hpdist.optimizers.one_by_one import OneByOne
from hpdist.space import Space

Array = NDArray[np.float64]

GOOD = 0.15  #: q: share of the configurations that count as good
RANDOM = 1.0 / 3.0  #: rho: share of random configurations
WIDEN = 3.0  #: b_w: by which bandwidths are multiplied for drawing
NARROWEST = 1e-3  #: lowest bandwidth
MOST_KNOWN = 500  #: configurations in a density


class BOHB(OneByOne):
    """Suggests what is probable among good configurations and improbable among bad ones.

    Densities are of the observations at the highest budget that has at least ``d + 3`` of them;
    before there is one, and one time in three, a configuration is random. A failed evaluation
    counts as the worst loss. With more than 500 bad configurations the densities are of the 500
    latest ones.

    Parameters
    ----------
    space
        The space to search.
    num_samples
        Candidates that compete for a suggestion (N_s).

    References
    ----------
    Falkner, Klein and Hutter, "BOHB: robust and efficient hyperparameter optimization at scale",
    ICML 2018: Algorithm 2, equations 2 and 3.
    """

    def __init__(self, space: Space, num_samples: int = 64) -> None:
        super().__init__(space)
        self._num_samples = check_whole("num_samples", num_samples, least=1)

    def describe(self) -> dict[str, JsonValue]:
        return {"name": "BOHB", "num_samples": self._num_samples}

    def suggest(
        self, trial_id: int, budget: float, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        known = self.history.at_highest(len(self.space.names) + 3)
        if known is None or rng.random() < RANDOM:
            return self.at_random(rng)
        good, bad = self._split(*known)
        drawn = good.draw(rng, self._num_samples, widen=WIDEN)
        scores = good.log(drawn) - bad.log(drawn)
        order = np.argsort(-scores, kind="stable")
        chosen = self.history.unseen(drawn[order], pending)
        if chosen is None:
            return self.at_random(rng)
        info: dict[str, JsonValue] = {
            "origin": "model",
            "acquisition": "density ratio",
            "value": float(scores[order][chosen]),
        }
        return Suggestion(self.points.config(drawn[order][chosen]), info)

    def _split(self, points: Array, losses: Array) -> tuple[Density, Density]:
        """Return the densities of the good and of the others (equation 3)."""
        order = np.argsort(losses, kind="stable")
        least = points.shape[1] + 1
        num_good = max(least, int(GOOD * len(order)))
        num_bad = max(least, len(order) - num_good)
        good, bad = np.sort(order[:num_good]), np.sort(order[-num_bad:])
        return self._density(points[good]), self._density(points[bad])

    def _density(self, points: Array) -> Density:
        points = points[-MOST_KNOWN:]
        factor = len(points) ** (-1.0 / (4 + points.shape[1]))
        spread = np.array([_deviation(column) for column in points.T])
        bandwidths = np.maximum(1.06 * spread * factor, NARROWEST)
        transitions = [
            aitchison_aitken(k, max(NARROWEST, 1.06 * factor * _impurity(points[:, column], k)))
            if k
            else None
            for column, k in enumerate(self.points.num_choices.tolist())
        ]
        kernels = Kernels(bandwidths, transitions)
        return Density(self.points, points, kernels, np.ones(len(points)))


def _deviation(column: Array) -> float:
    active = column[~np.isnan(column)]
    return float(active.std()) if len(active) else 0.0


def _impurity(column: Array, num_choices: int) -> float:
    """Return the probability that two draws from the categories of a column differ."""
    active = column[~np.isnan(column)].astype(int)
    if not len(active):
        return 0.0
    shares = np.bincount(active, minlength=num_choices) / len(active)
    return float(1.0 - (shares**2).sum())
