"""Optimizers by name, and the one that "auto" stands for."""

from __future__ import annotations

from collections.abc import Callable

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import short_repr
from hpdist.core.space.space import Space
from hpdist.optimizers.base import Optimizer
from hpdist.optimizers.bohb import BOHB
from hpdist.optimizers.cma_es import CMAES
from hpdist.optimizers.dehb import DEHB
from hpdist.optimizers.etpe import ETPE
from hpdist.optimizers.forest import Forest
from hpdist.optimizers.gp import GaussianProcess
from hpdist.optimizers.grid import Grid
from hpdist.optimizers.parego import ParEGO
from hpdist.optimizers.priorband import PriorBand
from hpdist.optimizers.random import RandomSearch
from hpdist.optimizers.sobol import Sobol
from hpdist.optimizers.tpe import TPE

NAMES: dict[str, Callable[..., Optimizer]] = {
    "gp": GaussianProcess,
    "bohb": BOHB,
    "tpe": TPE,
    "etpe": ETPE,
    "forest": Forest,
    "priorband": PriorBand,
    "dehb": DEHB,
    "cmaes": CMAES,
    "grid": Grid,
    "parego": ParEGO,
    "random": RandomSearch,
    "sobol": Sobol,
}
"""Optimizers by name."""

DEFAULT = "gp"

SEVERAL = ("parego", "random", "sobol", "grid")
"""Optimizers for several objectives; "auto" is the first of them."""

SEEDED = ("gp", "forest", "cmaes", "grid", "parego", "sobol")
"""Optimizers that take a seed, for a sequence of points, beside the generators of `ask`."""


def make_optimizer(
    optimizer: str | Optimizer, space: Space, seed: int = 0, num_objectives: int = 1
) -> Optimizer:
    """Return the optimizer called ``optimizer`` for ``space``; an optimizer is returned as it is.

    "auto" is `GaussianProcess`, or `ParEGO` for several objectives. An optimizer that is made here
    gets the search's ``seed`` if it takes one.

    Raises
    ------
    ConfigurationError
        If there is no optimizer of that name, or the object is none, or has another space; if
        there are several objectives and the optimizer supports only one.
    """
    if isinstance(optimizer, str):
        several = num_objectives > 1
        name = (SEVERAL[0] if several else DEFAULT) if optimizer == "auto" else optimizer
        if several and name in NAMES and name not in SEVERAL:
            raise ConfigurationError(
                f"the optimizer {name} supports one objective, and there are {num_objectives}",
                do=f"choose auto, {', '.join(SEVERAL)}",
            )
        if name in NAMES:
            return NAMES[name](space, seed=seed) if name in SEEDED else NAMES[name](space)
    elif isinstance(optimizer, Optimizer) and not isinstance(optimizer, type):
        return _check_space(optimizer, space)
    raise ConfigurationError(
        f"{short_repr(optimizer)} is no optimizer",
        do=f"choose auto, {', '.join(NAMES)}, or give an object with ask, tell and describe",
    )


def _check_space(optimizer: Optimizer, space: Space) -> Optimizer:
    """Return the optimizer if its space is equal to the search's, else raise."""
    own = getattr(optimizer, "space", None)
    if isinstance(own, Space) and own is not space and (differs := own.difference(space.to_json())):
        raise ConfigurationError(
            f"{short_repr(optimizer)} was built with another space than the search's",
            cause=differs.replace("was: ", "the search's:    ").replace(
                "is:  ", "the optimizer's: "
            ),
            do=f"{type(optimizer).__name__}(space, ...) with the space of the search",
        )
    return optimizer
