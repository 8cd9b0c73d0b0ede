"""Brackets with sizes and budgets given by the caller."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_list, short_repr
from hpdist.multi_fidelity.budgets import check_budget, check_count
from hpdist.multi_fidelity.cycle import BracketCycle, Ladder

Numbers = Sequence[int] | Sequence[Sequence[int]]
Budgets = Sequence[float] | Sequence[Sequence[float]]


class Custom(BracketCycle):
    """Synchronous brackets given as a table.

    Parameters
    ----------
    num_configs, budgets
        Two lists of equal length, one entry a rung, lowest first; or two lists of such lists,
        one an iteration, which are repeated. Within a bracket budgets ascend and numbers of
        configurations do not.

    Examples
    --------
    >>> Custom([8, 2], [1, 10]).num_all_configs(1)
    10
    """

    def __init__(self, num_configs: Numbers, budgets: Budgets) -> None:
        sizes, ladders = _nested("num_configs", num_configs), _nested("budgets", budgets)
        if len(sizes) != len(ladders):
            raise ConfigurationError(
                f"num_configs describes {len(sizes)} brackets and budgets {len(ladders)}",
                do="give both one list a bracket",
            )
        cycle = [_ladder(*pair) for pair in zip(sizes, ladders, strict=True)]
        settings = {
            "num_configs": [list(num_configs) for num_configs, _ in cycle],
            "budgets": [list(rungs) for _, rungs in cycle],
        }
        super().__init__(cycle, settings)


def _nested(name: str, values: object) -> list[list[object]]:
    entries = _entries(name, values)
    if hasattr(entries[0], "__len__"):
        return [_entries(name, entry) for entry in entries]
    return [entries]


def _entries(name: str, values: object) -> list[object]:
    if entries := check_list(name, values, of="one entry a rung"):
        return entries
    raise ConfigurationError(f"{name} must be a list of one entry a rung, got {short_repr(values)}")


def _ladder(sizes: list[object], budgets: list[object]) -> Ladder:
    if len(sizes) != len(budgets):
        raise ConfigurationError(
            f"num_configs={short_repr(sizes)} and budgets={short_repr(budgets)} have "
            "different lengths",
            do="give one number of configurations and one budget for each rung",
        )
    numbers = tuple(check_count("num_configs", size) for size in sizes)
    ladder = tuple(check_budget("budgets", budget) for budget in budgets)
    if any(above > below for below, above in pairwise(numbers)):
        raise ConfigurationError(
            f"num_configs={short_repr(sizes)} rises, but no rung can hold more than the "
            "one below it"
        )
    if any(above <= below for below, above in pairwise(ladder)):
        raise ConfigurationError(
            f"budgets={short_repr(budgets)} does not rise",
            do="order the rungs from the lowest budget up",
        )
    return numbers, ladder
