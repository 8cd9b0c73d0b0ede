"""What follows from an event: results that count or do not, workers that come, go and are lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from hpdist.core.dispatch.dispatch_tables import DispatchTables
from hpdist.core.dispatch.job_table import JobEntry
from hpdist.core.dispatch.retry import (
    QUARANTINE_AFTER,
    backoff,
    crashes_only_here,
    retry_decision,
)
from hpdist.core.dispatch.worker_table import WorkerEntry
from hpdist.core.model.events import (
    Assignment,
    AttemptEnded,
    AttemptFinished,
    AttemptReleased,
    AttemptStarted,
    ConnectionLost,
    Event,
    ProgressReported,
    ReportReceived,
    WorkerChanged,
    WorkerDied,
    WorkerJoined,
    WorkerLeft,
    WorkerSeen,
)
from hpdist.core.model.limits_and_timing import Retry, Timing
from hpdist.core.model.orders import (
    Acknowledge,
    Cancel,
    Registered,
    Reregister,
    ShutDown,
)
from hpdist.core.model.states import FailureKind, JobState, WorkerState
from hpdist.core.model.values import Failure, Outcome


class EventHandler:
    """Decides what follows from each event.

    Parameters
    ----------
    tables
        The tables that the decisions change.
    retry, timing
        As for `hpdist.core.dispatch.state.DispatchState`.
    """

    def __init__(self, tables: DispatchTables, retry: Retry, timing: Timing) -> None:
        self.retry = retry
        self.timing = timing
        self.jobs = tables.jobs
        self.workers = tables.workers
        self._record = tables.record
        self._order = tables.order
        self._release = tables.release

    def handle(self, event: Event, now: float) -> None:
        """Decide what follows from ``event``, which arrived at ``now`` (seconds, monotonic)."""
        self._HANDLERS[type(event)](self, event, now)

    def _joined(self, event: WorkerJoined, now: float) -> None:
        info = event.worker
        worker = self.workers.get(info.worker_id)
        if worker and worker.info.incarnation != info.incarnation:
            self.lose(worker, "another process joined under its name", now)
            worker = None
        is_first = worker is None or not worker.connected
        if is_first:
            # After a restart the worker is still in the table, with its assigned attempts.
            state = WorkerState.RETURNED if worker else WorkerState.JOINED
            self._record(WorkerChanged(state, info))
        worker = self.workers[info.worker_id]
        self.workers.connect(worker)
        self.workers.set_deadline(worker, now + self.timing.lease_s)
        self._order(Registered(info.worker_id, info.incarnation))
        for assignment in event.assigned:
            self._reconcile(worker, assignment)
        if is_first:
            # Its first message to this process lists all its attempts: an attempt that is
            # assigned in the table only was never delivered.
            for assignment in set(worker.assigned.items()) - set(event.assigned):
                self._release(*assignment)

    def _reconcile(self, worker: WorkerEntry, assignment: Assignment) -> None:
        """Accept an attempt that a worker has, or cancel it if it is not wanted."""
        job_id, attempt = assignment
        entry = self.jobs.get(job_id)
        if worker.assigned.get(job_id) == attempt:
            return
        if entry and entry.state is JobState.QUEUED and entry.is_current(attempt):
            # The worker was thought lost, and no other one has started the job.
            self._record(AttemptStarted(job_id, attempt, worker.info.worker_id))
            return
        self.workers.set_zombies(worker, worker.zombies | {assignment})
        self._order(Cancel(worker.info.worker_id, worker.info.incarnation, *assignment))

    def _seen(self, event: WorkerSeen, now: float) -> None:
        worker = self._connected(event.worker_id, event.incarnation)
        if worker is None:
            self._order(Reregister(event.worker_id, event.incarnation))
            return
        self.workers.set_deadline(worker, now + self.timing.lease_s)
        if event.draining:
            self.workers.drain(worker)
        if event.assigned is not None and worker.zombies:
            self.workers.set_zombies(worker, worker.zombies & set(event.assigned))

    def _connected(self, worker_id: str, incarnation: str) -> WorkerEntry | None:
        worker = self.workers.get(worker_id)
        if worker and worker.connected and worker.info.incarnation == incarnation:
            return worker
        return None

    def _left(self, event: WorkerLeft, now: float) -> None:
        worker = self._connected(event.worker_id, event.incarnation)
        if worker is None:
            return
        for assignment in list(worker.assigned.items()):
            self._release(*assignment)
        self._record(WorkerChanged(WorkerState.LEFT, worker.info, event.reason))

    def _died(self, event: WorkerDied, now: float) -> None:
        worker = self._connected(event.worker_id, event.incarnation)
        if worker is not None:
            self.lose(worker, event.reason, now)

    def _disconnected(self, event: ConnectionLost, now: float) -> None:
        worker = self._connected(event.worker_id, event.incarnation)
        if worker is not None:
            soon = min(worker.deadline, now + self.timing.closed_s)
            self.workers.set_deadline(worker, soon)

    def _finished(self, event: AttemptFinished, now: float) -> None:
        result = event.result
        worker = self._connected(event.worker_id, event.incarnation)
        if worker:
            self.workers.set_deadline(worker, now + self.timing.lease_s)
            if worker.zombies:
                self._forget_zombie(worker, (result.job_id, result.attempt))
        entry = self.jobs.get(result.job_id)
        if entry and entry.is_current(result.attempt):
            final, outcome = True, result.outcome
            if isinstance(outcome, Failure):
                final, outcome = retry_decision(outcome, entry.failed, self._retry(entry))
            self._record(
                AttemptEnded(
                    result.job_id,
                    result.attempt,
                    event.evaluated_by or event.worker_id,
                    outcome,
                    final,
                    result.seconds,
                    result.started,
                    result.output,
                )
            )
            if worker and not event.evaluated_by:
                self._check_quarantine(worker, result.job_id, outcome)
        self._order(Acknowledge(event.worker_id, event.incarnation, result.job_id, result.attempt))

    def _check_quarantine(self, worker: WorkerEntry, job_id: int, outcome: Outcome) -> None:
        """Quarantine a worker on which all jobs crash while others succeed."""
        if not (isinstance(outcome, Failure) and outcome.kind is FailureKind.CRASH):
            worker.crashed_in_a_row.clear()
            worker.succeeded = True
            return
        worker.crashed_in_a_row.add(job_id)
        if not crashes_only_here(worker, self.workers.values()):
            return
        info, reason = worker.info, f"{QUARANTINE_AFTER} different jobs in a row crashed here"
        crashed = sorted(worker.crashed_in_a_row)
        still_open = [job_id for job_id in crashed if not self.jobs[job_id].state.settled]
        worker.crashed_in_a_row.clear()
        self._record(WorkerChanged(WorkerState.QUARANTINED, info, reason, still_open))
        self._order(ShutDown(info.worker_id, info.incarnation, drain=True, reason=reason))

    def _released(self, event: AttemptReleased, now: float) -> None:
        worker = self._connected(event.worker_id, event.incarnation)
        if worker is None:
            return
        assignment = (event.job_id, event.attempt)
        self._forget_zombie(worker, assignment)
        worker.recalled.discard(assignment)
        if worker.assigned.get(event.job_id) == event.attempt:
            self._release(*assignment)

    def _forget_zombie(self, worker: WorkerEntry, assignment: Assignment) -> None:
        if assignment in worker.zombies:
            self.workers.set_zombies(worker, worker.zombies - {assignment})

    def _reported(self, event: ProgressReported, now: float) -> None:
        entry = self.jobs.get(event.job_id)
        if entry and entry.accepts_report(event.attempt, event.step, event.loss):
            self._record(ReportReceived(event.job_id, event.attempt, event.step, event.loss))

    def _retry(self, entry: JobEntry) -> Retry:
        policy = self.workers.policy
        return self.retry if policy is None else policy.retry(entry.job, self.retry)

    def lose(self, worker: WorkerEntry, reason: str, now: float) -> None:
        """Give up a worker and its attempts."""
        worker_id = worker.info.worker_id
        for job_id, attempt in list(worker.assigned.items()):
            entry = self.jobs[job_id]
            lost = Failure(FailureKind.LOST, f"worker {worker_id}: {reason}")
            final, outcome = retry_decision(lost, entry.failed, self._retry(entry))
            self._record(AttemptEnded(job_id, attempt, worker_id, outcome, final))
            wait = backoff(entry.failed[FailureKind.LOST], self.timing.backoff_s)
            if wait and not final:
                self.jobs.delayed[job_id] = now + wait
        self._record(WorkerChanged(WorkerState.LOST, worker.info, reason))

    _HANDLERS: ClassVar[dict[type, Callable[[Any, Any, float], None]]] = {
        WorkerJoined: _joined,
        WorkerSeen: _seen,
        WorkerLeft: _left,
        WorkerDied: _died,
        ConnectionLost: _disconnected,
        AttemptFinished: _finished,
        AttemptReleased: _released,
        ProgressReported: _reported,
    }
