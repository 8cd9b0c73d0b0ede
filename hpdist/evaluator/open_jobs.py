"""The open jobs of an evaluator, and how those that end get to it."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Collection

from hpdist.core.model.clock_offset import clock_offset
from hpdist.core.run.finished_jobs import FinishedJob
from hpdist.evaluator.job import Job
from hpdist.evaluator.storage import Storage

logger = logging.getLogger(__name__)


class JobBoard:
    """Between the thread that evaluates and the one that submits and gathers.

    Times are seconds since it was made. `take_in` belongs to the submitting thread, `finished` to
    the evaluating one, which hands jobs over by the queue `done`.
    """

    def __init__(self, storage: Storage, search_id: str) -> None:
        self.storage, self.search_id = storage, search_id
        self.begun = time.time()
        self._begun = time.monotonic()
        self._open: dict[str, Job] = {}
        self.done: queue.SimpleQueue[Job] = queue.SimpleQueue()

    def now(self) -> float:
        """Seconds since this was made."""
        return time.monotonic() - self._begun

    def take_in(self, job: Job) -> None:
        """Give a job its id, and write it down."""
        job.id = self.storage.new_job(self.search_id)
        job.metadata["timestamp_submit"] = self.now()
        self._open[job.id] = job
        self.storage.write(self.search_id, job.to_json())

    def finished(self, ended: FinishedJob) -> None:
        """Enter what came of a job."""
        job = self._open.pop(ended.id)
        assert ended.ended is not None
        assert ended.ended.outcome is not None
        job.settle(ended.ended.outcome)
        self._date(job, ended)
        try:
            self.storage.write(self.search_id, job.to_json())
        finally:  # it is finished, whether or not others get to know
            self.done.put(job)
            job.ended.set_result(None)

    def _date(self, job: Job, ended: FinishedJob) -> None:
        """Enter when it ran, on this clock: within the time from hand-out to return.

        The clock of another host may be off; the duration there is not.
        """
        record, told = ended.ended, job.metadata
        handed, back = ended.timestamps.get("started"), ended.timestamps["finished"]
        start = told.get("timestamp_start", record.started if record else 0.0)
        if handed is None or record is None or not start:
            return  # it never ran, or nobody knows when
        end = told.get("timestamp_end", start + record.seconds)
        shift = clock_offset(start, end, handed, back)
        earliest = job.metadata["timestamp_submit"]
        begin = max(earliest, start + shift - self.begun)
        told["timestamp_start"] = begin
        told["timestamp_end"] = max(begin, min(end + shift, back) - self.begun)


def jobs_of_others(
    storage: Storage, search_id: str, marks: dict[str, int], own: Collection[str]
) -> list[Job]:
    """Return what others have written since the last call with these ``marks``."""
    jobs = []
    for entry in storage.read(search_id, marks):
        if entry["job_id"] in own:
            continue
        try:
            jobs.append(Job.from_json(entry))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("the storage has something that is no job: %r", error)
    return jobs
