"""Strategies for parallel evaluations: constant liar, kriging believer, qUCB, Boltzmann.

References
----------
Ginsbourger, Le Riche and Carraro, "Kriging is well-suited to parallelize optimization", 2010
(believer, constant liar). Egele, Guyon, Vishwanath and Balaprakash, "Asynchronous decentralized
Bayesian optimization for large scale hyperparameter optimization", e-Science 2023 (qUCB, its
decay). Garcia-Barcos and Martinez-Cantin, "Fully distributed Bayesian optimization with stochastic
policies", 2019 (Boltzmann).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PENDING: dict[str, Callable[[Array, Array], Array]] = {
    "believer": lambda predicted, observed: predicted,
    "liar-min": lambda predicted, observed: np.full_like(predicted, observed.min()),
    "liar-mean": lambda predicted, observed: np.full_like(predicted, observed.mean()),
    "liar-max": lambda predicted, observed: np.full_like(predicted, observed.max()),
}
"""Losses that pending evaluations count as, given their predicted and all observed losses.

"believer" takes the predictions; a liar the best, mean or worst observed loss for all of them. The
worse the lie, the further suggestions keep away from pending configurations; with "liar-min" they
gather there.
"""

ACQUISITIONS = ("mixed", "ei", "qucb", "qucbd", "boltzmann")
"""How a configuration is chosen.

"mixed": by a confidence bound of one, two or three deviations, or by expected improvement. "ei":
by expected improvement. "qucb": by a confidence bound whose kappa is drawn for each suggestion, so
that batches spread from exploiting to exploring. "qucbd": the same, kappa decaying within periods
of 25 results. "boltzmann": at random, the more probable the lower the confidence bound.
"""

KAPPA = 1.96
"""Mean of the kappas that "qucb" draws: the default of DeepHyper, by the authors of qUCB."""

DECAY_RATE, PERIOD = 0.1, 25
"""Of the kappas of "qucbd": ``kappa * exp(-rate * t)``, t from 0 to 24: the defaults of
DeepHyper 0.5 and 0.6; later versions have others."""

TEMPERATURE = 0.1
"""Of the softmax. By experiment; a higher one spreads a batch more and follows the model less."""


def draw_kappa(acquisition: str, num_observations: int, rng: np.random.Generator) -> float:
    """Return kappa: how many deviations below the mean the confidence bound lies."""
    if acquisition == "boltzmann":
        return KAPPA
    decay = math.exp(-DECAY_RATE * (num_observations % PERIOD)) if acquisition == "qucbd" else 1.0
    return float(rng.exponential(KAPPA * decay))


def trial_order(acquisition: str, scores: Array, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the order in which candidates are considered; ``scores`` descend."""
    if acquisition != "boltzmann":
        return np.arange(len(scores))
    # The largest of scores with Gumbel noise is a draw from their softmax.
    noisy = scores / TEMPERATURE + rng.gumbel(size=len(scores))
    return np.argsort(-noisy, kind="stable")
