"""Iteration generators: the budgets of evaluations, and which trials are promoted.

Pure; imports `core.model`. Open `base` first (brackets and proposals), then `hyperband`. `budgets`
has the ladder of budgets, `bracket` ranks and promotes the trials of a rung.
"""

from hpdist.multi_fidelity.asha import Asha
from hpdist.multi_fidelity.base import (
    Bracket,
    IterGenerator,
    NewTrial,
    Promote,
    Proposal,
    Rung,
)
from hpdist.multi_fidelity.bracket import HalvingBracket
from hpdist.multi_fidelity.budgets import budget_ladder, check_budget, check_generator
from hpdist.multi_fidelity.custom import Custom
from hpdist.multi_fidelity.halving import SuccessiveHalving
from hpdist.multi_fidelity.hyperband import Hyperband
from hpdist.multi_fidelity.plan import Plan, make_plan, most_busy, total_cost
from hpdist.multi_fidelity.registry import NAMES
from hpdist.multi_fidelity.single import SingleFidelity

__all__ = [
    "NAMES",
    "Asha",
    "Bracket",
    "Custom",
    "HalvingBracket",
    "Hyperband",
    "IterGenerator",
    "NewTrial",
    "Plan",
    "Promote",
    "Proposal",
    "Rung",
    "SingleFidelity",
    "SuccessiveHalving",
    "budget_ladder",
    "check_budget",
    "check_generator",
    "make_plan",
    "most_busy",
    "total_cost",
]
