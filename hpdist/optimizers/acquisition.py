"""Acquisition functions, and the search for the candidates that maximize them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hpdist.core.space.encoding import EncodedSpace

Array = NDArray[np.float64]
Score = Callable[[Array], Array]
"""An acquisition function: maps encoded configurations, shape ``(n, d)``, to values, shape
``(n,)``; the higher the better."""

# By experiment; all of these trade the time of a suggestion for a higher acquisition value. See the
# ablations "gp-neighbours" (only random candidates: far worse) and "gp-climb" (no local search:
# worse early on) in benchmarks/README.rst.
RANDOM_CANDIDATES = 300
NEIGHBOUR_STEPS = np.repeat([0.25, 0.1, 0.03], 10)  #: one for each neighbour of a good observation
CLIMB_STEPS = (0.1, 0.05, 0.02, 0.01, 0.005)  #: step sizes of the local search, one a round
NUM_CLIMBERS = 5  #: candidates that the local search starts from
CLIMB_NEIGHBOURS = 12  #: neighbours of each of them in a round
#: Parameters that a neighbour changes: so many on average, but at least this share of them. By
#: experiment; more changes explore further and improve a good configuration more rarely.
CHANGED_PARAMETERS = 3.0
MIN_CHANGED_SHARE = 0.25


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
    # Where u Phi(u) + phi(u) cancels the second form is exact, and far out its asymptote is.
    improvement: Array = np.where(u > -1, near, np.where(u > -1e3, far, beyond))
    return improvement + np.log(deviation)


def search_candidates(
    score: Score, encoded_space: EncodedSpace, best_observed: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return encoded configurations by descending score, and their scores.

    Random configurations and neighbours of the best observed ones, shape ``(k, d)``, are
    compared; a local search with ever smaller steps starts from the best of them.
    """
    share = min(1.0, max(MIN_CHANGED_SHARE, CHANGED_PARAMETERS / max(1, best_observed.shape[1])))
    drawn = encoded_space.sample(rng, RANDOM_CANDIDATES)
    near = encoded_space.neighbours(
        rng, best_observed, len(NEIGHBOUR_STEPS), NEIGHBOUR_STEPS, share
    )
    pool = np.concatenate([drawn, near])
    scores = score(pool)
    first = np.argsort(-scores, kind="stable")[:NUM_CLIMBERS]
    candidates, candidate_scores = pool, scores
    climbers, best_scores = pool[first], scores[first]
    for step in CLIMB_STEPS:
        climbers, best_scores, tried, tried_scores = _climb(
            score, encoded_space, climbers, best_scores, step, share, rng
        )
        candidates = np.concatenate([candidates, tried])
        candidate_scores = np.concatenate([candidate_scores, tried_scores])
    order = np.argsort(-candidate_scores, kind="stable")
    return candidates[order], candidate_scores[order]


def _climb(
    score: Score,
    encoded_space: EncodedSpace,
    climbers: Array,
    best_scores: Array,
    step: float,
    share: float,
    rng: np.random.Generator,
) -> tuple[Array, Array, Array, Array]:
    """Move each climber to the best of its neighbours, if that has a higher score."""
    steps = np.full(CLIMB_NEIGHBOURS, step)
    tried = [
        encoded_space.neighbours(rng, one[None], CLIMB_NEIGHBOURS, steps, share) for one in climbers
    ]
    sizes = [len(some) for some in tried]
    pool = np.concatenate(tried)
    scores = score(pool)
    climbers, best_scores = climbers.copy(), best_scores.copy()
    for index, end in enumerate(np.cumsum(sizes)):
        own = slice(end - sizes[index], end)
        if sizes[index] and scores[own].max() > best_scores[index]:
            best = int(np.argmax(scores[own]))
            climbers[index], best_scores[index] = pool[own][best], scores[own][best]
    return climbers, best_scores, pool, scores
