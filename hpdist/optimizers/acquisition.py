"""What a point promises, and where it promises most."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hpdist.core.space.encoding import Points

Array = NDArray[np.float64]
Score = Callable[[Array], Array]
"""Maps points, shape ``(n, d)``, to what they promise, shape ``(n,)``; the more the better."""

RANDOM_POINTS = 300
NEIGHBOURS = np.repeat([0.25, 0.1, 0.03], 10)  #: step sizes from each of the best points known
STEPS = (0.1, 0.05, 0.02, 0.01, 0.005)  #: step sizes of the local search, one a round
CLIMBERS, TRIED = 5, 12


def log_expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """Return log E[max(best - loss, 0)] for normal losses, without underflow.

    References
    ----------
    Jones, Schonlau and Welch, 1998, equation 15; in logarithms as in Ament et al., "Unexpected
    improvements to expected improvement", NeurIPS 2023, equation 9.
    """
    from scipy.special import erfcx, log_ndtr

    u = (best - mean) / deviation
    log_density = -0.5 * u**2 - 0.5 * math.log(2 * math.pi)
    with np.errstate(all="ignore"):
        # u Phi(u) + phi(u) = phi(u) (1 + u Phi(u) / phi(u))
        near = np.log(u * np.exp(log_ndtr(u)) + np.exp(log_density))
        ratio = -u * math.sqrt(math.pi / 2) * erfcx(-u / math.sqrt(2))
        far = log_density + np.log1p(-ratio)
        beyond = log_density - 2 * np.log(np.abs(u))
    improvement: Array = np.where(u > -1, near, np.where(u > -1e3, far, beyond))
    return improvement + np.log(deviation)


def candidates(
    score: Score, points: Points, best_known: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return promising points, the most promising first, and their scores.

    Random points and neighbours of the best ones known, shape ``(k, d)``, are compared; the
    winners then climb by ever smaller steps.
    """
    share = min(1.0, max(0.25, 3.0 / max(1, best_known.shape[1])))
    drawn = points.draw(rng, RANDOM_POINTS)
    near = points.near(rng, best_known, len(NEIGHBOURS), NEIGHBOURS, share)
    pool = np.concatenate([drawn, near])
    scores = score(pool)
    first = np.argsort(-scores, kind="stable")[:CLIMBERS]
    found, found_scores = pool, scores
    climbers, heights = pool[first], scores[first]
    for step in STEPS:
        climbers, heights, tried, tried_scores = _climb(
            score, points, climbers, heights, step, share, rng
        )
        found = np.concatenate([found, tried])
        found_scores = np.concatenate([found_scores, tried_scores])
    order = np.argsort(-found_scores, kind="stable")
    return found[order], found_scores[order]


def _climb(
    score: Score,
    points: Points,
    climbers: Array,
    heights: Array,
    step: float,
    share: float,
    rng: np.random.Generator,
) -> tuple[Array, Array, Array, Array]:
    """Let each climber go to the best of its neighbours, if that is higher."""
    tried = [points.near(rng, one[None], TRIED, np.full(TRIED, step), share) for one in climbers]
    sizes = [len(some) for some in tried]
    pool = np.concatenate(tried)
    scores = score(pool)
    climbers, heights = climbers.copy(), heights.copy()
    for index, end in enumerate(np.cumsum(sizes)):
        own = slice(end - sizes[index], end)
        if sizes[index] and scores[own].max() > heights[index]:
            best = int(np.argmax(scores[own]))
            climbers[index], heights[index] = pool[own][best], scores[own][best]
    return climbers, heights, pool, scores
