"""Kernel density estimates over encoded configurations with inactive parameters.

A density is a mixture with a component for each observed configuration. A component is uniform in
the parameters that are inactive in its configuration; a component without any active parameter is
the uniform prior.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpdist.core.space.encoding import EncodedSpace

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Kernels:
    """Bandwidths of the components.

    Attributes
    ----------
    bandwidths
        Deviation of the normal kernel of each column, shape ``(d,)``; a draw beyond 0 or 1 is
        moved to that bound. Not used for categories.
    transitions
        For each column of k categories the probabilities of the categories given that of the
        component, shape ``(k, k)`` with rows of sum 1; None for numbers.
    """

    bandwidths: Array
    transitions: Sequence[Array | None]


def aitchison_aitken(num_choices: int, share: float) -> Array:
    """Return the kernel that changes a category with probability ``share``, uniformly to another.

    References
    ----------
    Aitchison and Aitken, "Multivariate binary discrimination by the kernel method", Biometrika
    63, 1976.
    """
    if num_choices == 1:
        return np.ones((1, 1))
    same = np.eye(num_choices, dtype=bool)
    return np.where(same, 1.0 - share, share / (num_choices - 1))


class Density:
    """A mixture of kernels at ``centres``, shape ``(m, d)``, columns as those of `EncodedSpace`."""

    def __init__(
        self, encoded_space: EncodedSpace, centres: Array, kernels: Kernels, weights: Array
    ) -> None:
        self._encoded_space = encoded_space
        self._centres = centres
        self._kernels = kernels
        self._weights = weights / weights.sum()

    def log(self, at: Array) -> Array:
        """Return the log density at encoded configurations, shape ``(n,)``."""
        from scipy.special import logsumexp

        terms = np.tile(np.log(self._weights), (len(at), 1))
        for column, num_choices in enumerate(self._encoded_space.num_choices):
            values, centres = at[:, column, None], self._centres[None, :, column]
            terms += self._log_kernel(column, int(num_choices), values, centres)
        total: Array = logsumexp(terms, axis=1)
        return total

    def sample(self, rng: np.random.Generator, n: int, bandwidth_factor: float = 1.0) -> Array:
        """Draw at most ``n`` encoded configurations: forbidden ones are left out.

        ``bandwidth_factor`` multiplies the bandwidths of numbers.
        """
        components = rng.choice(len(self._centres), size=n, p=self._weights)
        drawn = self._encoded_space.sample_active(rng, n)
        for column, num_choices in enumerate(self._encoded_space.num_choices):
            centres = self._centres[components, column]
            informed = np.flatnonzero(~np.isnan(centres))
            u = rng.random(len(informed))
            if num_choices:
                drawn[informed, column] = self._categories(column, centres[informed], u)
            else:
                spread = bandwidth_factor * self._kernels.bandwidths[column]
                drawn[informed, column] = _normal(centres[informed], spread, u)
        snapped, allowed = self._encoded_space.snap(drawn)
        return snapped[allowed]

    def _categories(self, column: int, centres: Array, u: Array) -> Array:
        """Map uniform ``u`` to categories, given those of the components."""
        table = self._kernels.transitions[column]
        assert table is not None
        bounds = np.cumsum(table, axis=1)[centres.astype(int)]
        chosen = (u[:, None] > bounds).sum(axis=1)
        codes: Array = np.minimum(chosen, len(table) - 1).astype(float)
        return codes

    def _log_kernel(self, column: int, num_choices: int, values: Array, centres: Array) -> Array:
        inactive, uninformed = np.isnan(values), np.isnan(centres)
        if num_choices:
            table = self._kernels.transitions[column]
            assert table is not None
            rows = np.nan_to_num(centres).astype(int)
            log = np.log(table[rows, np.nan_to_num(values).astype(int)])
            prior = -np.log(num_choices)
        else:
            log, prior = _log_normal(values, centres, self._kernels.bandwidths[column]), 0.0
        log_kernel: Array = np.where(inactive, 0.0, np.where(uninformed, prior, log))
        return log_kernel


def with_prior(centres: Array) -> Array:
    """Return the centres and one more, of a uniform component."""
    return np.concatenate([centres, np.full((1, centres.shape[1]), np.nan)])


def normal_reference_density(
    encoded_space: EncodedSpace,
    centres: Array,
    min_bandwidth: float = 1e-3,
    transitions: Sequence[Array | None] | None = None,
) -> Density:
    """Return a density whose bandwidths follow from the spread of its centres.

    Parameters
    ----------
    centres
        Shape ``(m, d)``.
    min_bandwidth
        Lowest bandwidth; the default is that of HpBandSter's BOHB.
    transitions
        Replaces the kernels of categories where it is given and not None.

    References
    ----------
    Scott, "Multivariate density estimation", 1992 (the normal reference rule); the factor and the
    exponent are those of statsmodels, whose densities HpBandSter uses.
    """
    factor = 1.06 * len(centres) ** (-1.0 / (4 + centres.shape[1]))
    spread = np.array([_deviation(column) for column in centres.T])
    kernels = [
        aitchison_aitken(k, max(min_bandwidth, factor * _impurity(centres[:, column], k)))
        if k
        else None
        for column, k in enumerate(encoded_space.num_choices.tolist())
    ]
    if transitions is not None:
        kernels = [k if new is None else new for k, new in zip(kernels, transitions, strict=True)]
    bandwidths = np.maximum(factor * spread, min_bandwidth)
    return Density(encoded_space, centres, Kernels(bandwidths, kernels), np.ones(len(centres)))


def _normal(centres: Array, spread: float, u: Array) -> Array:
    """Map uniform ``u`` to normal draws, clipped to the bounds, where the best often is."""
    from scipy.special import ndtri

    drawn: Array = np.clip(centres + spread * ndtri(u), 0.0, 1.0)
    return drawn


def _log_normal(values: Array, centres: Array, spread: float) -> Array:
    scale = math.log(spread) + 0.5 * math.log(2 * math.pi)
    log: Array = -0.5 * ((values - centres) / spread) ** 2 - scale
    return log


def _deviation(column: Array) -> float:
    active = column[~np.isnan(column)]
    return float(active.std()) if len(active) else 0.0


def _impurity(column: Array, num_choices: int) -> float:
    """Return the probability that two draws from the categories of a column differ."""
    active = column[~np.isnan(column)].astype(int)
    if not len(active):
        return 0.0
    shares = np.bincount(active, minlength=num_choices) / len(active)
    return float(1.0 - (shares**2).sum())
