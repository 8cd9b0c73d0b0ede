"""Which job is assigned to which worker, and what is recalled: pure functions of the tables."""

from __future__ import annotations

from operator import attrgetter

from hpdist.core.dispatch.job_table import JobEntry, JobTable
from hpdist.core.dispatch.worker_table import WorkerEntry, WorkerTable
from hpdist.core.model.events import Assignment


def ready_jobs(jobs: JobTable, workers: WorkerTable, now: float) -> list[int]:
    """Return the queued jobs to assign at ``now``, in order, up to the free capacity."""
    with_room = [worker_id for worker_id, worker in workers.items() if worker.room > 0]
    ready: list[int] = []
    for job_id in jobs.queue:
        if len(ready) == workers.free:
            break
        if jobs.delayed and jobs.delayed.get(job_id, now) > now:
            continue
        entry = jobs[job_id]
        for worker_id in with_room:
            if workers.may_run(entry, worker_id):
                ready.append(job_id)
                break
    return ready


def choose_worker(workers: WorkerTable, entry: JobEntry) -> WorkerEntry | None:
    """Return the worker for a job; None if no worker with free capacity may run it.

    A policy chooses between workers that are equal except for their load.
    """
    best: tuple[bool, bool] | None = None
    equal: list[WorkerEntry] = []
    for worker_id, worker in workers.items():
        if worker.room <= 0 or not workers.may_run(entry, worker_id):
            continue
        # A free slot is preferred to the queue of a worker, even where the job failed before;
        # then a worker where it has not failed; then the worker with the lowest load.
        rank = (worker.load >= worker.info.slots, worker_id == entry.avoid)
        if best is None or rank < best:
            best, equal = rank, [worker]
        elif rank == best:
            equal.append(worker)
    if not equal:
        return None
    equal.sort(key=attrgetter("load"))
    if workers.policy is None or entry.job.worker is not None:
        return equal[0]
    return workers[workers.policy.choose(entry.job, [each.info.worker_id for each in equal])]


def attempts_to_recall(
    jobs: JobTable, workers: WorkerTable, *, everything: bool
) -> list[tuple[WorkerEntry, Assignment]]:
    """Return attempts that are queued at their worker and could start on another one now."""
    ahead = [worker for worker in workers.values() if worker.info.prefetch]
    waiting = [
        (worker, assignment)
        for worker in ahead
        # The last to be assigned would be the last to start.
        for assignment in reversed(list(worker.assigned.items())[worker.info.slots :])
        if assignment not in worker.recalled
    ]
    if everything:
        return waiting
    if jobs.queue or not waiting:
        return []  # queued jobs get the free slots first
    idle = {
        worker_id: worker.info.slots - worker.load
        for worker_id, worker in workers.items()
        if worker.available and worker.load < worker.info.slots
    }
    # Recalled before and not released yet: they will occupy slots as well.
    expected = sum(len(worker.recalled & set(worker.assigned.items())) for worker in ahead)
    # Only attempts that an idle worker may run: others would return to their worker.
    useful = [
        (worker, assignment)
        for worker, assignment in waiting
        if any(workers.may_run(jobs[assignment[0]], worker_id) for worker_id in idle)
    ]
    return useful[: max(0, sum(idle.values()) - expected)]
