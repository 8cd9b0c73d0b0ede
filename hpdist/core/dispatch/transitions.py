"""The tables of all legal transitions of jobs and workers.

A record changes the state of a job or a worker only as these tables list it. Any other transition
is a bug of hpdist or a malformed journal, and raises `hpdist.core.model.errors.StateError`.
"""

from __future__ import annotations

from collections.abc import Sequence

from hpdist.core.model.errors import StateError
from hpdist.core.model.states import JobState, Word, WorkerState

HISTORY_LENGTH = 8
"""Number of latest transitions kept per job and worker, for the messages of errors."""


class JobEvent(Word):
    """The event of a job that a record stands for."""

    CREATED = "created"
    STARTED = "started"
    REPORTED = "reported"
    STOPPED_EARLY = "stopped early"
    RELEASED = "released"  #: the attempt was released without a result
    RETRIED = "retried"  #: the attempt failed, and another one is allowed
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


JOB_TRANSITIONS: dict[tuple[JobState | None, JobEvent | None], JobState] = {
    (None, JobEvent.CREATED): JobState.QUEUED,
    (JobState.QUEUED, JobEvent.STARTED): JobState.RUNNING,
    (JobState.RUNNING, JobEvent.REPORTED): JobState.RUNNING,
    (JobState.RUNNING, JobEvent.STOPPED_EARLY): JobState.RUNNING,
    (JobState.RUNNING, JobEvent.RELEASED): JobState.QUEUED,
    (JobState.RUNNING, JobEvent.RETRIED): JobState.QUEUED,
    (JobState.RUNNING, JobEvent.COMPLETED): JobState.COMPLETED,
    (JobState.RUNNING, JobEvent.FAILED): JobState.FAILED,
    (JobState.RUNNING, JobEvent.CANCELLED): JobState.CANCELLED,
    # The latest attempt was given up, and its result arrives before the next attempt starts.
    (JobState.QUEUED, JobEvent.RETRIED): JobState.QUEUED,
    (JobState.QUEUED, JobEvent.COMPLETED): JobState.COMPLETED,
    (JobState.QUEUED, JobEvent.FAILED): JobState.FAILED,
    (JobState.QUEUED, JobEvent.CANCELLED): JobState.CANCELLED,
}
"""The state after an event, by the state before it; None before a job is created."""

WORKER_TRANSITIONS: dict[tuple[WorkerState | None, WorkerState], WorkerState] = {
    (None, WorkerState.JOINED): WorkerState.JOINED,
    (WorkerState.JOINED, WorkerState.RETURNED): WorkerState.JOINED,
    (WorkerState.JOINED, WorkerState.QUARANTINED): WorkerState.QUARANTINED,
    (WorkerState.JOINED, WorkerState.LEFT): WorkerState.LEFT,
    (WorkerState.JOINED, WorkerState.LOST): WorkerState.LOST,
    # A quarantined worker finishes its attempts, and stays quarantined when it registers again.
    (WorkerState.QUARANTINED, WorkerState.RETURNED): WorkerState.QUARANTINED,
    (WorkerState.QUARANTINED, WorkerState.QUARANTINED): WorkerState.QUARANTINED,
    (WorkerState.QUARANTINED, WorkerState.LEFT): WorkerState.LEFT,
    (WorkerState.QUARANTINED, WorkerState.LOST): WorkerState.LOST,
}
"""The state after a change, by the state before it; None for a worker that is not registered."""


def illegal(event: str, subject: str, state: object, history: Sequence[object]) -> StateError:
    """Return the error of an event that is illegal in this state, with the history before it."""
    return StateError(
        f"{event} cannot follow: {subject} is {state}",
        cause="history: " + ("; ".join(map(str, history)) or "none"),
    )
