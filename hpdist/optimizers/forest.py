"""A random forest in the place of the Gaussian process, as in SMAC."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.errors import MissingExtra
from hpdist.core.model.values import JsonValue
from hpdist.core.space.space import Space
from hpdist.optimizers.acquisition import candidates, log_expected_improvement
from hpdist.optimizers.base import Pending, Suggestion
from hpdist.optimizers.kernel import Encoding
from hpdist.optimizers.model_based import ModelBased
from hpdist.optimizers.surrogate import BudgetRange, best_distinct, finite, informative
from hpdist.optimizers.transform import transform

Array = NDArray[np.float64]

MOST_KNOWN = 1000  #: observations that the forest is fitted to
FOREST = {"n_estimators": 20, "max_features": 5 / 6, "min_samples_split": 3}
INTERLEAVED = 0.08


class Forest(ModelBased):
    """Suggests what a random forest expects to improve most at the highest budget.

    Trees are fitted to configurations and the logarithm of the budget; mean and deviation of a
    prediction are over trees. Pending evaluations count as predicted. A failed evaluation counts
    as the worst loss. Suits spaces with many categories and conditions, and losses that jump.

    Needs scikit-learn: ``pip install "hpdist[forest]"``.

    Parameters
    ----------
    space
        The space to search.
    num_initial
        Configurations before the model is asked, at least 2; those of a warm start count.
    seed
        Chooses the first configurations.

    Raises
    ------
    MissingExtra
        If scikit-learn is not installed.

    References
    ----------
    Hutter, Hoos and Leyton-Brown, "Sequential model-based optimization for general algorithm
    configuration", LION 2011, sections 4.1 to 4.3.
    """

    random_share = (0.3, INTERLEAVED)

    def __init__(self, space: Space, num_initial: int = 10, seed: int = 0) -> None:
        super().__init__(space, num_initial, seed)
        if importlib.util.find_spec("sklearn") is None:
            raise MissingExtra(
                "the forest needs scikit-learn, which is not installed",
                do='pip install "hpdist[forest]"',
            )
        self._encoding = Encoding(self.points.num_choices)

    def describe(self) -> dict[str, JsonValue]:
        return {"name": "Forest", "num_initial": self.num_initial, "seed": self.seed}

    def modelled(
        self, budgets: BudgetRange, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        targets = transform(finite(self.history.losses))
        rows = informative(targets, self.history.budgets >= budgets.highest, MOST_KNOWN)
        points = self.history.points[rows]
        inputs = self._inputs(points, budgets.level(self.history.budgets[rows]))
        forest = _fit(inputs, targets[rows], rng)
        if pending:
            forest = self._believing(forest, inputs, targets[rows], pending, budgets, rng)

        def predict(some: Array) -> tuple[Array, Array]:
            return _over_trees(forest, self._inputs(some, np.zeros(len(some))))

        expected, _ = predict(points)
        best = float(expected.min())
        found, scores = candidates(
            lambda some: log_expected_improvement(*predict(some), best),
            self.points,
            best_distinct(points, expected),
            rng,
        )
        chosen = self.history.unseen(found, pending)
        if chosen is None:
            return self.at_random(rng)
        (mean,), (deviation,) = predict(found[chosen][None])
        info: dict[str, JsonValue] = {
            "origin": "model",
            "acquisition": "expected improvement",
            "value": float(scores[chosen]),
            "mean": float(mean),
            "deviation": float(deviation),
            "best": best,
        }
        return Suggestion(self.points.config(found[chosen]), info)

    def _believing(
        self,
        forest: Any,
        inputs: Array,
        targets: Array,
        pending: Sequence[Pending],
        budgets: BudgetRange,
        rng: np.random.Generator,
    ) -> Any:
        """Fit again, with pending evaluations as if they had come out as predicted."""
        waiting = self.space.encode([job.config for job in pending])
        at = budgets.level(np.array([job.budget for job in pending], dtype=float))
        imagined = self._inputs(waiting, at)
        believed, _ = _over_trees(forest, imagined)
        return _fit(np.concatenate([inputs, imagined]), np.concatenate([targets, believed]), rng)

    def _inputs(self, points: Array, level: Array) -> Array:
        return np.column_stack([self._encoding.features(points), level])


def _fit(inputs: Array, targets: Array, rng: np.random.Generator) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(**FOREST, random_state=int(rng.integers(2**31)))
    return forest.fit(inputs, targets)


def _over_trees(forest: Any, inputs: Array) -> tuple[Array, Array]:
    single = inputs.astype(np.float32)  # what trees take, without a check each
    predicted = np.array([tree.tree_.predict(single)[:, 0] for tree in forest.estimators_])
    return predicted.mean(axis=0), np.maximum(predicted.std(axis=0), 1e-3)
