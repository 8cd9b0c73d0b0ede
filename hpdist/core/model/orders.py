"""Orders to workers, given once the records that they follow from are durable."""

from __future__ import annotations

from dataclasses import dataclass, field

from hpdist.core.model.events import Record
from hpdist.core.model.payload import Payload


@dataclass(frozen=True)
class Launch:
    """Run this attempt on this worker. The loop fills ``payload`` before the order goes out."""

    worker_id: str
    incarnation: str
    job_id: int
    attempt: int
    payload: Payload | None = None


@dataclass(frozen=True)
class Acknowledge:
    """The worker may forget this result: its record is durable, or it is discarded."""

    worker_id: str
    incarnation: str
    job_id: int
    attempt: int


@dataclass(frozen=True)
class Cancel:
    """Stop this attempt and discard its result."""

    worker_id: str
    incarnation: str
    job_id: int
    attempt: int


@dataclass(frozen=True)
class Recall:
    """Return this attempt if it has not started."""

    worker_id: str
    incarnation: str
    job_id: int
    attempt: int


@dataclass(frozen=True)
class StopEarly:
    """Ask this attempt to end early, with the loss that it has by then."""

    worker_id: str
    incarnation: str
    job_id: int
    attempt: int


@dataclass(frozen=True)
class Registered:
    """The registration is accepted."""

    worker_id: str
    incarnation: str


@dataclass(frozen=True)
class Reregister:
    """The worker is not known (any more): it has to register again, keeping its attempts."""

    worker_id: str
    incarnation: str


@dataclass(frozen=True)
class ShutDown:
    """Shut down: after the in-flight attempts (``drain``), or at once, releasing them."""

    worker_id: str
    incarnation: str
    drain: bool = True
    reason: str = ""


Order = Launch | Acknowledge | Cancel | Recall | StopEarly | Registered | Reregister | ShutDown


@dataclass
class Decision:
    """The result of a call: records to write first, orders to give once they are durable."""

    records: list[Record] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
