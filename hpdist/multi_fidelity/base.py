"""The ports of iteration generators and their brackets, and the values that they return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from hpdist.core.model.values import Job, JsonValue


@dataclass(frozen=True)
class NewTrial:
    """A proposal to evaluate a new configuration, chosen by the optimizer, at ``budget``."""

    budget: float
    rung: int = 0


@dataclass(frozen=True)
class Promote:
    """A proposal to evaluate trial ``trial_id`` again, at the higher ``budget``."""

    trial_id: int
    budget: float
    rung: int


Proposal = NewTrial | Promote


@runtime_checkable
class Bracket(Protocol):
    """One iteration: a ladder of rungs.

    `propose` does not change the bracket; the other methods are the only mutators.
    """

    def propose(self) -> Proposal | None:
        """Return the next evaluation, or None while all possible ones are started."""
        ...

    def started(self, job: Job) -> None:
        """Record that the last proposal was started as ``job``."""
        ...

    def finished(self, job: Job, loss: float) -> None:
        """Record the result of ``job``; ``loss`` is minimized, inf if it failed.

        May be called again for the same trial and rung if a failed job was retried.
        """
        ...

    def no_more_trials(self) -> None:
        """Record that there will be no new trials: continue with the existing ones."""
        ...

    @property
    def is_finished(self) -> bool:
        """True if this bracket waits for no result and will never propose again."""
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
        All possible budgets, ascending.
    default_iterations
        Number of iterations of a search by default; None if only a limit ends it.
    """

    @property
    def budgets(self) -> tuple[float, ...]: ...

    @property
    def default_iterations(self) -> int | None: ...

    def get_next_iteration(self, iteration: int, **iteration_kwargs: Any) -> Bracket:
        """Return a new bracket for iteration ``iteration``, counted from 0."""
        ...

    def plan(self, n_iterations: int) -> list[Rung]:
        """Return the rungs of the first ``n_iterations`` iterations if nothing fails."""
        ...

    def num_all_configs(self, n_iterations: int) -> int:
        """Return the number of evaluations in the first ``n_iterations`` iterations."""
        ...

    def get_table(self) -> Any:
        """Return a DataFrame with a row for each rung of one cycle of iterations."""
        ...

    def describe(self) -> dict[str, JsonValue]:
        """Return name and settings as JSON: a run is resumed only with an equal description."""
        ...
