"""What the owner of the jobs may decide about them: who runs each, and how often it is tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hpdist.core.model.limits_and_timing import Retry
from hpdist.core.model.values import Job, WorkerInfo


class JobPolicy(Protocol):
    """Decides about jobs that are pinned to no worker, as a function of the records.

    Without a policy any worker may run a job, the least loaded one gets it, and all jobs are tried
    equally often.
    """

    def may_run(self, job: Job, worker: WorkerInfo) -> bool:
        """Whether a job may be assigned to a worker now."""
        ...

    def choose(self, job: Job, worker_ids: Sequence[str]) -> str:
        """Return the worker that gets a job; ``worker_ids`` are ordered by load, lowest first."""
        ...

    def retry(self, job: Job, usual: Retry) -> Retry:
        """Return how often each kind of failure of a job is retried."""
        ...
