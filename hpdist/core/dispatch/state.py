"""Who runs what, and how often it is tried: a pure state machine.

Events go in with the time of their arrival; records and orders come out. `JobTable` and
`WorkerTable` hold the state. What lasts changes in `DispatchState.apply` alone, by records, so a
replayed journal gives the state that the live run had; leases, connections and back-off belong to
this process. What a job is about is not known here.

*A result counts only if the job is open, the attempt is its latest, and no result of it was
reported before.* Whatever else arrives late, twice or from a worker that was given up is
acknowledged, so that its sender stops, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from hpdist.core.dispatch.assignment import attempts_to_recall, choose_worker, ready_jobs
from hpdist.core.dispatch.job_policy import JobPolicy
from hpdist.core.dispatch.job_table import JobEntry, JobTable
from hpdist.core.dispatch.retry import (
    QUARANTINE_AFTER,
    backoff,
    crashes_only_here,
    retry_decision,
)
from hpdist.core.dispatch.transitions import JobEvent
from hpdist.core.dispatch.worker_table import WorkerEntry, WorkerTable
from hpdist.core.model.events import (
    Assignment,
    AttemptEnded,
    AttemptFinished,
    AttemptReleased,
    AttemptStarted,
    AttemptStoppedEarly,
    ConnectionLost,
    Controlled,
    Event,
    JobCreated,
    ProgressReported,
    Record,
    ReportReceived,
    WorkerChanged,
    WorkerDied,
    WorkerJoined,
    WorkerLeft,
    WorkerSeen,
)
from hpdist.core.model.orders import (
    Acknowledge,
    Cancel,
    Decision,
    Launch,
    Order,
    Recall,
    Registered,
    Reregister,
    ShutDown,
    StopEarly,
)
from hpdist.core.model.states import Command, WorkerState
from hpdist.core.model.values import (
    Failure,
    FailureKind,
    JobState,
    Outcome,
    Retry,
    Timing,
)


class DispatchState:
    """The state machine of jobs and workers; one thread owns it.

    Parameters
    ----------
    retry
        How often each kind of failure is tried again.
    timing
        Leases and back-off, in seconds.
    policy
        Decides about single jobs; see `JobPolicy`.

    Attributes
    ----------
    jobs, workers
        The tables, to be read by anybody in the owner's thread.
    paused
        Whether no attempt starts, by command.
    """

    def __init__(
        self,
        retry: Retry | None = None,
        timing: Timing | None = None,
        policy: JobPolicy | None = None,
    ) -> None:
        self.retry = retry or Retry()
        self.timing = timing or Timing()
        self.jobs = JobTable()
        self.workers = WorkerTable(policy)
        self.paused = False
        self._out = Decision()

    # ------------------------------------------------------------------ records

    def apply(self, record: Record) -> None:
        """Change what lasts, live and on replay alike.

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

    # ------------------------------------------------------------------ events

    def handle(self, event: Event, now: float) -> Decision:
        """Decide what follows from ``event``, which arrived at ``now`` (seconds, monotonic)."""
        self._HANDLERS[type(event)](self, event, now)
        return self._take()

    def _joined(self, event: WorkerJoined, now: float) -> None:
        info = event.worker
        worker = self.workers.get(info.worker_id)
        if worker and worker.info.incarnation != info.incarnation:
            self._lose(worker, "another process joined under its name", now)
            worker = None
        is_first = worker is None or not worker.connected
        if is_first:
            # A worker of before a restart is still in the table, with what is assigned to it.
            state = WorkerState.RETURNED if worker else WorkerState.JOINED
            self._record(WorkerChanged(state, info))
        worker = self.workers[info.worker_id]
        self.workers.connect(worker)
        self.workers.set_deadline(worker, now + self.timing.lease_s)
        self._order(Registered(info.worker_id, info.incarnation))
        for assignment in event.assigned:
            self._reconcile(worker, assignment)
        if is_first:
            # Its first message to this process is complete: what the table says is assigned and
            # the worker does not have was never delivered.
            for assignment in set(worker.assigned.items()) - set(event.assigned):
                self._release(*assignment)

    def _reconcile(self, worker: WorkerEntry, assignment: Assignment) -> None:
        """Take up an attempt that a worker has, or have it cancelled if it is not wanted."""
        job_id, attempt = assignment
        entry = self.jobs.get(job_id)
        if worker.assigned.get(job_id) == attempt:
            return
        if entry and entry.state is JobState.QUEUED and entry.is_current(attempt):
            # The worker was thought lost, and nobody has started the job anew.
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
            self._lose(worker, event.reason, now)

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
                self._judge_worker(worker, result.job_id, outcome)
        self._order(Acknowledge(event.worker_id, event.incarnation, result.job_id, result.attempt))

    def _judge_worker(self, worker: WorkerEntry, job_id: int, outcome: Outcome) -> None:
        """Quarantine a worker on which everything crashes while others succeed."""
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

    # ------------------------------------------------------------------ time

    def next_deadline(self) -> float:
        """When `tick` or `assign` has something to do if nothing happens; inf for never."""
        delayed = self.jobs.delayed
        lease = self.workers.next_deadline()
        return min(lease, *delayed.values()) if delayed else lease

    def tick(self, now: float) -> Decision:
        """Give up the workers whose lease has run out, and forget back-off that is over.

        To be called at `next_deadline`, when every event that has arrived is handled, so that a
        busy loop never takes a worker for silent whose message is waiting.
        """
        for worker in [each for each in self.workers.values() if each.deadline <= now]:
            silence = "gave no sign of life" if worker.connected else "never came back"
            self._lose(worker, f"{silence} within its lease", now)
        delayed = self.jobs.delayed
        for job_id in [job_id for job_id, at in delayed.items() if at <= now] if delayed else ():
            del delayed[job_id]
        return self._take()

    def extend_leases(self, now: float, grace_s: float) -> None:
        """Give workers time to be heard after a stall; see `WorkerTable.extend_leases`."""
        self.workers.extend_leases(now, grace_s)

    def reconcile_workers(self, now: float, *, may_return: bool) -> Decision:
        """After a replay: wait one lease for the workers of before, or give them up at once."""
        for worker in list(self.workers.values()):
            self.workers.connect(worker, connected=False)
            self.workers.set_deadline(worker, now + self.timing.lease_s)
            if not may_return:
                self._lose(worker, "it ended with the process that ran it", now)
        if not may_return:
            # Back-off is for workers that fail; these ended with the process.
            self.jobs.delayed.clear()
        return self._take()

    def _retry(self, entry: JobEntry) -> Retry:
        policy = self.workers.policy
        return self.retry if policy is None else policy.retry(entry.job, self.retry)

    def _lose(self, worker: WorkerEntry, reason: str, now: float) -> None:
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

    # ------------------------------------------------------------------ assignment

    def occupied(self, now: float) -> int:
        """How much of the workers' capacity is taken, or will be by jobs that are ready.

        Jobs that no worker with room may run are left out: what they wait for is another worker,
        and the room is there for other jobs.
        """
        jobs = self.jobs
        waiting = sum(at > now for at in jobs.delayed.values()) if jobs.delayed else 0
        # Without a policy only a job that has crashed may not run everywhere.
        selected = jobs.crashed if self.workers.policy is None else jobs.queue
        if selected and self.workers.free:
            ready = [job_id for job_id in selected if jobs.delayed.get(job_id, now) <= now]
            waiting += sum(not self._has_room(job_id) for job_id in ready)
        return self.workers.load + len(jobs.queue) - waiting

    def _has_room(self, job_id: int) -> bool:
        """Whether some worker with room may run a job."""
        entry, workers = self.jobs[job_id], self.workers
        return any(
            workers.may_run(entry, worker_id)
            for worker_id, each in workers.items()
            if each.room > 0
        )

    def assign(self, now: float) -> Decision:
        """Assign queued jobs: to free slots where there are some, else ahead of their start."""
        # Again while it helps: jobs pinned to one worker may hide what others could run.
        while not self.paused and self.jobs.queue and self.workers.free and self._assign(now):
            pass
        return self._take()

    def _assign(self, now: float) -> bool:
        launched = False
        for job_id in ready_jobs(self.jobs, self.workers, now):
            worker = choose_worker(self.workers, self.jobs[job_id])
            if worker is not None:
                self._launch(job_id, worker)
                launched = True
        return launched

    def _launch(self, job_id: int, worker: WorkerEntry) -> None:
        info, attempt = worker.info, self.jobs[job_id].attempt + 1
        self._record(AttemptStarted(job_id, attempt, info.worker_id))
        self._order(Launch(info.worker_id, info.incarnation, job_id, attempt))

    def recall(self, *, everything: bool = False) -> Decision:
        """Recall attempts that wait behind others while some worker has a free slot.

        With ``everything``: all that were assigned ahead and have not started.
        """
        for worker, assignment in attempts_to_recall(
            self.jobs, self.workers, everything=everything
        ):
            worker.recalled.add(assignment)
            self._order(Recall(worker.info.worker_id, worker.info.incarnation, *assignment))
        return self._take()

    def withdraw(self, *, cancel: bool = True) -> Decision:
        """Queue all running jobs again, and cancel their attempts at the workers.

        Without ``cancel`` the attempts go on, and the next process may receive their results.
        """
        for worker in self.workers.values():
            for assignment in list(worker.assigned.items()):
                self._release(*assignment)
                self.workers.set_zombies(worker, worker.zombies | {assignment})
                if cancel:
                    info = worker.info
                    self._order(Cancel(info.worker_id, info.incarnation, *assignment))
        return self._take()

    def cancel(self, job_id: int, reason: str) -> Decision:
        """Settle an open job as cancelled, wherever it is; a settled one stays as it is."""
        entry = self.jobs[job_id]
        if not entry.state.settled:
            worker = self.workers.get(entry.worker_id or "")
            outcome = Failure(FailureKind.CANCELLED, reason)
            self._record(AttemptEnded(job_id, entry.attempt, entry.worker_id or "", outcome))
            if worker:
                # Its slot is free when it has said so.
                self.workers.set_zombies(worker, worker.zombies | {(job_id, entry.attempt)})
                info = worker.info
                self._order(Cancel(info.worker_id, info.incarnation, job_id, entry.attempt))
        return self._take()

    def stop_early(self, job_id: int) -> Decision:
        """Ask a running job to end early; to be repeated, since the order may be lost."""
        entry = self.jobs[job_id]
        if worker := self.workers.get(entry.worker_id or ""):
            info = worker.info
            self._order(StopEarly(info.worker_id, info.incarnation, job_id, entry.attempt))
        return self._take()

    def shut_down_workers(
        self, *, drain: bool, reason: str, worker_id: str | None = None
    ) -> Decision:
        """Order all workers, or one of them, to shut down; they are assigned nothing more."""
        for worker in self.workers.values():
            if worker_id in (None, worker.info.worker_id):
                self.workers.drain(worker)
                info = worker.info
                self._order(ShutDown(info.worker_id, info.incarnation, drain=drain, reason=reason))
        return self._take()

    # ------------------------------------------------------------------ within

    def _release(self, job_id: int, attempt: int) -> None:
        """Queue a job again whose attempt ends undone, which counts against nobody."""
        worker_id = self.jobs[job_id].worker_id or ""
        self._record(AttemptEnded(job_id, attempt, worker_id, None, final=False))

    def _record(self, record: Record) -> None:
        self.apply(record)
        self._out.records.append(record)

    def _order(self, order: Order) -> None:
        self._out.orders.append(order)

    def _take(self) -> Decision:
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
