"""Hyperband: successive halving in several brackets, which start at different budgets."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Literal

from hpdist.core.model.validation import check_choice
from hpdist.multi_fidelity.budgets import budget_ladder, check_eta, exact
from hpdist.multi_fidelity.cycle import BracketCycle, replacement_setting
from hpdist.multi_fidelity.halving import rung_sizes

ROUNDINGS = ("paper", "hpbandster")


class Hyperband(BracketCycle):
    """A cycle of ``s_max + 1`` brackets, from the most aggressive to plain random search.

    Parameters
    ----------
    min_budget, max_budget
        The budgets are ``max_budget / eta**k`` for k = s_max .. 0, down to ``min_budget``.
    eta
        One in ``eta`` configurations is promoted, to a budget ``eta`` times larger.
    rounding
        Number of configurations at the start of bracket s = s_max .. 0: "paper" is
        ``ceil((s_max+1) / (s+1) * eta**s)``, "hpbandster" is
        ``floor((s_max+1) / (s+1)) * eta**s``, as in HpBandSter.
    replace_failed
        Whether another configuration replaces one that fails in the lowest rung of a bracket.

    References
    ----------
    Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, "Hyperband: a novel bandit-based approach
    to hyperparameter optimization", JMLR 18, 2018, Algorithm 1.

    Examples
    --------
    >>> [rung.num_configs for rung in Hyperband(1, 9).plan(3)]
    [9, 3, 1, 5, 1, 3]
    """

    def __init__(
        self,
        min_budget: float,
        max_budget: float,
        eta: float = 3,
        rounding: Literal["paper", "hpbandster"] = "paper",
        *,
        replace_failed: bool = False,
    ) -> None:
        budgets = budget_ladder(min_budget, max_budget, eta)
        rounded = check_choice("rounding", rounding, ROUNDINGS)
        eta = check_eta(eta)
        starts = _paper_starts if rounded == "paper" else _hpbandster_starts
        cycle = (
            (rung_sizes(num_configs, eta, s + 1), budgets[-s - 1 :])
            for s, num_configs in starts(exact(eta), len(budgets))
        )
        settings = {
            "min_budget": float(min_budget),
            "max_budget": float(max_budget),
            "eta": eta,
            "rounding": rounded,
        }
        super().__init__(cycle, settings | replacement_setting(replace_failed))


def _paper_starts(eta: Fraction, num_brackets: int) -> list[tuple[int, int]]:
    """Return (s, number of configurations) of each bracket, by Algorithm 1 of the paper."""
    brackets = reversed(range(num_brackets))
    return [(s, ceil(num_brackets * eta**s / (s + 1))) for s in brackets]


def _hpbandster_starts(eta: Fraction, num_brackets: int) -> list[tuple[int, int]]:
    """Return (s, number of configurations) of each bracket, as HpBandSter rounds."""
    brackets = reversed(range(num_brackets))
    return [(s, int(num_brackets // (s + 1) * eta**s)) for s in brackets]
