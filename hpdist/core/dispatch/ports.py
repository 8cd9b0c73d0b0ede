"""What a loop is given: what there is to do, and where it is written down."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from hpdist.core.model.events import JobCreated, Record
from hpdist.core.model.payload import Payload


class JobSource(Protocol):
    """What there is to do: a `Study`, or whatever hands in jobs."""

    @property
    def done(self) -> bool:
        """Whether nothing is open and nothing more will be proposed."""
        ...

    def propose(self) -> JobCreated | None: ...

    def withdraw(self, job_ids: Collection[int], reason: str, at: float) -> None:
        """Settle as cancelled which of these jobs were handed in and are not created yet."""
        ...

    def apply(self, record: Record) -> None: ...

    def payload(self, job_id: int) -> Payload: ...

    def stops_early(self, job_id: int) -> bool:
        """Whether a running job should end, because of what it has reported."""
        ...

    def retryable(self, job_ids: Sequence[int] | None = None) -> list[int]: ...


class JournalPort(Protocol):
    """Where records go: a `Journal` or its stand-in in memory."""

    def append(self, record: Record, at: float) -> None: ...

    def commit(self) -> None: ...
