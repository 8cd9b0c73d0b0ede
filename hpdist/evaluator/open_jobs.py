"""The table of an evaluator's open jobs, and the queue of those that have ended."""

from __future__ import annotations

import logging
import queue
import time

from hpdist.core.model.clock_offset import clock_offset
from hpdist.core.run.finished_jobs import FinishedJob
from hpdist.evaluator.job import Job
from hpdist.evaluator.storage import Storage

logger = logging.getLogger(__name__)


class OpenJobs:
    """Shared by the thread that evaluates and the one that submits and gathers.

    Times are seconds since it was made. `add` is called by the submitting thread, `finish` by the
    evaluating one, which puts ended jobs in the queue `done`.
    """

    def __init__(self, storage: Storage, search_id: str) -> None:
        self.storage = storage
        self.search_id = search_id
        self.started_at = time.time()
        self._start = time.monotonic()
        self.own: set[str] = set()
        self.has_others = False  #: whether other evaluators share the search
        self._marks: dict[str, int] = {}  #: read position of each file of the storage
        self._open: dict[str, Job] = {}
        self.done: queue.SimpleQueue[Job] = queue.SimpleQueue()

    def now(self) -> float:
        """Seconds since this was made."""
        return time.monotonic() - self._start

    def add(self, job: Job) -> None:
        """Give a job its id, and store it."""
        job.id = self.storage.new_job(self.search_id)
        job.metadata["timestamp_submit"] = self.now()
        self._open[job.id] = job
        self.own.add(job.id)
        self.storage.write(self.search_id, job.to_json())

    def finish(self, ended: FinishedJob) -> None:
        """Set the outcome of a job."""
        job = self._open.pop(ended.id)
        assert ended.ended is not None
        assert ended.ended.outcome is not None
        job.settle(ended.ended.outcome)
        self._date(job, ended)
        try:
            self.storage.write(self.search_id, job.to_json())
        finally:  # it has ended, whether or not the storage could be written
            self.done.put(job)
            job.ended.set_result(None)

    def _date(self, job: Job, ended: FinishedJob) -> None:
        """Set the times of a job on this clock: between its assignment and its report.

        The clock of another host may be off; the duration measured there is not.
        """
        record = ended.ended
        metadata = job.metadata
        assigned = ended.timestamps.get("started")
        reported = ended.timestamps["finished"]
        start = metadata.get("timestamp_start", record.started if record else 0.0)
        if assigned is None or record is None or not start:
            return  # it never ran, or its times are not known
        end = metadata.get("timestamp_end", start + record.seconds)
        offset = clock_offset(start, end, assigned, reported)
        started = max(metadata["timestamp_submit"], start + offset - self.started_at)
        metadata["timestamp_start"] = started
        metadata["timestamp_end"] = max(started, min(end + offset, reported) - self.started_at)

    def read_others(self) -> list[Job]:
        """Return the jobs that other evaluators of the search stored since the last call."""
        jobs = []
        for entry in self.storage.read(self.search_id, self._marks):
            if entry["job_id"] in self.own:
                continue
            try:
                jobs.append(Job.from_json(entry))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                logger.warning("the storage has an entry that is no job: %r", error)
        self.has_others = self.has_others or bool(jobs)
        return jobs
