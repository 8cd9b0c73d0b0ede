"""Optimizers: which configuration is evaluated next."""

from __future__ import annotations

from collections.abc import Callable

from hpdist.errors import ConfigurationError
from hpdist.optimizers.base import Observation, Optimizer, Pending, Suggestion
from hpdist.optimizers.random import RandomSearch
from hpdist.optimizers.sobol import Sobol
from hpdist.space import Space

NAMES: dict[str, Callable[[Space], Optimizer]] = {"random": RandomSearch, "sobol": Sobol}
"""Those that can be chosen by name."""

__all__ = [
    "NAMES",
    "Observation",
    "Optimizer",
    "Pending",
    "RandomSearch",
    "Sobol",
    "Suggestion",
    "make_optimizer",
]


def make_optimizer(optimizer: str | Optimizer, space: Space) -> Optimizer:
    """Return the optimizer called ``optimizer`` for ``space``; an optimizer is returned as it is.

    "auto" is random search.

    Raises
    ------
    ConfigurationError
        If there is no optimizer of that name, or the object is none.
    """
    if isinstance(optimizer, str):
        kind = NAMES.get("random" if optimizer == "auto" else optimizer)
        if kind is not None:
            return kind(space)
    elif isinstance(optimizer, Optimizer) and not isinstance(optimizer, type):
        return optimizer
    raise ConfigurationError(
        f"{optimizer!r} is no optimizer",
        do=f"choose auto, {', '.join(NAMES)}, or give an object with ask, tell and describe",
    )
