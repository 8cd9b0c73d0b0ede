"""A single budget for all evaluations."""

from __future__ import annotations

from hpdist.multi_fidelity.budgets import check_budget, check_count
from hpdist.multi_fidelity.cycle import BracketCycle

DEFAULT_TRIALS = 100
"""Configurations of a search by default."""


class SingleFidelity(BracketCycle):
    """Evaluates each configuration once, at ``budget``.

    Parameters
    ----------
    budget
        The budget of every evaluation.
    num_configs
        Configurations in one iteration.
    """

    def __init__(self, budget: float = 1.0, num_configs: int = 1) -> None:
        budget = check_budget("budget", budget)
        self._num_configs = check_count("num_configs", num_configs)
        settings = {"budget": budget, "num_configs": self._num_configs}
        super().__init__([((self._num_configs,), (budget,))], settings)

    @property
    def default_iterations(self) -> int | None:
        return max(1, DEFAULT_TRIALS // self._num_configs)
