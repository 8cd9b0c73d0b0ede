"""The Gaussian process of a search: fits hyperparameters now and then, imputes pending results."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hpdist.core.space.encoding import EncodedSpace
from hpdist.optimizers.base import Pending
from hpdist.optimizers.features import FeatureEncoding
from hpdist.optimizers.gp_kernel import Inputs, Kernel
from hpdist.optimizers.gp_regression import Posterior, fit
from hpdist.optimizers.history import History
from hpdist.optimizers.loss_transform import transform_losses
from hpdist.optimizers.training_data import (
    BudgetRange,
    impute_failures,
    lowest_distinct,
    select_observations,
)

Array = NDArray[np.float64]

# By experiment; each bounds the cost of a suggestion and costs accuracy. The first is the
# ablation "gp-refit" in benchmarks/README.rst: rarer fits are a little worse early on.
REFIT = 1.08  #: hyperparameters are fitted anew when there are 8 % more observations
MAX_FITTED = 160  #: observations that hyperparameters are fitted to
MAX_OBSERVATIONS = 256  #: observations that predictions are made from


class Surrogate:
    """A Gaussian process over configurations and budgets, conditioned on a history.

    Parameters
    ----------
    history, encoded_space
        The observations, and the space of their configurations.
    fantasize
        Returns the losses that pending evaluations count as, given their predicted losses and
        all observed ones (both transformed); see `hpdist.optimizers.batch_strategies.PENDING`.
    """

    def __init__(
        self,
        history: History,
        encoded_space: EncodedSpace,
        fantasize: Callable[[Array, Array], Array],
    ) -> None:
        self._history = history
        self._fantasize = fantasize
        self._encoding = FeatureEncoding(encoded_space.num_choices)
        self._fitted: tuple[tuple[int, BudgetRange], Kernel, Array] | None = None

    def predictor(self, budgets: BudgetRange, pending: Sequence[Pending]) -> Predictor:
        """Return predictions of transformed losses at the highest budget."""
        kernel, theta = self._hyperparameters(budgets)
        targets = transform_losses(impute_failures(self._history.losses))
        at_highest = self._history.budgets >= budgets.highest
        rows = select_observations(targets, at_highest, MAX_OBSERVATIONS)
        observed = self._history.encoded[rows]
        inputs = self._inputs(observed, self._history.budgets[rows], budgets)
        posterior = Posterior(kernel, theta, inputs, targets[rows])
        if pending:
            waiting = self._history.space.encode([job.config for job in pending])
            at = np.array([job.budget for job in pending], dtype=float)
            waiting_inputs = self._inputs(waiting, at, budgets)
            predicted, _ = posterior.predict(waiting_inputs)
            fantasies = self._fantasize(predicted, targets[rows])
            both = np.concatenate([targets[rows], fantasies])
            posterior = Posterior(kernel, theta, inputs.joined(waiting_inputs), both)
        return Predictor(posterior, self._encoding, observed)

    def budget_correlation(self, budgets: BudgetRange) -> float:
        """Return the correlation of losses at the lowest budget with the highest, 0 to 1."""
        kernel, theta = self._hyperparameters(budgets)
        return kernel.correlation(theta, float(budgets.log_ratio(np.array([budgets.lowest]))[0]))

    def _hyperparameters(self, budgets: BudgetRange) -> tuple[Kernel, Array]:
        """Fit to the data up to a count that grows by steps, so that few fits are needed."""
        count = 2
        while (following := max(count + 1, int(count * REFIT))) <= len(self._history):
            count = following
        key = (count, budgets)
        if self._fitted is None or self._fitted[0] != key:
            history, rows = self._history, self._rows_for_fit(count)
            kernel = Kernel(
                self._encoding.owners, len(history.space.names), budgets=budgets.several
            )
            targets = transform_losses(impute_failures(history.losses[:count]))
            inputs = self._inputs(history.encoded[rows], history.budgets[rows], budgets)
            self._fitted = key, kernel, fit(kernel, inputs, targets[rows])
        return self._fitted[1:]

    def _rows_for_fit(self, count: int) -> NDArray[np.intp]:
        """Choose observations: those at the highest budgets, and within a budget at random."""
        chance = np.random.default_rng(count).random(count)
        order = np.lexsort((chance, -self._history.budgets[:count]))
        return np.sort(order[:MAX_FITTED])

    def _inputs(self, points: Array, at: Array, budgets: BudgetRange) -> Inputs:
        features = self._encoding.features(points)
        return Inputs(features, budgets.log_ratio(at), budgets.normalised_fidelity(at))


class Predictor:
    """Predicts transformed losses at the highest budget.

    Attributes
    ----------
    best
        The lowest predicted mean over the observed configurations.
    best_points
        The encoded configurations with the lowest means, each once, shape ``(k, d)``.
    """

    def __init__(self, posterior: Posterior, encoding: FeatureEncoding, observed: Array) -> None:
        self._posterior = posterior
        self._encoding = encoding
        expected, _ = self.predict(observed)
        self.best = float(expected.min())
        self.best_points = lowest_distinct(observed, expected)

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of transformed losses, shape ``(n,)`` each."""
        features = self._encoding.features(points)
        at_highest = np.zeros(len(points)), np.ones(len(points))
        return self._posterior.predict(Inputs(features, *at_highest))
