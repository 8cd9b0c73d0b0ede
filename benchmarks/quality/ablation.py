"""The default optimizer with one ingredient left out at a time.

python -m benchmarks quality --set mf --optimizers gp,gp-bound,gp-budgets,...
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.quality.own import OwnSearcher
from benchmarks.quality.problem import Problem
from benchmarks.quality.simulation import Job
from hpdist.optimizers.training_data import BudgetRange

HERE = "hpdist.optimizers"


def _standardised(losses: np.ndarray) -> np.ndarray:
    deviation = losses.std()
    return (losses - losses.mean()) / deviation if deviation > 0 else np.zeros_like(losses)


def _no_log_ratio(self: BudgetRange, budgets: np.ndarray) -> np.ndarray:
    return np.zeros_like(budgets)


def _full_fidelity(self: BudgetRange, budgets: np.ndarray) -> np.ndarray:
    return np.ones_like(budgets)


ABLATIONS: dict[str, dict[str, Any]] = {
    "gp-random": {f"{HERE}.model_based.ModelBased.exploration_shares": (0.0, 0.0)},
    "gp-bound": {f"{HERE}.gp.BOUND_SHARE": 0.0},
    "gp-climb": {f"{HERE}.acquisition.CLIMB_STEPS": ()},
    "gp-neighbours": {
        f"{HERE}.acquisition.CLIMB_STEPS": (),
        f"{HERE}.acquisition.NEIGHBOUR_STEPS": np.empty(0),
    },
    "gp-transform": {f"{HERE}.gp_surrogate.transform_losses": _standardised},
    "gp-budgets": {
        f"{HERE}.training_data.BudgetRange.log_ratio": _no_log_ratio,
        f"{HERE}.training_data.BudgetRange.normalised_fidelity": _full_fidelity,
    },
    "gp-refit": {f"{HERE}.gp_surrogate.REFIT": 2.0},
}
"""What is replaced; the name says what is left out.

random: no random configurations. bound: expected improvement always. climb: candidates are random
configurations and neighbours, without local search. neighbours: random configurations only.
transform: losses are standardised only. budgets: all budgets count as the highest. refit:
hyperparameters are fitted when there are twice as many observations.
"""


class Ablated(OwnSearcher):
    """`OwnSearcher` with an ingredient left out while it works."""

    def __init__(self, problem: Problem, name: str, seed: int, scheduler: str) -> None:
        super().__init__(problem, "gp", seed, scheduler)
        self._replaced = ABLATIONS[name]

    def ask(self) -> Job | None:
        with ExitStack() as stack:
            for target, value in self._replaced.items():
                stack.enter_context(patch(target, value))
            return super().ask()
