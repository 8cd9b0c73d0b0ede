"""ParEGO: several objectives, combined by random weights for each suggestion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.validation import check_choice, check_seed, check_whole
from hpdist.core.model.values import JsonValue
from hpdist.core.objective.pareto import non_dominated
from hpdist.core.space.space import Space
from hpdist.optimizers.base import Observation, Pending, Suggestion
from hpdist.optimizers.gp import GaussianProcess

Array = NDArray[np.float64]

RHO = 0.05  #: weight of the sum beside the maximum, in equation 2 of the paper
#: Observations that a model is fitted to. By experiment; bounds the cost of a suggestion.
MAX_OBSERVATIONS = 300

SCALARIZATIONS = ("tchebycheff", "linear")


class ParEGO:
    """Suggests the configuration that a Gaussian process prefers for a random trade-off.

    For each suggestion weights are drawn; objectives, scaled so that the front reaches from 0
    to 1, become one by the augmented Tchebycheff function, to which a `GaussianProcess` is
    fitted. Over many suggestions the whole front is covered. Observations without all
    objectives, as of a warm start, are ignored; a failure counts as the worst.

    Parameters
    ----------
    space
        The space to search.
    num_initial
        Configurations before the model is used.
    scalarization
        "tchebycheff" finds any front, "linear" (a weighted sum) convex ones only.
    seed
        Chooses the first configurations.

    References
    ----------
    Knowles, "ParEGO: a hybrid algorithm with on-line landscape approximation for expensive
    multiobjective optimization problems", 2006, equation 2. Weights are drawn from all that
    sum to 1, not from the finite set of equation 1.
    """

    def __init__(
        self,
        space: Space,
        num_initial: int = 10,
        scalarization: str = "tchebycheff",
        seed: int = 0,
    ) -> None:
        self.space = Space.of(space)
        self._num_initial = check_whole("num_initial", num_initial, minimum=2)
        self._scalarization = check_choice("scalarization", scalarization, SCALARIZATIONS)
        self._seed = check_seed(seed)
        self._observations: list[Observation] = []
        self._front: list[int] = []  #: indices of the non-dominated `_observations`
        self._num_objectives = 1

    def tell(self, observation: Observation) -> None:
        if observation.losses is not None:
            self._num_objectives = len(observation.losses)
            self._extend_front(observation.losses)
        if observation.losses is not None or observation.loss == np.inf:
            self._observations.append(observation)

    def _extend_front(self, losses: tuple[float, ...]) -> None:
        """Update the front for the next observation."""
        rows = [*self._front, len(self._observations)]
        values = np.array([*(self._observations[row].losses for row in self._front), losses])
        self._front = [rows[index] for index in np.flatnonzero(non_dominated(values))]

    def describe(self) -> dict[str, JsonValue]:
        return {
            "name": "ParEGO",
            "num_initial": self._num_initial,
            "scalarization": self._scalarization,
            "seed": self._seed,
        }

    def ask(
        self, budget: float, pending: Sequence[Pending], rng: np.random.Generator, n: int = 1
    ) -> list[Suggestion]:
        suggestions: list[Suggestion] = []
        waiting = list(pending)
        for _ in range(n):
            suggestions.append(self._suggest(budget, waiting, rng))
            trial_id = 1 + max((job.trial_id for job in waiting), default=-1)
            waiting.append(Pending(trial_id, suggestions[-1].config, budget))
        return suggestions

    def _suggest(
        self, budget: float, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        weights = rng.dirichlet(np.ones(self._num_objectives))
        model = GaussianProcess(self.space, self._num_initial, self._seed)
        for observation in self._scalarized(weights):
            model.tell(observation)
        (suggestion,) = model.ask(budget, pending, rng)
        chosen = {"weights": weights.tolist()} if suggestion.info["origin"] == "model" else {}
        return Suggestion(suggestion.config, suggestion.info | chosen)

    def _scalarized(self, weights: Array) -> list[Observation]:
        """Return observations whose losses are combined by ``weights``."""
        observations, missing = self._selected(), (np.inf,) * self._num_objectives
        losses = np.array([one.losses or missing for one in observations]).reshape(
            -1, self._num_objectives
        )
        scalars = self._combined(losses, weights)
        return [replace(one, loss=float(s)) for one, s in zip(observations, scalars, strict=True)]

    def _selected(self) -> list[Observation]:
        """Return the front and the latest observations, in the order of `tell`."""
        latest = range(
            max(0, len(self._observations) - MAX_OBSERVATIONS // 2), len(self._observations)
        )
        rows = {*self._front[-MAX_OBSERVATIONS // 2 :], *latest}
        if len(self._observations) <= MAX_OBSERVATIONS:
            rows = set(range(len(self._observations)))
        return [self._observations[row] for row in sorted(rows)]

    def _combined(self, losses: Array, weights: Array) -> Array:
        """Return one loss for each row of ``losses``; inf where the evaluation failed."""
        succeeded = np.isfinite(losses).all(axis=1)
        combined = np.full(len(losses), np.inf)
        if not succeeded.any():
            return combined
        parts = weights * _scaled(losses[succeeded])
        linear = parts.sum(axis=1)
        if self._scalarization == "linear":
            combined[succeeded] = linear
        else:
            combined[succeeded] = parts.max(axis=1) + RHO * linear
        return combined


# Far from the front, differences do not matter to the model, and overflow would.
MAX_SCALED = 1e6


def _scaled(losses: Array) -> Array:
    """Return each objective scaled so that the front reaches from 0 to 1, or the median is 1."""
    front = losses[non_dominated(losses)]
    best, worst = front.min(axis=0), front.max(axis=0)
    with np.errstate(over="ignore"):
        span = np.where(worst > best, worst - best, np.median(losses, axis=0) - best)
        # The lower bound avoids a division by zero where an objective is constant.
        scaled: Array = (losses - best) / np.maximum(span, 1e-12 * np.abs(best) + 1e-300)
    return np.minimum(scaled, MAX_SCALED)
