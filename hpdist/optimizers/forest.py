"""Bayesian optimization with a random forest as the surrogate model, as in SMAC."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.errors import MissingExtra
from hpdist.core.model.values import JsonValue
from hpdist.core.space.space import Space
from hpdist.optimizers.acquisition import log_expected_improvement, search_candidates
from hpdist.optimizers.base import Pending, Suggestion
from hpdist.optimizers.features import FeatureEncoding
from hpdist.optimizers.loss_transform import transform_losses
from hpdist.optimizers.model_based import ModelBased
from hpdist.optimizers.training_data import (
    BudgetRange,
    impute_failures,
    lowest_distinct,
    select_observations,
)

Array = NDArray[np.float64]

#: Observations that the forest is fitted to. By experiment; bounds the cost of a suggestion.
MAX_OBSERVATIONS = 1000
#: Features and samples of a split as in the algorithm configuration facade of SMAC3; the number of
#: trees by experiment: more of them cost time and make the predicted deviation less noisy.
FOREST = {"n_estimators": 20, "max_features": 5 / 6, "min_samples_split": 3}
#: Shares of random configurations at the lowest and at the highest budget, interleaved with the
#: others as in section 4.3 of the paper. By experiment; more protect against a model that misleads.
EXPLORATION_SHARES = (0.3, 0.08)
#: Lowest deviation of a prediction, where all trees agree; keeps log expected improvement finite.
MIN_DEVIATION = 1e-3


class Forest(ModelBased):
    """Suggests the configuration with the largest expected improvement at the highest budget.

    Trees are fitted to configurations and the logarithm of the budget; mean and deviation of a
    prediction are over trees. Pending evaluations count as predicted. A failed evaluation counts
    as the worst observed loss. Suits spaces with many categories and conditions, and
    discontinuous losses.

    Needs scikit-learn: ``pip install "hpdist[forest]"``.

    Parameters
    ----------
    space
        The space to search.
    num_initial
        Configurations before the model is used, at least 2; those of a warm start count.
    seed
        Chooses the first configurations.

    Raises
    ------
    MissingExtra
        If scikit-learn is not installed.

    References
    ----------
    Hutter, Hoos and Leyton-Brown, "Sequential model-based optimization for general algorithm
    configuration", LION 2011, sections 4.1 and 4.3.
    """

    exploration_shares = EXPLORATION_SHARES

    def __init__(self, space: Space, num_initial: int = 10, seed: int = 0) -> None:
        super().__init__(space, num_initial, seed)
        if importlib.util.find_spec("sklearn") is None:
            raise MissingExtra(
                "the forest needs scikit-learn, which is not installed",
                do='pip install "hpdist[forest]"',
            )
        self._encoding = FeatureEncoding(self.encoded_space.num_choices)

    def describe(self) -> dict[str, JsonValue]:
        return {"name": "Forest", "num_initial": self.num_initial, "seed": self.seed}

    def suggest_by_model(
        self, budgets: BudgetRange, pending: list[Pending], rng: np.random.Generator
    ) -> Suggestion:
        targets = transform_losses(impute_failures(self.history.losses))
        rows = select_observations(
            targets, self.history.budgets >= budgets.highest, MAX_OBSERVATIONS
        )
        points = self.history.encoded[rows]
        inputs = self._inputs(points, budgets.log_ratio(self.history.budgets[rows]))
        forest = _fit(inputs, targets[rows], rng)
        if pending:
            forest = self._with_fantasies(forest, inputs, targets[rows], pending, budgets, rng)

        def predict(some: Array) -> tuple[Array, Array]:
            return _over_trees(forest, self._inputs(some, np.zeros(len(some))))

        expected, _ = predict(points)
        best = float(expected.min())
        candidates, scores = search_candidates(
            lambda some: log_expected_improvement(*predict(some), best),
            self.encoded_space,
            lowest_distinct(points, expected),
            rng,
        )
        chosen = self.history.first_new(candidates, pending)
        if chosen is None:
            return self.sample_random(rng)
        (mean,), (deviation,) = predict(candidates[chosen][None])
        info: dict[str, JsonValue] = {
            "origin": "model",
            "acquisition": "expected improvement",
            "value": float(scores[chosen]),
            "mean": float(mean),
            "deviation": float(deviation),
            "best": best,
        }
        return Suggestion(self.encoded_space.decode(candidates[chosen]), info)

    def _with_fantasies(
        self,
        forest: Any,
        inputs: Array,
        targets: Array,
        pending: Sequence[Pending],
        budgets: BudgetRange,
        rng: np.random.Generator,
    ) -> Any:
        """Fit again, with pending evaluations at their predicted losses (kriging believer)."""
        waiting = self.space.encode([job.config for job in pending])
        at = budgets.log_ratio(np.array([job.budget for job in pending], dtype=float))
        pending_inputs = self._inputs(waiting, at)
        predicted, _ = _over_trees(forest, pending_inputs)
        all_inputs = np.concatenate([inputs, pending_inputs])
        return _fit(all_inputs, np.concatenate([targets, predicted]), rng)

    def _inputs(self, points: Array, log_ratio: Array) -> Array:
        return np.column_stack([self._encoding.features(points), log_ratio])


def _fit(inputs: Array, targets: Array, rng: np.random.Generator) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(**FOREST, random_state=int(rng.integers(2**31)))
    return forest.fit(inputs, targets)


def _over_trees(forest: Any, inputs: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of the predictions of the trees."""
    single = inputs.astype(np.float32)  # what trees take: spares a copy in each
    predicted = np.array([tree.tree_.predict(single)[:, 0] for tree in forest.estimators_])
    return predicted.mean(axis=0), np.maximum(predicted.std(axis=0), MIN_DEVIATION)
