"""DEHB: differential evolution with parents from the next lower budget."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.validation import check_whole
from hpdist.core.model.values import JsonValue
from hpdist.core.space.space import Space
from hpdist.optimizers.base import Pending, Suggestion
from hpdist.optimizers.sequential import SequentialOptimizer

Array = NDArray[np.float64]

# The defaults of dehb, the authors' package.
MUTATION_FACTOR = 0.5  #: F: factor of the difference of two parents that is added to a third
CROSSOVER = 0.5  #: p: share of the parameters that are the mutant's
#: Offspring among which the first that is new and not forbidden is suggested. By experiment; bounds
#: the cost of a suggestion.
NUM_OFFSPRING = 20


class DEHB(SequentialOptimizer):
    """Crosses configurations of the population of a budget with mutants.

    The population of a budget are the best ``population`` configurations evaluated there. A
    mutant is ``a + F (b - c)``, its parents drawn from the best of the budget below together
    with those of the budget itself; the suggestion takes each parameter from the mutant or from
    a member of the population. Differs from the paper in that the iteration generator
    promotes configurations unchanged, so that evolution happens in the first rung of a bracket.

    Parameters
    ----------
    space
        The space to search.
    population
        Configurations of a budget that survive, at least 4.

    References
    ----------
    Awad, Mallik and Hutter, "DEHB: evolutionary Hyperband for scalable, robust and efficient
    hyperparameter optimization", IJCAI 2021. Storn and Price, "Differential evolution", 1997.
    """

    def __init__(self, space: Space, population: int = 20) -> None:
        super().__init__(space)
        self._population = check_whole("population", population, minimum=4)
        self._widths: Array = np.maximum(self.encoded_space.num_choices, 1).astype(float)

    def describe(self) -> dict[str, JsonValue]:
        return {"name": "DEHB", "population": self._population}

    def suggest(
        self, trial_id: int, budget: float, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        own, parents = self._populations(budget)
        # By experiment: evolving a smaller population starts earlier, and loses its variety. A
        # mutant needs three parents.
        if len(own) < self._population // 2 or len(parents) < 4:
            return self.sample_random(rng)
        offspring = np.array([self._child(own, parents, rng) for _ in range(NUM_OFFSPRING)])
        snapped, allowed = self.encoded_space.snap(offspring)
        chosen = self.history.first_new(snapped[allowed], pending)
        if chosen is None:
            return self.sample_random(rng)
        config = self.encoded_space.decode(snapped[allowed][chosen])
        return Suggestion(config, {"origin": "evolution"})

    def _populations(self, budget: float) -> tuple[Array, Array]:
        """Return the population of the budget nearest to ``budget``, and the possible parents."""
        budgets = np.unique(self.history.budgets)
        if not len(budgets):
            return np.empty((0, 0)), np.empty((0, 0))
        index = int(np.argmin(np.abs(np.log(budgets) - np.log(budget))))
        own = self._best_at(budgets[index])
        below = [self._best_at(budgets[index - 1])] if index else []
        return own, np.concatenate([*below, own])

    def _best_at(self, budget: float) -> Array:
        """Return the population of a budget, best first."""
        rows = np.flatnonzero((self.history.budgets == budget) & np.isfinite(self.history.losses))
        order = np.argsort(self.history.losses[rows], kind="stable")[: self._population]
        return self.history.encoded[rows[order]]

    def _child(self, own: Array, parents: Array, rng: np.random.Generator) -> Array:
        """Return an offspring without NaN: parameters inactive in a parent are drawn anew."""
        target = self._unit(own[rng.integers(len(own))], rng)
        a, b, c = (
            self._unit(parents[index], rng) for index in rng.choice(len(parents), 3, replace=False)
        )
        mutant = a + MUTATION_FACTOR * (b - c)
        outside = (mutant < 0.0) | (mutant >= 1.0)
        mutant = np.where(outside, rng.random(len(mutant)), mutant)
        crossed = rng.random(len(mutant)) < CROSSOVER
        crossed[rng.integers(len(mutant))] = True
        child: Array = np.where(crossed, mutant, target) * self._widths
        return child

    def _unit(self, point: Array, rng: np.random.Generator) -> Array:
        """Return a point in the unit cube: categories in equal bins, at random within them."""
        is_category = self.encoded_space.num_choices > 0
        within = np.where(is_category, point + rng.random(len(point)), point) / self._widths
        unit: Array = np.where(np.isnan(point), rng.random(len(point)), within)
        return unit
