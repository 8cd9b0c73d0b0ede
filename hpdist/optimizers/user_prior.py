"""What a user believes of where good configurations lie."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_choice, short_repr
from hpdist.core.model.values import JsonValue
from hpdist.core.space.encoding import Points
from hpdist.optimizers.densities import Density, Kernels, aitchison_aitken

DEVIATIONS = {"low": 0.5, "medium": 0.25, "high": 0.125}
"""Deviation of the belief on a parameter's scale of length 1, by confidence."""


def user_prior(
    points: Points, prior: Mapping[str, JsonValue], confidence: str = "medium"
) -> Density:
    """Return a density around the values of ``prior``; parameters that are not in it are free.

    A number is normal around its value, at a bound beyond it; a category keeps its value with a
    probability that grows with the confidence.

    Raises
    ------
    ConfigurationError
        If a name or a value is not of the space.

    References
    ----------
    Mallik et al., "PriorBand: practical hyperparameter optimization in the age of deep
    learning", NeurIPS 2023, section 6 (a normal of deviation 0.25).
    """
    deviation = DEVIATIONS[check_choice("confidence", confidence, tuple(DEVIATIONS))]
    centre = points.space.encode([_mapping(prior)])
    outside = (points.num_choices == 0) & ((centre[0] < 0.0) | (centre[0] > 1.0))
    if outside.any():
        name = points.space.names[int(np.argmax(outside))]
        raise ConfigurationError(
            f"the prior of {name} is {short_repr(prior[name])}, which it cannot be",
            do=f"{name} is {points.space.parameters[name]}",
        )
    transitions = [
        aitchison_aitken(k, deviation * (k - 1) / k) if k else None
        for k in points.num_choices.tolist()
    ]
    kernels = Kernels(np.full(centre.shape[1], deviation), transitions)
    return Density(points, centre, kernels, np.ones(1))


def _mapping(prior: object) -> dict[str, JsonValue]:
    if isinstance(prior, Mapping):
        return dict(prior)
    raise ConfigurationError(
        f"the prior is {short_repr(prior)}", do='prior={"lr": 1e-3, "layers": 3}'
    )
