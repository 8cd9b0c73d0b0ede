"""The port of an iteration generator: on which budget, and who is promoted?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from hpdist.core.model.values import Job, JsonValue


@dataclass(frozen=True)
class NewTrial:
    """Evaluate a configuration that the optimizer is to choose, at ``budget``."""

    budget: float
    rung: int = 0


@dataclass(frozen=True)
class Promote:
    """Evaluate trial ``trial_id`` again, at the higher ``budget``."""

    trial_id: int
    budget: float
    rung: int


Proposal = NewTrial | Promote


@runtime_checkable
class Bracket(Protocol):
    """One iteration: a ladder of rungs.

    `propose` looks and changes nothing; the other methods are the only mutators.
    """

    def propose(self) -> Proposal | None:
        """Return the next evaluation, or None while there is none (waiting, or all are out)."""
        ...

    def started(self, job: Job) -> None:
        """Take notice that the last proposal became ``job``."""
        ...

    def finished(self, job: Job, loss: float) -> None:
        """Take notice that ``job`` came to an end; ``loss`` is minimized, inf if it failed.

        May be called again for the same trial and rung when an operator retried a failed job.
        """
        ...

    def no_more_trials(self) -> None:
        """Take notice that no new trial will be made: go on with those there are."""
        ...

    @property
    def is_finished(self) -> bool:
        """Whether this bracket will never propose again and waits for nothing."""
        ...


@dataclass(frozen=True)
class Rung:
    """A planned rung: ``num_configs`` evaluations at ``budget`` in bracket ``iteration``."""

    iteration: int
    rung: int
    num_configs: int
    budget: float


@runtime_checkable
class IterGenerator(Protocol):
    """Chooses budgets: a factory of brackets, one an iteration.

    Attributes
    ----------
    budgets
        All budgets that may occur, rising.
    default_iterations
        How many iterations a search makes when nobody says; None when only a limit ends it.
    """

    @property
    def budgets(self) -> tuple[float, ...]: ...

    @property
    def default_iterations(self) -> int | None: ...

    def get_next_iteration(self, iteration: int, **iteration_kwargs: Any) -> Bracket:
        """Return a fresh bracket for iteration ``iteration``, counted from 0."""
        ...

    def plan(self, n_iterations: int) -> list[Rung]:
        """List the rungs of the first ``n_iterations`` iterations, if nothing fails."""
        ...

    def num_all_configs(self, n_iterations: int) -> int:
        """Count the evaluations in the first ``n_iterations`` iterations."""
        ...

    def get_table(self) -> Any:
        """Return a DataFrame: one row a rung of one cycle of iterations."""
        ...

    def describe(self) -> dict[str, JsonValue]:
        """Return name and settings as JSON: a run is resumed only with an equal description."""
        ...
