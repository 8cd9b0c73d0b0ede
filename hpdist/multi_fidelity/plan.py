"""The plan of a search: its rungs and its cost before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_whole
from hpdist.multi_fidelity.base import IterGenerator, Rung


@dataclass(frozen=True)
class Plan:
    """The rungs of a search in which nothing fails."""

    rungs: tuple[Rung, ...]

    @property
    def evaluations(self) -> int:
        return sum(rung.num_configs for rung in self.rungs)

    @property
    def configurations(self) -> int:
        return sum(rung.num_configs for rung in self.rungs if rung.rung == 0)

    @property
    def total_budget(self) -> float:
        return total_cost(self.rungs)

    @property
    def most_busy(self) -> int:
        return most_busy(self.rungs)


def make_plan(iter_generator: IterGenerator, n_iterations: int | None = None) -> Plan:
    """Return the plan of ``n_iterations`` iterations, by default the generator's own number.

    Raises
    ------
    ConfigurationError
        If only a limit ends the search, so that there is no plan.
    """
    if n_iterations is None:
        n_iterations = iter_generator.default_iterations
    if n_iterations is None:
        raise ConfigurationError(
            f"{iter_generator!r} continues until a limit is reached, so there is no plan",
            do="choose n_iterations, and an iteration generator that ends by itself",
        )
    check_whole("n_iterations", n_iterations, minimum=1, do="n_iterations=1")
    return Plan(tuple(iter_generator.plan(n_iterations)))


def total_cost(rungs: Sequence[Rung]) -> float:
    """Return the sum of the budgets of all evaluations, each counted from the start."""
    return sum(rung.num_configs * rung.budget for rung in rungs)


def most_busy(rungs: Sequence[Rung]) -> int:
    """Return the largest number of workers that are ever busy at once.

    The next bracket opens when the open ones have no evaluation to propose; with enough workers
    all lowest rungs run at once, and a configuration is never evaluated twice at once. So this is
    the number of configurations in all lowest rungs.
    """
    return sum(rung.num_configs for rung in rungs if rung.rung == 0)
