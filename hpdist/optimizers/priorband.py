"""PriorBand: samples at random, from the user's prior, or near the incumbent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.values import JsonValue
from hpdist.core.space.space import Space
from hpdist.multi_fidelity.budgets import check_eta
from hpdist.optimizers.base import Pending, Suggestion
from hpdist.optimizers.sequential import SequentialOptimizer
from hpdist.optimizers.user_prior import user_prior

Array = NDArray[np.float64]

#: Deviation and share of parameters by which an incumbent is changed: the defaults of NePS, the
#: authors' package.
STEP, CHANGED_SHARE = 0.25, 0.5
#: Draws among which the first that is new is suggested. By experiment; bounds the cost.
MAX_DRAWS = 20


class PriorBand(SequentialOptimizer):
    """Samples configurations from three distributions, and learns how to weight them.

    At rung r, counted from the lowest budget, a configuration is random with probability
    ``1 / (1 + eta**r)``. Otherwise it follows the user's prior or, once ``eta`` configurations
    are observed at the highest budget, is a perturbed incumbent: which of the two is decided by
    how probable the best observed configurations are under each, so that a misleading prior loses
    its weight. Without a prior, incumbents get all of that share.

    Parameters
    ----------
    space
        The space to search.
    prior
        Values that the user expects to be good, for some parameters or for all: a mapping of
        names to values. ``space.default()`` expects the defaults to be good.
    confidence
        How sure the user is: "low", "medium" or "high".
    eta
        That of the iteration generator.

    References
    ----------
    Mallik, Bergman, Hvarfner, Stoll, Janowski, Lindauer, Nardi and Hutter, "PriorBand: practical
    hyperparameter optimization in the age of deep learning", NeurIPS 2023.
    """

    def __init__(
        self,
        space: Space,
        prior: Mapping[str, JsonValue] | None = None,
        confidence: str = "medium",
        eta: float = 3,
    ) -> None:
        super().__init__(space)
        self._prior = user_prior(self.encoded_space, prior or {}, confidence)
        self._settings = dict(prior or {}), confidence, check_eta(eta)

    def describe(self) -> dict[str, JsonValue]:
        prior, confidence, eta = self._settings
        return {"name": "PriorBand", "prior": prior, "confidence": confidence, "eta": eta}

    def suggest(
        self, trial_id: int, budget: float, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        shares = self.shares(budget, pending)
        origin = str(rng.choice(list(shares), p=list(shares.values())))
        return self._new(origin, pending, rng)

    def shares(self, budget: float, pending: Sequence[Pending] = ()) -> dict[str, float]:
        """Return the probabilities that a configuration is "random", "prior" or "incumbent"."""
        prior, _, eta = self._settings
        lowest = min([budget, *(job.budget for job in pending), *self.history.budgets.tolist()])
        rung = round(math.log(budget / lowest) / math.log(eta))
        random = 1.0 / (1.0 + eta**rung)
        incumbent = self._incumbent_share()
        if not prior:
            incumbent = float(incumbent > 0)
            random = random if incumbent else 1.0
        rest = 1.0 - random
        return {"random": random, "prior": rest * (1 - incumbent), "incumbent": rest * incumbent}

    def _incumbent_share(self) -> float:
        """Return the share of incumbents among the suggestions not at random."""
        eta = self._settings[2]
        best = self._best(math.ceil(eta))
        if best is None:
            return 0.0
        weights = np.arange(len(best), 0, -1, dtype=float)
        near = user_prior(self.encoded_space, self.encoded_space.decode(best[0]))
        by_prior = weights @ np.exp(self._prior.log(best))
        by_incumbent = weights @ np.exp(near.log(best))
        return float(by_incumbent / (by_prior + by_incumbent))

    def _best(self, min_count: int) -> Array | None:
        """Return the best 1/eta at the highest budget with ``min_count`` results, best first."""
        observed = self.history.at_highest_budget(min_count)
        if observed is None or not np.isfinite(observed[1]).any():
            return None
        points, losses = observed
        num_best = max(1, int(len(points) / self._settings[2]))
        return points[np.argsort(losses, kind="stable")[:num_best]]

    def _new(self, origin: str, pending: list[Pending], rng: np.random.Generator) -> Suggestion:
        if origin == "random":
            return self.sample_random(rng)
        if origin == "prior":
            drawn = self._prior.sample(rng, MAX_DRAWS)
        else:
            best = self._best(math.ceil(self._settings[2]))
            assert best is not None
            drawn = self.encoded_space.neighbours(
                rng, best[:1], MAX_DRAWS, np.full(MAX_DRAWS, STEP), CHANGED_SHARE
            )
        chosen = self.history.first_new(drawn, pending)
        if chosen is None:
            return self.sample_random(rng)
        return Suggestion(self.encoded_space.decode(drawn[chosen]), {"origin": origin})
