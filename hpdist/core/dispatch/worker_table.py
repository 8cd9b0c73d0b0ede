"""The workers of a run: what is assigned to each, and how long it may be silent.

Sums over all workers are updated with each change, so that reading them costs the same for any
number of workers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import inf

from hpdist.core.dispatch.job_policy import JobPolicy
from hpdist.core.dispatch.job_table import JobEntry
from hpdist.core.dispatch.transitions import HISTORY_LENGTH, WORKER_TRANSITIONS, illegal
from hpdist.core.model.errors import StateError
from hpdist.core.model.events import Assignment, WorkerChanged
from hpdist.core.model.states import WorkerState
from hpdist.core.model.values import WorkerInfo

#: Seconds after the end of a lease within which it should have been detected.
LATE_S = 0.2

#: A heap of deadlines is rebuilt when it has this many entries per worker.
_MAX_STALE = 8


@dataclass
class WorkerEntry:
    """A worker, the attempts that are assigned to it, and its lease.

    ``assigned`` maps job to attempt in the order of assignment; ``zombies`` are attempts that are
    no longer wanted, but may still run there. Both change through the table, which
    derives ``available``, ``load`` and ``room`` from them.
    """

    info: WorkerInfo
    state: WorkerState = WorkerState.JOINED
    deadline: float = inf
    extended_to: float = inf  #: the deadline that was set after a stall of the dispatcher
    connected: bool = False
    draining: bool = False
    assigned: dict[int, int] = field(default_factory=dict)
    zombies: set[Assignment] = field(default_factory=set)
    recalled: set[Assignment] = field(default_factory=set)
    crashed_in_a_row: set[int] = field(default_factory=set)
    succeeded: bool = False
    available: bool = False  #: connected, and not draining
    load: int = 0  #: attempts, zombies included
    room: int = 0  #: how many more attempts it may be assigned
    history: list[str] = field(default_factory=list, repr=False)  #: the latest changes


class WorkerTable(dict[str, WorkerEntry]):
    """Workers by their ids.

    Attributes
    ----------
    policy
        Decides which worker may run jobs that are pinned to none; None: each may.
    running
        Number of attempts that are assigned.
    capacity
        Number of attempts that the available workers can run or queue.
    load
        Number of attempts that they run or queue.
    free
        Number of attempts that they can get in addition.
    """

    def __init__(self, policy: JobPolicy | None = None) -> None:
        super().__init__()
        self.policy = policy
        self.running = self.capacity = self.load = self.free = 0
        self._deadlines: list[tuple[float, str]] = []

    def __missing__(self, worker_id: str) -> WorkerEntry:
        raise StateError(f"worker {worker_id} is not registered")

    # ------------------------------------------------------------------ by records

    def change(self, record: WorkerChanged) -> None:
        """Record the new state of a worker."""
        worker_id = record.worker.worker_id
        worker = self.get(worker_id)
        state = WORKER_TRANSITIONS.get((worker.state if worker else None, record.state))
        if state is None:
            raise self._illegal(record, worker)
        if worker is None:
            worker = self[worker_id] = WorkerEntry(record.worker)
        worker.info = record.worker
        worker.state = state
        worker.history = [*worker.history[1 - HISTORY_LENGTH :], f"{record.state} {record.reason}"]
        if state is WorkerState.QUARANTINED:
            worker.draining = True
        elif state is not WorkerState.JOINED:
            worker.connected = False
        self._recount(worker)
        if state in (WorkerState.LEFT, WorkerState.LOST):
            del self[worker_id]

    def assign(self, worker: WorkerEntry, job_id: int, attempt: int) -> None:
        """Record that an attempt is assigned to a worker."""
        worker.assigned[job_id] = attempt
        self.running += 1
        self._recount(worker)

    def unassign(self, worker_id: str, job_id: int) -> None:
        """Record that a worker's attempt at a job has ended."""
        worker = self[worker_id]
        del worker.assigned[job_id]
        self.running -= 1
        self._recount(worker)

    # ------------------------------------------------------------------ of this process alone

    def connect(self, worker: WorkerEntry, *, connected: bool = True) -> None:
        """Record whether a worker is connected to this process."""
        worker.connected = connected
        self._recount(worker)

    def drain(self, worker: WorkerEntry) -> None:
        """Record that a worker gets no more attempts."""
        worker.draining = True
        self._recount(worker)

    def set_zombies(self, worker: WorkerEntry, zombies: Iterable[Assignment]) -> None:
        """Record which unwanted attempts a worker may still run."""
        worker.zombies = set(zombies)
        self._recount(worker)

    def set_deadline(self, worker: WorkerEntry, at: float) -> None:
        """Set the time at which a worker is given up unless a message arrives before."""
        worker.deadline = at
        heap = self._deadlines
        heappush(heap, (at, worker.info.worker_id))
        if len(heap) > _MAX_STALE * len(self) + _MAX_STALE:
            # A worker that reports often leaves entries behind while another's lease is long.
            heap[:] = [(each.deadline, worker_id) for worker_id, each in self.items()]
            heapify(heap)

    def next_deadline(self) -> float:
        """Return when the first lease runs out; inf for never."""
        heap = self._deadlines
        while heap:
            at, worker_id = heap[0]
            worker = self.get(worker_id)
            if worker is not None and worker.deadline == at:
                return at
            heappop(heap)  # the lease was renewed, or the worker has left
        return inf

    def extend_leases(self, now: float, grace_s: float) -> None:
        """Extend leases that expired some time ago by ``grace_s`` seconds, once.

        Leases are checked when they expire. If the check is late, the dispatcher's process was
        stopped or busy, and messages of its workers may not have been read yet.
        """
        for worker in self.values():
            if now - worker.deadline > LATE_S and worker.deadline != worker.extended_to:
                worker.extended_to = now + grace_s
                self.set_deadline(worker, now + grace_s)

    # ------------------------------------------------------------------ questions

    def may_run(self, entry: JobEntry, worker_id: str) -> bool:
        """Whether a job may be assigned to this worker, with or without free capacity.

        A job that has just crashed here may not while another worker is available, even a busy
        one: a node on which all jobs crash would use up all its attempts.
        """
        if entry.job.worker is not None:
            return entry.job.worker == worker_id
        if self.policy is not None and not self.policy.may_run(entry.job, self[worker_id].info):
            return False
        if entry.crashed_at != worker_id:
            return True
        return not any(each.available for other, each in self.items() if other != worker_id)

    # ------------------------------------------------------------------ internal

    def _recount(self, worker: WorkerEntry) -> None:
        """Update a worker's load and room and the sums over all workers."""
        if worker.available:  # as it was counted before
            self.capacity -= worker.load + worker.room
            self.load -= worker.load
            self.free -= max(worker.room, 0)
        worker.available = worker.connected and not worker.draining
        worker.load = len(worker.assigned) + len(worker.zombies)
        worker.room = 0
        if worker.available:
            worker.room = worker.info.slots + worker.info.prefetch - worker.load
            self.capacity += worker.load + worker.room
            self.load += worker.load
            self.free += max(worker.room, 0)

    def _illegal(self, record: WorkerChanged, worker: WorkerEntry | None) -> StateError:
        state = worker.state if worker else "not registered"
        history = worker.history if worker else ()
        return illegal(str(record.state), f"worker {record.worker.worker_id}", state, history)
