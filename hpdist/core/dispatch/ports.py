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
        """Whether no job is open and no more jobs will be proposed."""
        ...

    def propose(self) -> JobCreated | None:
        """Return the next job, None while there is none; the source is not changed."""
        ...

    def withdraw(self, job_ids: Collection[int], reason: str, at: float) -> None:
        """Settle as cancelled the jobs of these ids that were submitted but not created yet."""
        ...

    def apply(self, record: Record) -> None:
        """Change the source by a record, live and on replay alike."""
        ...

    def payload(self, job_id: int) -> Payload:
        """Return the payload of a job for its worker."""
        ...

    def stops_early(self, job_id: int) -> bool:
        """Whether a running job should end early because of its reports."""
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
        """Make all records that were added durable."""
        ...
