"""Kernel densities over configurations: numbers, categories, and what is inactive.

A density is a mixture with a component for each configuration known. Where a component's
configuration has a parameter inactive it says nothing of it, so it is uniform there; a component
without any active parameter is the uniform prior.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpdist.core.space.encoding import Points

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Kernels:
    """How far each component spreads.

    Attributes
    ----------
    bandwidths
        Deviation of the normal kernel of each column, shape ``(d,)``; what lies beyond 0 and 1
        is drawn there. Not used for categories.
    transitions
        For each column of k categories the probabilities of the categories given that of the
        component, shape ``(k, k)`` with rows of sum 1; None for numbers.
    """

    bandwidths: Array
    transitions: Sequence[Array | None]


def aitchison_aitken(num_choices: int, share: float) -> Array:
    """Return the kernel that leaves a category with probability ``share``, to all others alike.

    References
    ----------
    Aitchison and Aitken, "Multivariate binary discrimination by the kernel method", Biometrika
    1976, equation 2.1.
    """
    if num_choices == 1:
        return np.ones((1, 1))
    same = np.eye(num_choices, dtype=bool)
    return np.where(same, 1.0 - share, share / (num_choices - 1))


class Density:
    """A mixture of kernels at ``centres``, shape ``(m, d)``, columns as those of `Points`."""

    def __init__(self, points: Points, centres: Array, kernels: Kernels, weights: Array) -> None:
        self._points, self._centres, self._kernels = points, centres, kernels
        self._weights = weights / weights.sum()

    def log(self, at: Array) -> Array:
        """Return the logarithm of the density at points, shape ``(n,)``."""
        from scipy.special import logsumexp

        terms = np.tile(np.log(self._weights), (len(at), 1))
        for column, num_choices in enumerate(self._points.num_choices):
            values, centres = at[:, column, None], self._centres[None, :, column]
            terms += self._log_kernel(column, int(num_choices), values, centres)
        total: Array = logsumexp(terms, axis=1)
        return total

    def draw(self, rng: np.random.Generator, n: int, widen: float = 1.0) -> Array:
        """Draw points, at most ``n``: what is forbidden is left out.

        ``widen`` multiplies the bandwidths of numbers.
        """
        components = rng.choice(len(self._centres), size=n, p=self._weights)
        drawn = self._points.fresh(rng, n)
        for column, num_choices in enumerate(self._points.num_choices):
            centres = self._centres[components, column]
            told = np.flatnonzero(~np.isnan(centres))
            u = rng.random(len(told))
            if num_choices:
                drawn[told, column] = self._categories(column, centres[told], u)
            else:
                spread = widen * self._kernels.bandwidths[column]
                drawn[told, column] = _normal(centres[told], spread, u)
        settled, allowed = self._points.settle(drawn)
        return settled[allowed]

    def _categories(self, column: int, centres: Array, u: Array) -> Array:
        table = self._kernels.transitions[column]
        assert table is not None
        bounds = np.cumsum(table, axis=1)[centres.astype(int)]
        chosen = (u[:, None] > bounds).sum(axis=1)
        codes: Array = np.minimum(chosen, len(table) - 1).astype(float)
        return codes

    def _log_kernel(self, column: int, num_choices: int, values: Array, centres: Array) -> Array:
        inactive, silent = np.isnan(values), np.isnan(centres)
        if num_choices:
            table = self._kernels.transitions[column]
            assert table is not None
            rows = np.nan_to_num(centres).astype(int)
            log = np.log(table[rows, np.nan_to_num(values).astype(int)])
            prior = -np.log(num_choices)
        else:
            log, prior = _log_normal(values, centres, self._kernels.bandwidths[column]), 0.0
        known: Array = np.where(inactive, 0.0, np.where(silent, prior, log))
        return known


def with_prior(centres: Array) -> Array:
    """Add a component that is uniform."""
    return np.concatenate([centres, np.full((1, centres.shape[1]), np.nan)])


def spread_density(
    points: Points,
    centres: Array,
    narrowest: float = 1e-3,
    transitions: Sequence[Array | None] | None = None,
) -> Density:
    """Return a density whose bandwidths follow from the spread of its centres (normal reference).

    Parameters
    ----------
    centres
        Shape ``(m, d)``.
    narrowest
        Lowest bandwidth.
    transitions
        Replaces the kernels of categories where it is given and not None.

    References
    ----------
    Silverman, "Density estimation", 1986, equation 3.28.
    """
    factor = 1.06 * len(centres) ** (-1.0 / (4 + centres.shape[1]))
    spread = np.array([_deviation(column) for column in centres.T])
    kernels = [
        aitchison_aitken(k, max(narrowest, factor * _impurity(centres[:, column], k)))
        if k
        else None
        for column, k in enumerate(points.num_choices.tolist())
    ]
    if transitions is not None:
        kernels = [k if new is None else new for k, new in zip(kernels, transitions, strict=True)]
    bandwidths = np.maximum(factor * spread, narrowest)
    return Density(points, centres, Kernels(bandwidths, kernels), np.ones(len(centres)))


def _normal(centres: Array, spread: float, u: Array) -> Array:
    """Draw from normals; what falls beyond a bound is drawn there, where the best often is."""
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
