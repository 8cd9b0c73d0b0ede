"""Who runs what, and how often to try: a pure state machine.

Events go in with the time of their arrival; records and orders come out. What lasts is in the
book (`dispatch_book`) and changes by records only. What a job is about is not known here.

*An attempt's result is honoured only if the job is open, the attempt is its latest, and nothing was
told of it before.* All else that arrives late, twice or from the dead is acknowledged, so that its
sender stops, and changes nothing.
"""

from __future__ import annotations

from hpdist.core.dispatch.assignment import choose_worker, ready_jobs, to_recall
from hpdist.core.dispatch.retry import QUARANTINE_AFTER, backoff, retry_decision
from hpdist.core.dispatch.tables import DispatchBook, WorkerEntry
from hpdist.core.model.events import (
    Assignment,
    AttemptEnded,
    AttemptFinished,
    AttemptReleased,
    AttemptStarted,
    ConnectionLost,
    Event,
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
from hpdist.core.model.values import Failure, FailureKind, JobState, Outcome, Retry, Timing


class DispatchState(DispatchBook):
    """The machine that keeps the book of jobs and workers; one thread owns it.

    Parameters
    ----------
    retry
        How often each kind of failure is tried again.
    timing
        Leases and back-off, in seconds.
    """

    def __init__(self, retry: Retry | None = None, timing: Timing | None = None) -> None:
        super().__init__()
        self.retry = retry or Retry()
        self.timing = timing or Timing()
        self._out = Decision()

    # ------------------------------------------------------------------ what happened

    def handle(self, event: Event, now: float) -> Decision:
        """Take notice of ``event``, which arrived at ``now`` (seconds, monotonic)."""
        handler = {
            WorkerJoined: self._joined,
            WorkerSeen: self._seen,
            WorkerLeft: self._left,
            WorkerDied: self._died,
            ConnectionLost: self._disconnected,
            AttemptFinished: self._finished,
            AttemptReleased: self._released,
            ProgressReported: self._reported,
        }[type(event)]
        handler(event, now)  # type: ignore[operator]
        return self._take()

    def _joined(self, event: WorkerJoined, now: float) -> None:
        info = event.worker
        known = self.workers.get(info.worker_id)
        if known and known.info.incarnation != info.incarnation:
            self._lose(known, "another process joined under its name", now)
            known = None
        fresh = known is None or not known.connected
        if fresh:
            # A worker of before a restart keeps its place in the book, and what it holds.
            self._record(WorkerChanged("returned" if known else "joined", info))
        known = self.workers[info.worker_id]
        known.connected = True
        known.deadline = now + self.timing.lease_s
        self._order(Registered(info.worker_id, info.incarnation))
        for held in event.holds:
            self._readopt(known, held)
        if fresh:
            # The first word since this process began is the whole truth: what the book says
            # and the worker does not was never delivered.
            for held in set(known.holds.items()) - set(event.holds):
                self._give_back(*held)

    def _readopt(self, worker: WorkerEntry, held: Assignment) -> None:
        job_id, attempt = held
        entry = self.jobs.get(job_id)
        if worker.holds.get(job_id) == attempt:
            return
        if entry and entry.state is JobState.QUEUED and entry.is_current(attempt):
            self._record(AttemptStarted(job_id, attempt, worker.info.worker_id))
            return
        worker.zombies.add(held)
        self._order(Cancel(worker.info.worker_id, worker.info.incarnation, *held))

    def _seen(self, event: WorkerSeen, now: float) -> None:
        worker = self._connected(event.worker_id, event.incarnation)
        if worker is None:
            self._order(Reregister(event.worker_id, event.incarnation))
            return
        worker.deadline = now + self.timing.lease_s
        worker.leaving = worker.leaving or event.leaving
        if event.holds is not None:
            worker.zombies &= set(event.holds)

    def _connected(self, worker_id: str, incarnation: str) -> WorkerEntry | None:
        worker = self.workers.get(worker_id)
        if worker and worker.connected and worker.info.incarnation == incarnation:
            return worker
        return None

    def _left(self, event: WorkerLeft, now: float) -> None:
        worker = self._connected(event.worker_id, event.incarnation)
        if worker is None:
            return
        for held in list(worker.holds.items()):
            self._give_back(*held)
        self._record(WorkerChanged("left", worker.info, event.reason))

    def _died(self, event: WorkerDied, now: float) -> None:
        worker = self._connected(event.worker_id, event.incarnation)
        if worker is not None:
            self._lose(worker, event.reason, now)

    def _disconnected(self, event: ConnectionLost, now: float) -> None:
        worker = self._connected(event.worker_id, event.incarnation)
        if worker is not None:
            worker.deadline = min(worker.deadline, now + self.timing.closed_s)

    def _finished(self, event: AttemptFinished, now: float) -> None:
        result = event.result
        worker = self._connected(event.worker_id, event.incarnation)
        if worker:
            worker.deadline = now + self.timing.lease_s
            worker.zombies.discard((result.job_id, result.attempt))
        entry = self.jobs.get(result.job_id)
        if entry and entry.is_current(result.attempt):
            final, outcome = retry_decision(result.outcome, entry.failed, self.retry)
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
                self._judge(worker, result.job_id, outcome)
        self._order(Acknowledge(event.worker_id, event.incarnation, result.job_id, result.attempt))

    def _judge(self, worker: WorkerEntry, job_id: int, outcome: Outcome) -> None:
        """Put a worker aside on which everything crashes while others get on well."""
        if not (isinstance(outcome, Failure) and outcome.kind is FailureKind.CRASH):
            worker.crashed_in_a_row.clear()
            worker.succeeded = True
            return
        worker.crashed_in_a_row.add(job_id)
        others_do_well = any(
            other.succeeded and not other.crashed_in_a_row and other.available
            for other in self.workers.values()
            if other is not worker
        )
        if len(worker.crashed_in_a_row) < QUARANTINE_AFTER or not others_do_well:
            return
        info, reason = worker.info, f"{QUARANTINE_AFTER} different jobs in a row crashed here"
        open_ones = [
            job_id
            for job_id in sorted(worker.crashed_in_a_row)
            if not self.jobs[job_id].state.settled
        ]
        worker.crashed_in_a_row.clear()
        self._record(WorkerChanged("quarantined", info, reason, open_ones))
        self._order(ShutDown(info.worker_id, info.incarnation, drain=True, reason=reason))

    def _released(self, event: AttemptReleased, now: float) -> None:
        worker = self._connected(event.worker_id, event.incarnation)
        if worker is None:
            return
        held = (event.job_id, event.attempt)
        worker.zombies.discard(held)
        worker.recalled.discard(held)
        if worker.holds.get(event.job_id) == event.attempt:
            self._give_back(*held)

    def _reported(self, event: ProgressReported, now: float) -> None:
        entry = self.jobs.get(event.job_id)
        if entry and entry.takes_report(event.attempt, event.step, event.loss):
            self._record(ReportReceived(event.job_id, event.attempt, event.step, event.loss))

    # ------------------------------------------------------------------ what time brings

    def tick(self, now: float) -> Decision:
        """Give up the workers whose lease has run out, and forget back-off that is over.

        To be called when every event that has arrived is handled, so that a busy owner never
        takes a worker for silent whose word is waiting.
        """
        for worker in [w for w in self.workers.values() if w.deadline <= now]:
            silent = "never came back" if not worker.connected else "gave no sign of life"
            self._lose(worker, f"{silent} within its lease", now)
        self.delayed = {job_id: at for job_id, at in self.delayed.items() if at > now}
        return self._take()

    def reconcile_workers(self, now: float, *, may_return: bool) -> Decision:
        """After a replay: wait one lease for the workers of before, or give them up at once."""
        for worker in list(self.workers.values()):
            worker.connected = False
            worker.deadline = now + self.timing.lease_s
            if not may_return:
                self._lose(worker, "it ended with the process that ran it", now)
        if not may_return:
            self.delayed.clear()  # back-off is for workers that fail; these were ended from outside
        return self._take()

    def _lose(self, worker: WorkerEntry, reason: str, now: float) -> None:
        worker_id = worker.info.worker_id
        for job_id, attempt in list(worker.holds.items()):
            entry = self.jobs[job_id]
            lost = Failure(FailureKind.LOST, f"worker {worker_id}: {reason}")
            final, outcome = retry_decision(lost, entry.failed, self.retry)
            self._record(AttemptEnded(job_id, attempt, worker_id, outcome, final))
            losses = entry.failed[FailureKind.LOST]
            wait = backoff(losses, self.timing.backoff_s)
            if wait and not final:
                self.delayed[job_id] = now + wait
        self._record(WorkerChanged("lost", worker.info, reason))

    # ------------------------------------------------------------------ what to do next

    def assign(self, now: float) -> Decision:
        """Hand queued jobs to free workers: begun at once where a slot is free, else ahead."""
        # Again while it helps: jobs pinned to one worker may hide what others could run.
        while not self.paused and self._hand_out(now):
            pass
        return self._take()

    def _hand_out(self, now: float) -> bool:
        launched = False
        for job_id in ready_jobs(self, now):
            worker = choose_worker(self, self.jobs[job_id])
            if worker is not None:
                self._launch(job_id, worker)
                launched = True
        return launched

    def _launch(self, job_id: int, worker: WorkerEntry) -> None:
        info, attempt = worker.info, self.jobs[job_id].attempt + 1
        self._record(AttemptStarted(job_id, attempt, info.worker_id))
        self._order(Launch(info.worker_id, info.incarnation, job_id, attempt))

    def recall(self, *, everything: bool = False) -> Decision:
        """Ask back attempts that wait behind others while some worker has a free slot.

        With ``everything``: all that were handed out ahead and have not begun.
        """
        for worker, held in to_recall(self, everything=everything):
            worker.recalled.add(held)
            self._order(Recall(worker.info.worker_id, worker.info.incarnation, *held))
        return self._take()

    def withdraw(self, *, cancel: bool = True) -> Decision:
        """Take back all that runs: queued in the book, and cancelled at the workers.

        Without ``cancel`` they go on, and may hand in their results to the next process.
        """
        for worker in self.workers.values():
            for held in list(worker.holds.items()):
                self._give_back(*held)
                worker.zombies.add(held)
                if cancel:
                    self._order(Cancel(worker.info.worker_id, worker.info.incarnation, *held))
        return self._take()

    def cancel(self, job_id: int, reason: str) -> Decision:
        """Settle an open job as cancelled, wherever it is; a settled one stays as it is."""
        entry = self._entry(job_id)
        if not entry.state.settled:
            worker = self.workers.get(entry.worker_id or "")
            outcome = Failure(FailureKind.CANCELLED, reason)
            self._record(AttemptEnded(job_id, entry.attempt, entry.worker_id or "", outcome))
            if worker:
                worker.zombies.add((job_id, entry.attempt))
                info = worker.info
                self._order(Cancel(info.worker_id, info.incarnation, job_id, entry.attempt))
        return self._take()

    def stop_early(self, job_id: int) -> Decision:
        """Ask a running job to end early; again each time, since the asking may have been lost."""
        entry = self._entry(job_id)
        if worker := self.workers.get(entry.worker_id or ""):
            name = worker.info.worker_id, worker.info.incarnation
            self._order(StopEarly(*name, job_id, entry.attempt))
        return self._take()

    def shut_down_workers(
        self, *, drain: bool, reason: str, worker_id: str | None = None
    ) -> Decision:
        """Send all workers home, or one of them."""
        for worker in self.workers.values():
            if worker_id in (None, worker.info.worker_id):
                worker.leaving = True
                info = worker.info
                self._order(ShutDown(info.worker_id, info.incarnation, drain=drain, reason=reason))
        return self._take()

    # ------------------------------------------------------------------ within

    def _give_back(self, job_id: int, attempt: int) -> None:
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
