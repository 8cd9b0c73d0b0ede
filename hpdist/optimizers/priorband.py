"""PriorBand: random, as the user believes, or near the incumbent, by the rung and by evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.values import JsonValue
from hpdist.core.space.space import Space
from hpdist.multi_fidelity.budgets import check_eta
from hpdist.optimizers.base import Pending, Suggestion
from hpdist.optimizers.one_by_one import OneByOne
from hpdist.optimizers.user_prior import user_prior

Array = NDArray[np.float64]

STEP, SHARE = 0.25, 0.5  #: deviation, and share of parameters, by which an incumbent is changed
TRIES = 20


class PriorBand(OneByOne):
    """Draws configurations from three distributions, and learns which of them to trust.

    At rung r, counted from the lowest budget, a configuration is random with probability
    ``1 / (1 + eta**r)``. Otherwise it follows the user's prior or, once ``eta`` configurations
    are known at the highest budget, is a changed incumbent: which of the two is decided by how
    probable the best configurations known are under each. So a prior that misleads loses its
    weight. Without a prior, incumbents get all of that share.

    Parameters
    ----------
    space
        The space to search.
    prior
        Values that the user expects to be good, for some parameters or for all: a mapping of
        names to values. ``space.default()`` says that defaults are.
    confidence
        How sure the user is: "low", "medium" or "high".
    eta
        That of the iteration generator.

    References
    ----------
    Mallik, Bergman, Hvarfner, Stoll, Janowski, Lindauer, Nardi and Hutter, "PriorBand: practical
    hyperparameter optimization in the age of deep learning", NeurIPS 2023, section 5 and
    algorithms 1 and 2.
    """

    def __init__(
        self,
        space: Space,
        prior: Mapping[str, JsonValue] | None = None,
        confidence: str = "medium",
        eta: float = 3,
    ) -> None:
        super().__init__(space)
        self._prior = user_prior(self.points, prior or {}, confidence)
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
        """Return with which probability a configuration is "random", "prior" or "incumbent"."""
        prior, _, eta = self._settings
        lowest = min([budget, *(job.budget for job in pending), *self.history.budgets.tolist()])
        rung = round(math.log(budget / lowest) / math.log(eta))
        random = 1.0 / (1.0 + eta**rung)
        incumbent = self._trust_in_incumbent()
        if not prior:
            incumbent = float(incumbent > 0)
            random = random if incumbent else 1.0
        rest = 1.0 - random
        return {"random": random, "prior": rest * (1 - incumbent), "incumbent": rest * incumbent}

    def _trust_in_incumbent(self) -> float:
        """Return the share of incumbents among what is not random (section 5.2)."""
        eta = self._settings[2]
        best = self._best(math.ceil(eta))
        if best is None:
            return 0.0
        weights = np.arange(len(best), 0, -1, dtype=float)
        near = user_prior(self.points, self.points.config(best[0]))
        by_prior = weights @ np.exp(self._prior.log(best))
        by_incumbent = weights @ np.exp(near.log(best))
        return float(by_incumbent / (by_prior + by_incumbent))

    def _best(self, least: int) -> Array | None:
        """Return the best 1/eta at the highest budget with ``least`` results, best first."""
        known = self.history.at_highest(least)
        if known is None or not np.isfinite(known[1]).any():
            return None
        points, losses = known
        num_best = max(1, int(len(points) / self._settings[2]))
        return points[np.argsort(losses, kind="stable")[:num_best]]

    def _new(self, origin: str, pending: list[Pending], rng: np.random.Generator) -> Suggestion:
        if origin == "random":
            return self.at_random(rng)
        if origin == "prior":
            drawn = self._prior.draw(rng, TRIES)
        else:
            best = self._best(math.ceil(self._settings[2]))
            assert best is not None
            drawn = self.points.near(rng, best[:1], TRIES, np.full(TRIES, STEP), SHARE)
        chosen = self.history.unseen(drawn, pending)
        if chosen is None:
            return self.at_random(rng)
        return Suggestion(self.points.config(drawn[chosen]), {"origin": origin})
