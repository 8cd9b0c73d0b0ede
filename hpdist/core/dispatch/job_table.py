"""The jobs of a run, and the queue of those to be assigned."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from hpdist.core.dispatch.transitions import (
    HISTORY_LENGTH,
    JOB_TRANSITIONS,
    JobEvent,
    illegal,
)
from hpdist.core.model.errors import StateError
from hpdist.core.model.events import AttemptEnded, AttemptStarted
from hpdist.core.model.states import FailureKind, JobState
from hpdist.core.model.values import Failure, Job, Success

Transition = tuple[str, int, str]
"""(event, attempt, worker id)"""


@dataclass
class JobEntry:
    """A job and its attempts.

    ``attempt`` is the latest number that was assigned, ``answered`` the latest of which a worker
    reported a result; 0 for none.
    """

    job: Job
    state: JobState
    attempt: int = 0
    answered: int = 0
    worker_id: str | None = None
    failed: Counter[FailureKind] = field(default_factory=Counter)
    avoid: str | None = None  #: worker on which it failed last; only a preference
    stopped_early: bool = False  #: whether the attempt was asked to end early
    reports: set[tuple[int, float]] = field(default_factory=set)  #: of the attempt; not replayed
    crashed_at: str | None = (
        None  #: worker on which it crashed last; excluded while there are others
    )
    history: list[Transition] = field(default_factory=list, repr=False)  #: the latest ones

    def is_current(self, attempt: int) -> bool:
        """Whether a result of ``attempt`` counts: of the latest attempt, and the first of it."""
        return not self.state.settled and attempt == self.attempt != self.answered

    def accepts_report(self, attempt: int, step: int, loss: float) -> bool:
        """True if the report belongs to the running attempt and is new; it is then noted."""
        is_new = attempt == self.attempt and (step, loss) not in self.reports
        if is_new and self.state is JobState.RUNNING:
            self.reports.add((step, loss))
            return True
        return False


class JobTable(dict[int, JobEntry]):
    """Jobs by their ids. Changes by records only, but for `delayed`.

    Attributes
    ----------
    queue
        Jobs to be assigned, in order.
    delayed
        Until when queued jobs wait, after losses; not replayed.
    crashed
        Those of the queue that have crashed somewhere.
    """

    def __init__(self) -> None:
        super().__init__()
        self.queue: deque[int] = deque()
        self.delayed: dict[int, float] = {}
        self.crashed: set[int] = set()

    def __missing__(self, job_id: int) -> JobEntry:
        raise StateError(f"job {job_id} was never created")

    def create(self, job: Job) -> None:
        """Add a new job at the end of the queue."""
        known = self.get(job.job_id)
        if known is not None:
            raise _illegal(JobEvent.CREATED, known, 0)
        state = JOB_TRANSITIONS[None, JobEvent.CREATED]
        self[job.job_id] = JobEntry(job, state, history=[(JobEvent.CREATED, 0, "")])
        self.queue.append(job.job_id)

    def start(self, record: AttemptStarted) -> None:
        """Record the start of an attempt: a new one, or the latest if it is found running."""
        entry = self[record.job_id]
        if record.attempt < max(entry.attempt, 1):
            raise _illegal(JobEvent.STARTED, entry, record.attempt)
        self._advance(entry, JobEvent.STARTED, record.attempt, record.worker_id)
        self._unqueue(record.job_id)
        entry.stopped_early = entry.stopped_early and record.attempt == entry.attempt
        entry.attempt = record.attempt
        entry.worker_id = record.worker_id

    def end(self, record: AttemptEnded) -> str | None:
        """Record the end of an attempt; return the worker that it was assigned to, if any."""
        job_id, outcome = record.job_id, record.outcome
        entry = self[job_id]
        before, worker_id = entry.state, entry.worker_id
        event = _end_event(record)
        if record.attempt != entry.attempt:
            raise _illegal(event, entry, record.attempt)
        self._advance(entry, event, record.attempt, record.worker_id)
        if isinstance(outcome, Failure):
            self._count(entry, outcome.kind, record)
        entry.worker_id = None
        entry.reports = set()
        if entry.state is not JobState.QUEUED:
            if before is JobState.QUEUED:
                self._unqueue(job_id)
            return worker_id
        if before is JobState.RUNNING:
            # To the front: a bracket waits for the result longest.
            self.queue.appendleft(job_id)
        if entry.crashed_at is not None:
            self.crashed.add(job_id)
        return worker_id

    def note(self, job_id: int, event: JobEvent, attempt: int) -> JobEntry:
        """Record an event of a running attempt that does not end it."""
        entry = self[job_id]
        self._advance(entry, event, attempt, entry.worker_id or "")
        return entry

    def _count(self, entry: JobEntry, kind: FailureKind, record: AttemptEnded) -> None:
        entry.failed[kind] += 1
        entry.avoid = record.worker_id
        if kind is FailureKind.CRASH:
            entry.crashed_at = record.worker_id
        if kind is not FailureKind.LOST:
            entry.answered = record.attempt

    def _advance(
        self, entry: JobEntry, event: JobEvent | None, attempt: int, worker_id: str
    ) -> None:
        state = JOB_TRANSITIONS.get((entry.state, event))
        if state is None:
            raise _illegal(event, entry, attempt)
        entry.state = state
        entry.history.append((event or "", attempt, worker_id))
        if len(entry.history) > HISTORY_LENGTH:
            del entry.history[0]

    def _unqueue(self, job_id: int) -> None:
        self.queue.remove(job_id)
        self.delayed.pop(job_id, None)
        self.crashed.discard(job_id)


def _end_event(record: AttemptEnded) -> JobEvent | None:
    """Return the event of its job for the end of an attempt; None if the record is illegal."""
    outcome = record.outcome
    if outcome is None:
        return None if record.final else JobEvent.RELEASED
    if not record.final:
        return JobEvent.RETRIED
    if isinstance(outcome, Success):
        return JobEvent.COMPLETED
    cancelled = outcome.kind is FailureKind.CANCELLED
    return JobEvent.CANCELLED if cancelled else JobEvent.FAILED


def _illegal(event: JobEvent | None, entry: JobEntry, attempt: int) -> StateError:
    what = f"{event or 'ended without an outcome'} (attempt {attempt})"
    subject = f"job {entry.job.job_id}, attempt {entry.attempt}"
    history = [
        f"{name} (attempt {number}{' on ' * bool(worker_id)}{worker_id})"
        for name, number, worker_id in entry.history
    ]
    return illegal(what, subject, entry.state.value, history)
