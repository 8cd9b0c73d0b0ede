"""Gaussian process regression: hyperparameters by maximum a posteriori, then predictions.

References
----------
Rasmussen and Williams, "Gaussian processes for machine learning", MIT Press 2006: Algorithm 2.1
(prediction) and equation 5.9 (gradient of the likelihood).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpdist.optimizers.gp_kernel import Inputs, Kernel

Array = NDArray[np.float64]

JITTER = 1e-8
"""Added to the diagonal of a covariance, whose diagonal is about 1, so that it stays positive
definite in double precision; small beside the lowest variance of noise, 1e-6."""

INDEFINITE_JITTER = 1e-3
"""Share of the prior variance added, again and again, where that was not enough. By experiment."""

MAX_STEPS = 25
"""Steps of L-BFGS-B. By experiment; more cost time in each fit, fewer may miss the maximum."""


def fit(kernel: Kernel, inputs: Inputs, targets: Array, max_steps: int = MAX_STEPS) -> Array:
    """Return the most probable hyperparameters given ``targets``, shape ``(n,)``.

    The search starts from the medians of the prior, so that the result depends on the data only.
    """
    from scipy.optimize import minimize

    squares = kernel.squares(inputs.features)

    def negative_log_posterior(theta: Array) -> tuple[float, Array]:
        return _negative_log_posterior(kernel, theta, inputs, targets, squares)

    found = minimize(
        negative_log_posterior,
        kernel.start,
        jac=True,
        method="L-BFGS-B",
        bounds=kernel.bounds,
        options={"maxiter": max_steps},
    )
    theta: Array = found.x
    return theta


def _negative_log_posterior(
    kernel: Kernel, theta: Array, inputs: Inputs, targets: Array, squares: Array
) -> tuple[float, Array]:
    """Return the negative log posterior of ``theta``, up to a constant, and its gradient."""
    from scipy.linalg import lapack

    covariance, parts = kernel.with_gradient(theta, inputs, squares)
    covariance[np.diag_indices_from(covariance)] += JITTER
    lower, failed = lapack.dpotrf(covariance, lower=1, clean=1)
    if failed:  # L-BFGS-B then takes a shorter step
        return 1e25, np.zeros_like(theta)
    weighted, _ = lapack.dpotrs(lower, targets, lower=1)
    inverse, _ = lapack.dpotri(lower, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    value = 0.5 * targets @ weighted + np.log(np.diag(lower)).sum()
    gradient = 0.5 * kernel.gradient(theta, parts, inverse - np.outer(weighted, weighted))
    deviation = (theta - kernel.prior_mean) / kernel.prior_deviation
    return value + 0.5 * deviation @ deviation, gradient + deviation / kernel.prior_deviation


class Posterior:
    """The posterior distribution of noise-free losses given ``targets`` observed at ``inputs``."""

    def __init__(self, kernel: Kernel, theta: Array, inputs: Inputs, targets: Array) -> None:
        from scipy.linalg import lapack

        self._kernel = kernel
        self._theta = theta
        self._inputs = inputs
        self._variance = kernel.variance(theta)
        covariance = kernel.covariance(theta, inputs, inputs)
        diagonal = np.diag_indices_from(covariance)
        covariance[diagonal] += kernel.noise(theta, inputs) + JITTER
        lower, failed = lapack.dpotrf(covariance, lower=1, clean=1)
        while failed:
            covariance[diagonal] += INDEFINITE_JITTER * self._variance
            lower, failed = lapack.dpotrf(covariance, lower=1, clean=1)
        self._inverse, _ = lapack.dtrtri(lower, lower=1)
        self._weights = self._inverse.T @ (self._inverse @ targets)

    def predict(self, inputs: Inputs) -> tuple[Array, Array]:
        """Return mean and standard deviation of the noise-free losses, shape ``(n,)`` each."""
        covariance = self._kernel.covariance(self._theta, inputs, self._inputs)
        explained = ((self._inverse @ covariance.T) ** 2).sum(axis=0)
        deviation = np.sqrt(np.maximum(self._variance - explained, 1e-12))
        return covariance @ self._weights, deviation
