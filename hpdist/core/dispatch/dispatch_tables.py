"""The tables of jobs and workers, the method that changes them, and the pending decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from hpdist.core.dispatch.job_policy import JobPolicy
from hpdist.core.dispatch.job_table import JobTable
from hpdist.core.dispatch.transitions import JobEvent
from hpdist.core.dispatch.worker_table import WorkerTable
from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    AttemptStoppedEarly,
    Controlled,
    JobCreated,
    Record,
    ReportReceived,
    WorkerChanged,
)
from hpdist.core.model.orders import (
    Decision,
    Order,
)
from hpdist.core.model.states import Command, FailureKind


class DispatchTables:
    """Jobs and workers as built from the records, and the pending decision about them.

    Attributes
    ----------
    jobs, workers
        The tables.
    paused
        Whether a command has paused the start of attempts.
    """

    def __init__(self, policy: JobPolicy | None = None) -> None:
        self.jobs = JobTable()
        self.workers = WorkerTable(policy)
        self.paused = False
        self._out = Decision()

    def apply(self, record: Record) -> None:
        """Apply a record to the tables, in a live run and on replay alike.

        Raises
        ------
        StateError
            If the record cannot follow from this state: a bug, or a malformed journal.
        """
        if (applier := self._APPLIERS.get(type(record))) is not None:
            applier(self, record)

    def _apply_created(self, record: JobCreated) -> None:
        self.jobs.create(record.job)

    def _apply_started(self, record: AttemptStarted) -> None:
        worker = self.workers[record.worker_id]  # raises before anything has changed
        self.jobs.start(record)
        self.workers.assign(worker, record.job_id, record.attempt)

    def _apply_ended(self, record: AttemptEnded) -> None:
        worker_id = self.jobs.end(record)
        if worker_id is not None:
            self.workers.unassign(worker_id, record.job_id)

    def _apply_report(self, record: ReportReceived) -> None:
        self.jobs.note(record.job_id, JobEvent.REPORTED, record.attempt)

    def _apply_early_stop(self, record: AttemptStoppedEarly) -> None:
        self.jobs.note(record.job_id, JobEvent.STOPPED_EARLY, record.attempt).stopped_early = True

    def _apply_worker(self, record: WorkerChanged) -> None:
        self.workers.change(record)
        for job_id in record.forgiven:
            self.jobs[job_id].failed[FailureKind.CRASH] -= 1

    def _apply_control(self, record: Controlled) -> None:
        if record.command in (Command.PAUSE, Command.RESUME):
            self.paused = record.command == Command.PAUSE

    # ------------------------------------------------------------------ decisions

    def record(self, record: Record) -> None:
        """Add a record to the decision, and apply it at once."""
        self.apply(record)
        self._out.records.append(record)

    def order(self, order: Order) -> None:
        """Add an order to the decision."""
        self._out.orders.append(order)

    def release(self, job_id: int, attempt: int) -> None:
        """Queue a job again whose attempt ends unfinished, which does not count as a failure."""
        worker_id = self.jobs[job_id].worker_id or ""
        self.record(AttemptEnded(job_id, attempt, worker_id, None, final=False))

    def take(self) -> Decision:
        """Return the decision since the last call."""
        out, self._out = self._out, Decision()
        return out

    _APPLIERS: ClassVar[dict[type, Callable[[Any, Any], None]]] = {
        JobCreated: _apply_created,
        AttemptStarted: _apply_started,
        AttemptEnded: _apply_ended,
        ReportReceived: _apply_report,
        AttemptStoppedEarly: _apply_early_stop,
        WorkerChanged: _apply_worker,
        Controlled: _apply_control,
    }
