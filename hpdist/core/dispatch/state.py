"""Who runs what, and how often it is tried: a pure state machine.

Events go in with the time of their arrival; records and orders come out. `JobTable` and
`WorkerTable` hold the state, and `EventHandler` decides about events. Only `DispatchTables.apply`
changes the lasting state, by records, so that a replayed journal gives the state of the live run;
leases, connections and back-off belong to this process. The contents of jobs are not known here.

*A result counts only if the job is open, the attempt is its latest, and no result of it was
reported before.* A result that arrives late, twice or from a worker that was given up is
acknowledged, so that its sender stops, and has no effect.
"""

from __future__ import annotations

from hpdist.core.dispatch.assignment import attempts_to_recall, choose_worker, ready_jobs
from hpdist.core.dispatch.dispatch_tables import DispatchTables
from hpdist.core.dispatch.event_handler import EventHandler
from hpdist.core.dispatch.job_policy import JobPolicy
from hpdist.core.dispatch.worker_table import WorkerEntry
from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    Event,
    Record,
)
from hpdist.core.model.limits_and_timing import Retry, Timing
from hpdist.core.model.orders import (
    Cancel,
    Decision,
    Launch,
    Recall,
    ShutDown,
    StopEarly,
)
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure


class DispatchState:
    """The state machine of jobs and workers; one thread owns it.

    Parameters
    ----------
    retry
        How often each kind of failure is retried.
    timing
        Leases and back-off, in seconds.
    policy
        Decides about single jobs; see `JobPolicy`.

    Attributes
    ----------
    jobs, workers
        The tables, to be read in the owner's thread only.
    paused
        Whether a command has paused the start of attempts.
    """

    def __init__(
        self,
        retry: Retry | None = None,
        timing: Timing | None = None,
        policy: JobPolicy | None = None,
    ) -> None:
        self.retry = retry or Retry()
        self.timing = timing or Timing()
        self._tables = tables = DispatchTables(policy)
        self._events = EventHandler(tables, self.retry, self.timing)
        self.jobs = tables.jobs
        self.workers = tables.workers
        self._record = tables.record
        self._order = tables.order
        self._release = tables.release
        self._take = tables.take

    @property
    def paused(self) -> bool:
        """Whether a command has paused the start of attempts."""
        return self._tables.paused

    def apply(self, record: Record) -> None:
        """Apply a record, in a live run and on replay alike; see `DispatchTables.apply`."""
        self._tables.apply(record)

    def handle(self, event: Event, now: float) -> Decision:
        """Decide what follows from ``event``, which arrived at ``now`` (seconds, monotonic)."""
        self._events.handle(event, now)
        return self._take()

    # ------------------------------------------------------------------ time

    def next_deadline(self) -> float:
        """Return when `tick` or `assign` has to be called if no event arrives; inf for never."""
        delayed = self.jobs.delayed
        lease = self.workers.next_deadline()
        return min(lease, *delayed.values()) if delayed else lease

    def tick(self, now: float) -> Decision:
        """Give up the workers whose lease has expired, and end back-off that is over.

        To be called at `next_deadline`, after all events that have arrived: so a busy loop never
        gives up a worker whose message is waiting.
        """
        for worker in [each for each in self.workers.values() if each.deadline <= now]:
            silence = "gave no sign of life" if worker.connected else "never came back"
            self._events.lose(worker, f"{silence} within its lease", now)
        delayed = self.jobs.delayed
        for job_id in [job_id for job_id, at in delayed.items() if at <= now] if delayed else ():
            del delayed[job_id]
        return self._take()

    def extend_leases(self, now: float, grace_s: float) -> None:
        """Extend leases after a stall of the dispatcher; see `WorkerTable.extend_leases`."""
        self.workers.extend_leases(now, grace_s)

    def reconcile_workers(self, now: float, *, may_return: bool) -> Decision:
        """After a replay, wait one lease for the workers in the table, or give them up at once."""
        for worker in list(self.workers.values()):
            self.workers.connect(worker, connected=False)
            self.workers.set_deadline(worker, now + self.timing.lease_s)
            if not may_return:
                self._events.lose(worker, "it ended with the process that ran it", now)
        if not may_return:
            # Back-off is for workers that fail; these ended with the process.
            self.jobs.delayed.clear()
        return self._take()

    # ------------------------------------------------------------------ assignment

    def occupied(self, now: float) -> int:
        """Return how much of the workers' capacity is used, or will be by jobs that are ready.

        Jobs that no worker with free capacity may run do not count: they wait for another worker,
        and the free capacity is left for other jobs.
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
        """Whether a worker with free capacity may run a job."""
        entry, workers = self.jobs[job_id], self.workers
        return any(
            workers.may_run(entry, worker_id)
            for worker_id, each in workers.items()
            if each.room > 0
        )

    def assign(self, now: float) -> Decision:
        """Assign queued jobs to free slots, then to the queues of workers with prefetch."""
        # Repeated while jobs start: jobs pinned to one worker may hide jobs for others.
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

        With ``everything``, recall all attempts that have not started.
        """
        for worker, assignment in attempts_to_recall(
            self.jobs, self.workers, everything=everything
        ):
            worker.recalled.add(assignment)
            self._order(Recall(worker.info.worker_id, worker.info.incarnation, *assignment))
        return self._take()

    def withdraw(self, *, cancel: bool = True) -> Decision:
        """Queue all running jobs again, and cancel their attempts at the workers.

        Without ``cancel`` the attempts continue, and the next process may receive their results.
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
        """Settle an open job as cancelled, queued or running; a settled job is not changed."""
        entry = self.jobs[job_id]
        if not entry.state.settled:
            worker = self.workers.get(entry.worker_id or "")
            outcome = Failure(FailureKind.CANCELLED, reason)
            self._record(AttemptEnded(job_id, entry.attempt, entry.worker_id or "", outcome))
            if worker:
                # The slot is free when the worker has released the attempt.
                self.workers.set_zombies(worker, worker.zombies | {(job_id, entry.attempt)})
                info = worker.info
                self._order(Cancel(info.worker_id, info.incarnation, job_id, entry.attempt))
        return self._take()

    def stop_early(self, job_id: int) -> Decision:
        """Ask a running job to end early; has to be repeated, since the order may be lost."""
        entry = self.jobs[job_id]
        if worker := self.workers.get(entry.worker_id or ""):
            info = worker.info
            self._order(StopEarly(info.worker_id, info.incarnation, job_id, entry.attempt))
        return self._take()

    def shut_down_workers(
        self, *, drain: bool, reason: str, worker_id: str | None = None
    ) -> Decision:
        """Order all workers, or one of them, to shut down; they get no more attempts."""
        for worker in self.workers.values():
            if worker_id in (None, worker.info.worker_id):
                self.workers.drain(worker)
                info = worker.info
                self._order(ShutDown(info.worker_id, info.incarnation, drain=drain, reason=reason))
        return self._take()
