"""A user's prior: where the user expects good configurations, as a density."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_choice, short_repr
from hpdist.core.model.values import JsonValue
from hpdist.core.space.encoding import EncodedSpace
from hpdist.optimizers.kernel_density import Density, Kernels, aitchison_aitken

DEVIATIONS = {"low": 0.5, "medium": 0.25, "high": 0.125}
"""Deviation of the prior on a parameter's scale of length 1, by confidence.

The defaults of NePS 0.11 and 0.12 for numbers (later versions have others). A narrower prior gains
more where it is right, and loses more where it is wrong."""


def user_prior(
    encoded_space: EncodedSpace, prior: Mapping[str, JsonValue], confidence: str = "medium"
) -> Density:
    """Return a density around the values of ``prior``; parameters that are not in it are uniform.

    A number is normal around its value, clipped to the bounds; a category keeps its value with a
    probability that grows with the confidence.

    Raises
    ------
    ConfigurationError
        If the space has no parameter of a name, or a value is outside its range.

    References
    ----------
    Mallik et al., "PriorBand: practical hyperparameter optimization in the age of deep
    learning", NeurIPS 2023.
    """
    deviation = DEVIATIONS[check_choice("confidence", confidence, tuple(DEVIATIONS))]
    centre = encoded_space.space.encode([_mapping(prior)])
    outside = (encoded_space.num_choices == 0) & ((centre[0] < 0.0) | (centre[0] > 1.0))
    if outside.any():
        name = encoded_space.space.names[int(np.argmax(outside))]
        raise ConfigurationError(
            f"the prior of {name} is {short_repr(prior[name])}, which it cannot be",
            do=f"{name} is {encoded_space.space.parameters[name]}",
        )
    transitions = [
        # At deviation 1 all categories would be equally probable
        aitchison_aitken(k, deviation * (k - 1) / k) if k else None
        for k in encoded_space.num_choices.tolist()
    ]
    kernels = Kernels(np.full(centre.shape[1], deviation), transitions)
    return Density(encoded_space, centre, kernels, np.ones(1))


def _mapping(prior: object) -> dict[str, JsonValue]:
    """Return the prior as a dict, or raise."""
    if isinstance(prior, Mapping):
        return dict(prior)
    raise ConfigurationError(
        f"the prior is {short_repr(prior)}", do='prior={"lr": 1e-3, "layers": 3}'
    )
