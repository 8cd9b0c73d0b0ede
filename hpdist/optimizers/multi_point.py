"""Several suggestions at once: what pending evaluations count as, and how suggestions differ.

References
----------
Ginsbourger, Le Riche and Carraro, "Kriging is well-suited to parallelize optimization", 2010,
sections 4.2 and 4.3 (believer, constant liar). Egele, Guyon, Vishwanath and Balaprakash,
"Asynchronous decentralized Bayesian optimization for large scale hyperparameter optimization",
e-Science 2023, section III (qUCB, its decay, Boltzmann).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PENDING: dict[str, Callable[[Array, Array], Array]] = {
    "believer": lambda predicted, known: predicted,
    "liar-min": lambda predicted, known: np.full_like(predicted, known.min()),
    "liar-mean": lambda predicted, known: np.full_like(predicted, known.mean()),
    "liar-max": lambda predicted, known: np.full_like(predicted, known.max()),
}
"""What pending evaluations count as, given their predicted and all known losses.

"believer" takes the predictions; a liar the best, mean or worst loss known for all of them. The
worse the lie, the further suggestions keep away from what runs; with "liar-min" they gather there.
"""

ACQUISITIONS = ("mixed", "ei", "qucb", "qucbd", "boltzmann")
"""How a configuration is chosen.

"mixed": by a confidence bound of one, two or three deviations, or by expected improvement. "ei":
by expected improvement. "qucb": by a confidence bound whose width is drawn for each suggestion, so
that batches spread from greedy to curious. "qucbd": the same, getting narrower within periods of
25 results. "boltzmann": at random, the more probable the lower the confidence bound.
"""

WIDTH, PERIOD, RATE = 1.96, 25, 0.1
TEMPERATURE = 0.1


def width(acquisition: str, num_known: int, rng: np.random.Generator) -> float:
    """Return how many deviations below the mean a confidence bound lies."""
    if acquisition == "boltzmann":
        return WIDTH
    decay = math.exp(-RATE * (num_known % PERIOD)) if acquisition == "qucbd" else 1.0
    return float(rng.exponential(WIDTH * decay))


def shuffled(acquisition: str, scores: Array, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the order in which candidates are tried; ``scores`` descend."""
    if acquisition != "boltzmann":
        return np.arange(len(scores))
    # The largest of scores with Gumbel noise is a draw from their softmax.
    noisy = scores / TEMPERATURE + rng.gumbel(size=len(scores))
    return np.argsort(-noisy, kind="stable")
