"""DEHB: differential evolution whose parents come from the budget below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hpdist.checks import check_whole
from hpdist.model import JsonValue
from hpdist.optimizers.base import Observation, Pending, Suggestion
from hpdist.optimizers.history import History
from hpdist.points import Points
from hpdist.space import Space

Array = NDArray[np.float64]

FACTOR = 0.5  #: F: how much of the difference of two parents is added to a third
CROSSOVER = 0.5  #: p: share of the parameters that the mutant gives
TRIES = 20


class DEHB:
    """Crosses configurations of the population of a budget with mutants.

    The population of a budget are the best ``population`` configurations evaluated there. A
    mutant is ``a + F (b - c)``, its parents drawn from the best of the budget below together
    with those of the budget itself; the suggestion takes each parameter from the mutant or from
    a member of the population. Differs from the paper in that the iteration generator
    promotes configurations as they are, so that evolution happens where a bracket begins.

    Parameters
    ----------
    space
        The space to search.
    population
        Configurations of a budget that survive, at least 4.

    References
    ----------
    Awad, Mallik and Hutter, "DEHB: evolutionary Hyperband for scalable, robust and efficient
    hyperparameter optimization", IJCAI 2021, algorithms 1 to 3. Storn and Price, 1997.
    """

    def __init__(self, space: Space, population: int = 20) -> None:
        self.space = Space.of(space)
        self._population = check_whole("population", population, least=4)
        self._points = Points(self.space)
        self._history = History(self.space)
        self._widths: Array = np.maximum(self._points.num_choices, 1).astype(float)

    def tell(self, observation: Observation) -> None:
        self._history.add(observation)

    def describe(self) -> dict[str, JsonValue]:
        return {"name": "DEHB", "population": self._population}

    def ask(
        self, budget: float, pending: Sequence[Pending], rng: np.random.Generator, n: int = 1
    ) -> list[Suggestion]:
        waiting, suggestions = list(pending), list[Suggestion]()
        for _ in range(n):
            suggestions.append(self._suggest(budget, waiting, rng))
            waiting.append(Pending(-1, suggestions[-1].config, budget))
        return suggestions

    def _suggest(
        self, budget: float, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        own, parents = self._populations(budget)
        if len(own) < self._population // 2 or len(parents) < 4:
            return Suggestion(self.space.sample(rng), {"origin": "random"})
        bred = np.array([self._child(own, parents, rng) for _ in range(TRIES)])
        settled, allowed = self._points.settle(bred)
        chosen = self._history.unseen(settled[allowed], pending)
        if chosen is None:
            return Suggestion(self.space.sample(rng), {"origin": "random"})
        return Suggestion(self._points.config(settled[allowed][chosen]), {"origin": "evolution"})

    def _populations(self, budget: float) -> tuple[Array, Array]:
        """Return who lives at the budget nearest to ``budget``, and who may be a parent."""
        levels = np.unique(self._history.budgets)
        if not len(levels):
            return np.empty((0, 0)), np.empty((0, 0))
        index = int(np.argmin(np.abs(np.log(levels) - np.log(budget))))
        own = self._best_at(levels[index])
        below = [self._best_at(levels[index - 1])] if index else []
        return own, np.concatenate([*below, own])

    def _best_at(self, budget: float) -> Array:
        rows = np.flatnonzero((self._history.budgets == budget) & np.isfinite(self._history.losses))
        order = np.argsort(self._history.losses[rows], kind="stable")[: self._population]
        return self._history.points[rows[order]]

    def _child(self, own: Array, parents: Array, rng: np.random.Generator) -> Array:
        """Return a row without NaN: what is inactive in a parent is drawn anew."""
        target = self._unit(own[rng.integers(len(own))], rng)
        a, b, c = (
            self._unit(parents[index], rng) for index in rng.choice(len(parents), 3, replace=False)
        )
        mutant = a + FACTOR * (b - c)
        outside = (mutant < 0.0) | (mutant >= 1.0)
        mutant = np.where(outside, rng.random(len(mutant)), mutant)
        crossed = rng.random(len(mutant)) < CROSSOVER
        crossed[rng.integers(len(mutant))] = True
        child: Array = np.where(crossed, mutant, target) * self._widths
        return child

    def _unit(self, point: Array, rng: np.random.Generator) -> Array:
        """Return a point in the unit cube: categories in equal bins, at random within them."""
        is_category = self._points.num_choices > 0
        within = np.where(is_category, point + rng.random(len(point)), point) / self._widths
        unit: Array = np.where(np.isnan(point), rng.random(len(point)), within)
        return unit
