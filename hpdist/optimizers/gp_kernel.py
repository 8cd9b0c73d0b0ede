"""The covariance of losses over configurations and budgets, and its gradient.

Configurations that are close have similar losses (Matern 5/2, a length scale a parameter), and so
have budgets that are close (exponential in the logarithm of the budget); each budget has an offset
of its own, which is common to all configurations. Noise is interpolated between the lowest and
the highest budget.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ROOT5 = math.sqrt(5.0)

#: Log-normal priors: median, deviation of the logarithm, lower and upper bound, by hyperparameter,
#: for losses of mean 0 and deviation 1. Amplitudes of the signal and of noise are deviations. By
#: experiment; wider priors follow few observations more closely and overfit them more.
#: ``budget_scale`` is in units of three rungs.
PRIORS = {
    "signal": (1.0, 0.7, 0.1, 10.0),
    "noise": (0.03, 1.5, 1e-3, 1.0),
    "budget_scale": (1.5, 1.0, 0.1, 50.0),
    "offset": (0.5, 1.0, 0.01, 5.0),
    "low_noise": (0.1, 1.5, 1e-3, 2.0),
}

#: Median of a length scale with four parameters, deviation of its logarithm (1), and bounds. By
#: experiment; the growth with the root of the dimension is that of Hvarfner, Hellsten and Nardi,
#: "Vanilla Bayesian optimization performs great in high dimensions", ICML 2024.
LENGTH_SCALE = 0.5
LENGTH_SCALE_BOUNDS = (0.03, 30.0)

#: Length scale of the offsets of budgets, in units of three rungs. By experiment: offsets of
#: budgets one rung apart correlate by 0.9, three rungs apart by 0.4. A longer one trusts low
#: budgets more.
OFFSET_SCALE = 0.7


@dataclass(frozen=True)
class Inputs:
    """Inputs of the Gaussian process: the features of a configuration and a budget, in rows.

    Attributes
    ----------
    features
        Shape ``(n, f)``, see `FeatureEncoding`.
    log_ratio
        ``log(budget / highest) / log(27)``, so 0 at the highest budget; shape ``(n,)``.
    fidelity
        The normalised fidelity, 0 at the lowest and 1 at the highest budget; shape ``(n,)``.
    """

    features: Array
    log_ratio: Array
    fidelity: Array

    def __len__(self) -> int:
        return len(self.log_ratio)

    def take(self, rows: NDArray[np.intp]) -> Inputs:
        return Inputs(self.features[rows], self.log_ratio[rows], self.fidelity[rows])

    def joined(self, other: Inputs) -> Inputs:
        return Inputs(
            np.concatenate([self.features, other.features]),
            np.concatenate([self.log_ratio, other.log_ratio]),
            np.concatenate([self.fidelity, other.fidelity]),
        )


class Kernel:
    """The covariance for hyperparameters ``theta``, which are logarithms.

    The order in ``theta``: a length scale a parameter, signal, noise and, with several budgets,
    budget scale, offset and noise at the lowest budget.
    """

    def __init__(self, owners: NDArray[np.int_], num_parameters: int, *, budgets: bool) -> None:
        self.owners = owners
        self.num_parameters = num_parameters
        self.budgets = budgets
        d = num_parameters
        # Distances grow with the root of the dimension, and so does the expected length scale.
        scale = LENGTH_SCALE * math.sqrt(max(d, 1) / 4)
        names = list(PRIORS) if budgets else ["signal", "noise"]
        table = np.array(
            [(scale, math.e, *LENGTH_SCALE_BOUNDS)] * d + [PRIORS[name] for name in names]
        )
        self.prior_mean = np.log(table[:, 0])
        self.prior_deviation = np.concatenate([np.ones(d), table[d:, 1]])
        self.bounds = np.log(table[:, 2:])
        self.start = self.prior_mean.copy()

    def covariance(self, theta: Array, a: Inputs, b: Inputs) -> Array:
        """Return the covariances of noise-free losses, shape ``(len(a), len(b))``."""
        matern, _, _ = self._matern(theta, a.features, b.features)
        signal = matern * math.exp(2 * theta[self.num_parameters])
        if not self.budgets:
            return signal
        similar, offset = self._over_budgets(theta, a.log_ratio, b.log_ratio)
        return signal * similar + offset

    def variance(self, theta: Array) -> float:
        """Return the prior variance of a noise-free loss."""
        d = self.num_parameters
        return math.exp(2 * theta[d]) + (math.exp(2 * theta[d + 3]) if self.budgets else 0.0)

    def correlation(self, theta: Array, log_ratio: float) -> float:
        """Return the correlation of losses observed at the lowest and at the highest budget.

        Over configurations, noise included, the offsets of budgets not; ``log_ratio`` is that of
        the lowest budget.
        """
        if not self.budgets:
            return 1.0
        d = self.num_parameters
        signal, high, low = (math.exp(2 * theta[index]) for index in (d, d + 1, d + 4))
        similar = math.exp(-abs(log_ratio) * math.exp(-theta[d + 2]))
        return similar * signal / math.sqrt((signal + high) * (signal + low))

    def noise(self, theta: Array, inputs: Inputs) -> Array:
        """Return the variances of noise, shape ``(n,)``."""
        d = self.num_parameters
        if not self.budgets:
            return np.full(len(inputs), math.exp(2 * theta[d + 1]))
        high = inputs.fidelity
        variances: Array = np.exp(2 * (high * theta[d + 1] + (1 - high) * theta[d + 4]))
        return variances

    def squares(self, features: Array) -> Array:
        """Return squared distances along each parameter, shape ``(d, n, n)``, for `gradient`."""
        squares = np.zeros((self.num_parameters, len(features), len(features)))
        for column, owner in enumerate(self.owners):
            values = features[:, column]
            squares[owner] += (values[:, None] - values[None, :]) ** 2
        return squares

    def with_gradient(
        self, theta: Array, inputs: Inputs, squares: Array
    ) -> tuple[Array, _Derivatives]:
        """Return the covariance with noise, and the intermediate results for `gradient`."""
        d = self.num_parameters
        matern, scaled, decay = self._matern(theta, inputs.features, inputs.features)
        power = math.exp(2 * theta[d])
        noise = self.noise(theta, inputs)
        similar, offset = np.ones_like(matern), np.zeros_like(matern)
        if self.budgets:
            similar, offset = self._over_budgets(theta, inputs.log_ratio, inputs.log_ratio)
        signal = power * matern * similar
        # d matern / d (r^2) = -5/6 (1 + sqrt(5) r) exp(-sqrt(5) r)
        slope = power * similar * (-5.0 / 6.0) * (1 + ROOT5 * scaled) * decay
        total = signal + offset + np.diag(noise)
        return total, _Derivatives(squares, slope, signal, offset, noise, inputs)

    def gradient(self, theta: Array, parts: _Derivatives, weights: Array) -> Array:
        """Return ``sum(weights * dK / dtheta)`` for each hyperparameter."""
        d = self.num_parameters
        gradient = np.zeros_like(theta)
        along = np.tensordot(parts.squares, weights * parts.slope, axes=2)
        gradient[:d] = -2 * np.exp(-2 * theta[:d]) * along
        gradient[d] = 2 * np.sum(weights * parts.signal)
        noise = 2 * np.diag(weights) * parts.noise
        if not self.budgets:
            gradient[d + 1] = noise.sum()
            return gradient
        log_ratio, high = parts.inputs.log_ratio, parts.inputs.fidelity
        apart = np.abs(log_ratio[:, None] - log_ratio[None, :]) * math.exp(-theta[d + 2])
        gradient[d + 1] = np.sum(noise * high)
        gradient[d + 2] = np.sum(weights * parts.signal * apart)
        gradient[d + 3] = 2 * np.sum(weights * parts.offset)
        gradient[d + 4] = np.sum(noise * (1 - high))
        return gradient

    def _matern(self, theta: Array, a: Array, b: Array) -> tuple[Array, Array, Array]:
        """Return the Matern 5/2 correlation, the scaled distance r, and exp(-sqrt(5) r)."""
        weights = np.exp(-theta[: self.num_parameters])[self.owners]
        left, right = a * weights, b * weights
        squared = (left**2).sum(1)[:, None] + (right**2).sum(1)[None, :] - 2 * left @ right.T
        distance = np.sqrt(np.maximum(squared, 1e-14))  # rounding may make it negative
        decay = np.exp(-ROOT5 * distance)
        return (1 + ROOT5 * distance + 5.0 / 3.0 * distance**2) * decay, distance, decay

    def _over_budgets(self, theta: Array, a: Array, b: Array) -> tuple[Array, Array]:
        """Return the correlation of the signal and the covariance of offsets between budgets."""
        d = self.num_parameters
        apart = np.abs(a[:, None] - b[None, :])
        offset = math.exp(2 * theta[d + 3]) * np.exp(-0.5 * (apart / OFFSET_SCALE) ** 2)
        return np.exp(-apart * math.exp(-theta[d + 2])), offset


@dataclass(frozen=True)
class _Derivatives:
    """Intermediate results of `Kernel.with_gradient`, each of shape ``(n, n)`` but the noise."""

    squares: Array
    slope: Array
    signal: Array
    offset: Array
    noise: Array
    inputs: Inputs
