"""Optimizers: which configuration is evaluated next.

Pure; imports `core.model`, `core.space` and `multi_fidelity.budgets`. Each optimizer is in the
module of its name (`gp`, `bohb`, ...). Open `base` first (ask and tell), then `gp`; `registry` has
the names and what "auto" stands for. Shared: `features` (one-hot), `training_data` (failures,
choice of observations), `loss_transform`, `acquisition` (and its candidates), `batch_strategies`.
"""

from __future__ import annotations

from hpdist.optimizers.base import Observation, Optimizer, Pending, Suggestion
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
from hpdist.optimizers.registry import NAMES, make_optimizer
from hpdist.optimizers.sobol import Sobol
from hpdist.optimizers.tpe import TPE

__all__ = [
    "BOHB",
    "CMAES",
    "DEHB",
    "ETPE",
    "NAMES",
    "TPE",
    "Forest",
    "GaussianProcess",
    "Grid",
    "Observation",
    "Optimizer",
    "ParEGO",
    "Pending",
    "PriorBand",
    "RandomSearch",
    "Sobol",
    "Suggestion",
    "make_optimizer",
]
