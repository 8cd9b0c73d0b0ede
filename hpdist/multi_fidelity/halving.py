"""Successive halving: many configurations at a low budget, the best of them at higher ones."""

from __future__ import annotations

from math import ceil

from hpdist.core.model.errors import ConfigurationError
from hpdist.multi_fidelity.budgets import budget_ladder, check_count, check_eta, exact
from hpdist.multi_fidelity.cycle import BracketCycle, replacement_setting


class SuccessiveHalving(BracketCycle):
    """One bracket for each iteration, from the lowest budget to the highest.

    Parameters
    ----------
    min_budget, max_budget
        The budgets are ``max_budget / eta**k``, down to ``min_budget``.
    eta
        One in ``eta`` configurations is promoted, to a budget ``eta`` times larger.
    num_configs
        Configurations in the lowest rung; by default as many as leave one in the highest.
    replace_failed
        Whether another configuration replaces one that fails in the lowest rung.

    Raises
    ------
    ConfigurationError
        If ``num_configs`` is too small to leave a configuration in the highest rung.

    References
    ----------
    Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter
    optimization", AISTATS 2016.
    """

    def __init__(
        self,
        min_budget: float,
        max_budget: float,
        eta: float = 3,
        num_configs: int | None = None,
        *,
        replace_failed: bool = False,
    ) -> None:
        budgets = budget_ladder(min_budget, max_budget, eta)
        eta = check_eta(eta)
        minimum = ceil(exact(eta) ** (len(budgets) - 1))
        num_configs = minimum if num_configs is None else check_count("num_configs", num_configs)
        if num_configs < minimum:
            raise ConfigurationError(
                f"num_configs={num_configs} leaves no configuration at budget {budgets[-1]:g}",
                cause=f"{len(budgets)} rungs with eta={eta} need {minimum} configurations",
                do=f"choose num_configs >= {minimum}, or a larger min_budget",
            )
        settings = {
            "min_budget": float(min_budget),
            "max_budget": float(max_budget),
            "eta": eta,
            "num_configs": num_configs,
        }
        super().__init__(
            [(rung_sizes(num_configs, eta, len(budgets)), budgets)],
            settings | replacement_setting(replace_failed),
        )


def rung_sizes(num_configs: int, eta: float, num_rungs: int) -> tuple[int, ...]:
    """Return ``floor(num_configs / eta**i)`` for each rung i, and 1 where that is 0."""
    return tuple(max(1, int(num_configs / exact(eta) ** i)) for i in range(num_rungs))
