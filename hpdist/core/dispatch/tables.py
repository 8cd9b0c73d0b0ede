"""The book of jobs and workers: what is so, and the one door by which it changes.

What lasts changes only in `DispatchBook.apply`, by records, so a replayed journal gives the book
the live run had. Leases, connections and back-off are of this process alone and not replayed.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hpdist.core.model.errors import StateError
from hpdist.core.model.events import (
    Assignment,
    AttemptEnded,
    AttemptStarted,
    AttemptStoppedEarly,
    Controlled,
    JobCreated,
    Record,
    WorkerChanged,
)
from hpdist.core.model.values import Failure, FailureKind, Job, JobState, WorkerInfo, settled_state

#: Seconds after the end of a lease at which it should have been noticed.
LATE_S = 0.2


@dataclass
class JobEntry:
    """A job's place in the book.

    ``attempt`` is the latest number handed out, ``answered`` the latest of which a worker told
    what came of it; 0 for none.
    """

    job: Job
    state: JobState = JobState.QUEUED
    attempt: int = 0
    answered: int = 0
    worker_id: str | None = None
    failed: Counter[FailureKind] = field(default_factory=Counter)
    avoid: str | None = None  #: where it just failed: a preference, never a rule
    stopped_early: bool = False  #: whether the attempt was asked to end early
    reports: set[tuple[int, float]] = field(default_factory=set)  #: of the attempt; not replayed
    crashed_at: str | None = None  #: where it crashed last: not there again if others are here

    def is_current(self, attempt: int) -> bool:
        """Whether a result of ``attempt`` is news: of the latest attempt, and the first of it."""
        return not self.state.settled and attempt == self.attempt != self.answered

    def takes_report(self, attempt: int, step: int, loss: float) -> bool:
        """Whether this is of the attempt that runs, and was not told before."""
        news = attempt == self.attempt and (step, loss) not in self.reports
        if news and self.state is JobState.RUNNING:
            self.reports.add((step, loss))
            return True
        return False


@dataclass
class WorkerEntry:
    """A worker's place in the book.

    ``holds`` maps job to attempt in the order of hand-out; ``zombies`` are attempts it may still
    be busy with although they are not wanted any more.
    """

    info: WorkerInfo
    deadline: float = float("inf")
    excused: float = float("inf")  #: the deadline that was granted for the owner's own silence
    connected: bool = False
    leaving: bool = False
    holds: dict[int, int] = field(default_factory=dict)
    zombies: set[Assignment] = field(default_factory=set)
    recalled: set[Assignment] = field(default_factory=set)
    crashed_in_a_row: set[int] = field(default_factory=set)
    succeeded: bool = False

    @property
    def available(self) -> bool:
        return self.connected and not self.leaving

    @property
    def load(self) -> int:
        return len(self.holds) + len(self.zombies)

    @property
    def room(self) -> int:
        """How many more attempts it may be given."""
        return self.info.slots + self.info.prefetch - self.load if self.available else 0


class DispatchBook:
    """Two tables, jobs and workers, and the queue between them.

    Attributes may be read by anybody in the owner's thread.
    """

    def __init__(self) -> None:
        #: whether a worker is given jobs that are bound to none; set before any job is created
        self.takes: Callable[[WorkerInfo], bool] = lambda worker: True
        self.jobs: dict[int, JobEntry] = {}
        self.workers: dict[str, WorkerEntry] = {}
        self.queue: deque[int] = deque()
        self.paused = False
        #: queued jobs that wait until a time, after losses
        self.delayed: dict[int, float] = {}

    # ------------------------------------------------------------------- what one may ask

    @property
    def running(self) -> int:
        """How many jobs are in the hands of workers."""
        return sum(len(worker.holds) for worker in self.workers.values())

    @property
    def capacity(self) -> int:
        """How many attempts the workers that are here can hold, busy or not."""
        return sum(
            worker.info.slots + worker.info.prefetch
            for worker in self.workers.values()
            if worker.available
        )

    def occupied(self, now: float) -> int:
        """How much of `capacity` is taken, or spoken for by jobs that are ready."""
        held = sum(worker.load for worker in self.workers.values() if worker.available)
        waiting = sum(at > now for at in self.delayed.values())
        room = [worker_id for worker_id, worker in self.workers.items() if worker.room > 0]
        barred = sum(
            not any(self.may_run(self.jobs[job_id], worker_id) for worker_id in room)
            for job_id in self.queue
            if room and self.jobs[job_id].crashed_at and self.delayed.get(job_id, now) <= now
        )
        return held + len(self.queue) - waiting - barred

    def may_run(self, entry: JobEntry, worker_id: str) -> bool:
        """Whether a job may go to this worker, be it free or not.

        Where it has just crashed it is not tried again while another worker is here, however
        busy: a node on which everything crashes would use up all its attempts.
        """
        if entry.job.worker is not None:
            return entry.job.worker == worker_id
        if not self.takes(self.workers[worker_id].info):
            return False
        return entry.crashed_at != worker_id or not any(
            worker.available for other, worker in self.workers.items() if other != worker_id
        )

    def next_deadline(self) -> float:
        """When `tick` or `assign` has something to do if nothing happens; inf for never."""
        leases = (worker.deadline for worker in self.workers.values())
        return min([*leases, *self.delayed.values()], default=float("inf"))

    def extend_leases(self, now: float, grace_s: float) -> None:
        """Give workers that should have been given up some time ago ``grace_s`` seconds, once.

        Leases are looked at as they run out; if that is late, the process that keeps this book
        was stopped or busy, and what its workers said meanwhile may not have been read yet.
        """
        for worker in self.workers.values():
            if now - worker.deadline > LATE_S and worker.deadline != worker.excused:
                worker.deadline = worker.excused = now + grace_s

    # ------------------------------------------------------------------- what is recorded

    def apply(self, record: Record) -> None:
        """Change what lasts, live and on replay alike.

        Raises
        ------
        StateError
            If the record cannot follow from this state: a bug, or a forged journal.
        """
        if isinstance(record, JobCreated):
            self._apply_created(record.job)
        elif isinstance(record, AttemptStarted):
            self._apply_started(record)
        elif isinstance(record, AttemptEnded):
            self._apply_ended(record)
        elif isinstance(record, AttemptStoppedEarly):
            self._entry(record.job_id).stopped_early = True
        elif isinstance(record, WorkerChanged):
            self._apply_worker(record)
        elif isinstance(record, Controlled) and record.command in ("pause", "resume"):
            self.paused = record.command == "pause"

    def _apply_created(self, job: Job) -> None:
        if job.job_id in self.jobs:
            raise StateError(f"job {job.job_id} was created twice")
        self.jobs[job.job_id] = JobEntry(job)
        self.queue.append(job.job_id)

    def _apply_started(self, record: AttemptStarted) -> None:
        entry = self._entry(record.job_id)
        if entry.state is not JobState.QUEUED or record.attempt < max(entry.attempt, 1):
            raise StateError(f"attempt {record.attempt} cannot start from {entry}")
        self._unqueue(record.job_id)
        entry.state = JobState.RUNNING
        entry.stopped_early = entry.stopped_early and record.attempt == entry.attempt
        entry.attempt, entry.worker_id = record.attempt, record.worker_id
        self.workers[record.worker_id].holds[record.job_id] = record.attempt

    def _apply_ended(self, record: AttemptEnded) -> None:
        entry = self._entry(record.job_id)
        if entry.state.settled or record.attempt != entry.attempt:
            raise StateError(f"attempt {record.attempt} cannot end from {entry}")
        if entry.worker_id in self.workers:
            self.workers[entry.worker_id].holds.pop(record.job_id, None)
        if isinstance(record.outcome, Failure):
            entry.failed[record.outcome.kind] += 1
            entry.avoid = record.worker_id
            if record.outcome.kind is FailureKind.CRASH:
                entry.crashed_at = record.worker_id
            if record.outcome.kind is not FailureKind.LOST:
                entry.answered = record.attempt
        entry.worker_id = None
        entry.reports = set()
        if entry.state is JobState.QUEUED and record.final:
            self._unqueue(record.job_id)
        elif entry.state is JobState.RUNNING and not record.final:
            self.queue.appendleft(record.job_id)
        entry.state = settled_state(record.outcome) if record.final else JobState.QUEUED

    def _apply_worker(self, record: WorkerChanged) -> None:
        worker_id = record.worker.worker_id
        if record.state == "joined":
            self.workers[worker_id] = WorkerEntry(record.worker)
        elif record.state == "returned":
            self.workers[worker_id].info = record.worker
        elif record.state == "quarantined":
            self.workers[worker_id].leaving = True
            for job_id in record.forgiven:
                self.jobs[job_id].failed[FailureKind.CRASH] -= 1
        else:
            del self.workers[worker_id]

    def _unqueue(self, job_id: int) -> None:
        self.queue.remove(job_id)
        self.delayed.pop(job_id, None)

    def _entry(self, job_id: int) -> JobEntry:
        try:
            return self.jobs[job_id]
        except KeyError:
            raise StateError(f"job {job_id} was never created") from None
