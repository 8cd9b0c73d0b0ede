"""Runs attempts in another system, which brings its own processes: Dask, Ray or MPI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hpdist.core.dispatch.executor import Post
from hpdist.core.model.validation import check_whole, maybe
from hpdist.core.objective.limits import check_attempt_limits
from hpdist.core.objective.objective import Objective
from hpdist.executors.backends.external_runner import BackendSlot, ExternalRunner
from hpdist.executors.backends.packaging import PackagedObjective, package_objective
from hpdist.executors.slot_executor import SlotExecutor, new_worker


@dataclass(frozen=True)
class Connection:
    """Which cluster, and what each evaluation asks of it.

    Attributes
    ----------
    address
        Of an existing cluster, as its system writes it; None for one on this machine, made for
        this search.
    resources
        What each evaluation occupies, by the names of the system: with Ray "CPU", "GPU",
        "memory" and its custom resources; with Dask those that its workers declare.
    """

    address: str | None = None
    resources: Mapping[str, float] = field(default_factory=dict)


class Backend(Protocol):
    """Another system that runs functions in its processes."""

    def connect(self, packaged: PackagedObjective, workers: int | None) -> list[BackendSlot]:
        """Connect to the system, and return the slots for attempts.

        Raises
        ------
        HpdistError
            If the system cannot be reached, or has too little capacity.
        """
        ...

    def close(self) -> None:
        """Leave the system as it was found."""
        ...


class ExternalExecutor(SlotExecutor):
    """Workers of one slot each, whose attempts run in another system.

    Parameters
    ----------
    workers
        Number of concurrent evaluations; None for the capacity of the system.
    """

    def __init__(
        self,
        backend: Backend,
        name: str,
        objective: Objective,
        workers: int | None = None,
        *,
        root: Path | None = None,
        job_timeout: float | None = None,
        memory_limit: int | None = None,
        prefetch: int = 0,
    ) -> None:
        super().__init__(root)
        self._backend = backend
        self._name = name
        self._prefetch = prefetch
        self._workers = maybe(check_whole, "workers", workers, minimum=1)
        limits = check_attempt_limits(job_timeout, memory_limit)
        self._packaged = package_objective(objective, **limits)

    def start(self, post: Post) -> None:
        try:
            slots = self._backend.connect(self._packaged, self._workers)
        except BaseException:
            self._backend.close()
            raise
        self._start_slots(
            post,
            [
                (new_worker(f"{self._name}-{index}", self._prefetch), ExternalRunner(slot))
                for index, slot in enumerate(slots)
            ],
        )

    def close(self, grace_s: float) -> None:
        super().close(grace_s)
        self._backend.close()
