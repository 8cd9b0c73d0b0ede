"""Which job goes to which worker, and what is asked back: read-only looks at the book."""

from __future__ import annotations

from itertools import islice

from hpdist.core.dispatch.tables import DispatchBook, JobEntry, WorkerEntry
from hpdist.core.model.events import Assignment


def ready_jobs(book: DispatchBook, now: float) -> list[int]:
    """The queued jobs to hand out at ``now``, in order: as many as there are free places."""
    room = {worker_id: worker.room for worker_id, worker in book.workers.items() if worker.room > 0}
    if not room:
        return []
    placeable = (
        job_id
        for job_id in book.queue
        if book.delayed.get(job_id, now) <= now
        and any(book.may_run(book.jobs[job_id], worker_id) for worker_id in room)
    )
    return list(islice(placeable, sum(room.values())))


def choose_worker(book: DispatchBook, entry: JobEntry) -> WorkerEntry | None:
    """Prefer a free slot to a place behind others, and a worker not to be avoided."""
    best: tuple[bool, bool, int] | None = None
    chosen = None
    for worker_id, worker in book.workers.items():
        if worker.room <= 0 or not book.may_run(entry, worker_id):
            continue
        rank = (worker.load >= worker.info.slots, worker_id == entry.avoid, worker.load)
        if best is None or rank < best:
            best, chosen = rank, worker
    return chosen


def to_recall(book: DispatchBook, *, everything: bool) -> list[tuple[WorkerEntry, Assignment]]:
    """Attempts behind others in some worker's hands that a free slot elsewhere could begin."""
    ahead = [worker for worker in book.workers.values() if worker.info.prefetch]
    waiting = [
        (worker, held)
        for worker in ahead
        for held in reversed(list(worker.holds.items())[worker.info.slots :])
        if held not in worker.recalled
    ]
    if everything:
        return waiting
    if book.queue:
        return []
    idle = {
        worker_id: worker.info.slots - worker.load
        for worker_id, worker in book.workers.items()
        if worker.available and worker.load < worker.info.slots
    }
    asked = sum(len(worker.recalled & set(worker.holds.items())) for worker in ahead)
    # Only what one of them may run: anything else would come back to where it waits now.
    useful = [
        (worker, held)
        for worker, held in waiting
        if any(book.may_run(book.jobs[held[0]], worker_id) for worker_id in idle)
    ]
    return useful[: max(0, sum(idle.values()) - asked)]
