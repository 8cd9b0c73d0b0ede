"""Base of the synchronous iteration generators: a cycle of brackets, repeated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_flag, check_whole
from hpdist.core.model.values import JsonValue
from hpdist.multi_fidelity.base import Rung
from hpdist.multi_fidelity.bracket import HalvingBracket

Ladder = tuple[tuple[int, ...], tuple[float, ...]]
"""(numbers of configurations, budgets) of the rungs of a bracket, lowest rung first."""

MAX_PLANNED = 10_000
"""Iterations of one plan: longer lists serve no reader, and fill the memory."""


class BracketCycle:
    """An iteration generator that repeats a fixed cycle of synchronous brackets.

    Iteration ``i`` is bracket ``i`` modulo the length of the cycle.

    Parameters
    ----------
    cycle
        The brackets.
    settings
        The arguments of the generator, as returned by `describe`.
    """

    def __init__(self, cycle: Iterable[Ladder], settings: dict[str, JsonValue]) -> None:
        self._cycle = tuple(cycle)
        self._settings = settings

    @property
    def budgets(self) -> tuple[float, ...]:
        return tuple(sorted({budget for _, budgets in self._cycle for budget in budgets}))

    @property
    def default_iterations(self) -> int | None:
        return len(self._cycle)

    def get_next_iteration(self, iteration: int, **iteration_kwargs: Any) -> HalvingBracket:
        check_iteration(self, iteration, iteration_kwargs)
        replace = bool(self._settings.get("replace_failed"))
        ladder = self._cycle[iteration % len(self._cycle)]
        return HalvingBracket(*ladder, replace_failed=replace)

    def plan(self, n_iterations: int) -> list[Rung]:
        check_planned(n_iterations)
        return [
            Rung(iteration, rung, num_configs, budget)
            for iteration in range(n_iterations)
            for rung, (num_configs, budget) in enumerate(
                zip(*self._cycle[iteration % len(self._cycle)], strict=True)
            )
        ]

    def num_all_configs(self, n_iterations: int) -> int:
        cycles, rest = divmod(
            check_whole("n_iterations", n_iterations, minimum=0), len(self._cycle)
        )
        sizes = [sum(num_configs) for num_configs, _ in self._cycle]
        return cycles * sum(sizes) + sum(sizes[:rest])

    def get_table(self) -> Any:
        return rung_table(self.plan(len(self._cycle)))

    def describe(self) -> dict[str, JsonValue]:
        return {"name": type(self).__name__, **deepcopy(self._settings)}

    def __repr__(self) -> str:
        return call_text(self.describe())


def replacement_setting(replace_failed: object) -> dict[str, JsonValue]:
    """Return the setting if it is true; omitted otherwise, as in descriptions without it."""
    return {"replace_failed": True} if check_flag("replace_failed", replace_failed) else {}


def check_iteration(owner: object, iteration: int, iteration_kwargs: dict[str, Any]) -> None:
    """Raise for arguments that no shipped iteration generator uses, instead of ignoring them."""
    check_whole("iteration", iteration, minimum=0, accepted="a whole number, counted from 0")
    if iteration_kwargs:
        raise ConfigurationError(
            f"{type(owner).__name__} takes no iteration_kwargs, got {sorted(iteration_kwargs)}",
            do="leave iteration_kwargs out, or override get_next_iteration to use them",
        )


def check_planned(n_iterations: int) -> int:
    """Return ``n_iterations`` if a plan may list as many."""
    return check_whole(
        "n_iterations",
        n_iterations,
        minimum=0,
        maximum=MAX_PLANNED,
        do="plan fewer iterations: they repeat",
    )


def rung_table(rungs: Sequence[Rung]) -> Any:
    """Return a DataFrame with a row for each of ``rungs``; ``cost`` is in units of budget."""
    import pandas as pd

    columns = ["iteration", "rung", "budget", "num_configs", "cost"]
    rows = [(r.iteration, r.rung, r.budget, r.num_configs, r.num_configs * r.budget) for r in rungs]
    return pd.DataFrame(rows, columns=columns)


def call_text(description: dict[str, JsonValue]) -> str:
    """Return a description as the call that makes the described object."""
    settings = ", ".join(f"{key}={value!r}" for key, value in description.items() if key != "name")
    return f"{description['name']}({settings})"
