"""Runs attempts in another system, which brings its own processes: Dask, Ray or MPI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hpdist.core.dispatch.executor import Post
from hpdist.core.model.orders import (
    Order,
)
from hpdist.core.model.validation import check_whole, maybe
from hpdist.core.objective.limits import check_attempt_limits
from hpdist.core.objective.objective import Objective
from hpdist.executors.backends.packaging import Shipment, ship
from hpdist.executors.backends.runner import FarPost, FarRunner
from hpdist.executors.slot_pool import SlotPool, new_worker


@dataclass(frozen=True)
class Connection:
    """Which cluster, and what each evaluation asks of it.

    Attributes
    ----------
    address
        Of a cluster that is there, as its system writes it; None for one on this machine, made
        for this search.
    resources
        What each evaluation occupies, by the names of the system: with Ray "CPU", "GPU",
        "memory" and its custom resources; with Dask those that its workers declare.
    """

    address: str | None = None
    resources: Mapping[str, float] = field(default_factory=dict)


class System(Protocol):
    """Another system that runs functions somewhere."""

    def connect(self, shipment: Shipment, workers: int | None) -> list[FarPost]:
        """Reach the system, and return the places at which attempts can run.

        Raises
        ------
        HpdistError
            If the system cannot be reached, or has too little room.
        """
        ...

    def close(self) -> None:
        """Leave the system as it was found."""
        ...


class FarExecutor:
    """Workers of one slot each, whose attempts run in another system.

    Parameters
    ----------
    workers
        How many evaluations run at once; None for as many as the system has room for.
    """

    keeps_running = False

    def __init__(
        self,
        system: System,
        name: str,
        objective: Objective,
        workers: int | None = None,
        *,
        root: Path | None = None,
        job_timeout: float | None = None,
        memory_limit: int | None = None,
        prefetch: int = 0,
    ) -> None:
        self._system, self._name, self._prefetch = system, name, prefetch
        self._workers = maybe(check_whole, "workers", workers, least=1)
        limits: dict[str, Any] = check_attempt_limits(job_timeout, memory_limit)
        self._shipment = ship(objective, **limits)
        self._pool = SlotPool(root)

    def start(self, post: Post) -> None:
        try:
            posts = self._system.connect(self._shipment, self._workers)
        except BaseException:
            self._system.close()
            raise
        seats = [
            (new_worker(f"{self._name}-{index}", self._prefetch), FarRunner(each))
            for index, each in enumerate(posts)
        ]
        self._pool.start(post, seats)

    def perform(self, orders: Sequence[Order]) -> None:
        self._pool.perform(orders)

    def close(self, grace_s: float) -> None:
        self._pool.close(grace_s)
        self._system.close()
