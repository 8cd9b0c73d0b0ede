"""The ports of a loop: the source of its jobs, and the journal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from hpdist.core.model.events import JobCreated, Record
from hpdist.core.model.payload import Payload


class JobSource(Protocol):
    """Creates jobs: a `Study`, or a queue of submitted ones."""

    @property
    def done(self) -> bool:
        """Whether nothing is open and nothing more will be proposed."""
        ...

    def propose(self) -> JobCreated | None:
        """Return the next job, None while there is none; changes nothing."""
        ...

    def withdraw(self, job_ids: Collection[int], reason: str, at: float) -> None:
        """Settle as cancelled those of these jobs that were submitted and are not created yet."""
        ...

    def apply(self, record: Record) -> None:
        """Change the source by a record, live and on replay alike."""
        ...

    def payload(self, job_id: int) -> Payload:
        """Return what a worker needs to know of a job."""
        ...

    def stops_early(self, job_id: int) -> bool:
        """Whether a running job should end early, because of what it has reported."""
        ...

    def retryable(self, job_ids: Sequence[int] | None = None) -> list[int]:
        """Return which of these jobs (None: all) failed, and may be created again."""
        ...


class JournalPort(Protocol):
    """Keeps records: a `Journal`, or its stand-in in memory."""

    def append(self, record: Record, at: float) -> None:
        """Add a record of the wall time ``at``."""
        ...

    def commit(self) -> None:
        """Make all that was added durable."""
        ...
