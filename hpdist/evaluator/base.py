"""Base class of evaluators: jobs are submitted, and gathered when they have ended."""

from __future__ import annotations

import asyncio
import math
import queue
import sys
import time
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hpdist.core.dispatch.executor import Executor
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import (
    check_choice,
    check_kind,
    check_list,
    check_seconds,
    check_whole,
)
from hpdist.core.model.values import JsonValue
from hpdist.evaluator.arguments import (
    MaximumJobsReached,
    checked_args,
    checked_callbacks,
    checked_options,
    checked_search,
)
from hpdist.evaluator.callbacks import Callback, notify
from hpdist.evaluator.job import Job
from hpdist.evaluator.job_loop import JobLoop, seconds_left
from hpdist.evaluator.open_jobs import OpenJobs
from hpdist.evaluator.run_function import FAIL_RETURN_VALUE, RunFunction
from hpdist.evaluator.storage import Storage, check_storage
from hpdist.executors.registry import make_executor

METHODS: dict[str, type[Evaluator]] = {}
"""Evaluators by the name that `Evaluator.create` takes."""


class Evaluator:
    """Calls a function on parameters, ``num_workers`` calls at a time.

    A job starts as soon as a worker is free, whether or not its result is waited for. An
    exception, an invalid result or the death of a process is the failure of that job. One thread
    submits and gathers; callbacks are called in it.

    Parameters
    ----------
    run_function
        Called as ``run_function(job, **run_function_kwargs)``, where ``job`` is a dict of the
        parameters. Returns the maximized objective: a number or a tuple of numbers; or text that
        starts with "F" for a failure; or a dict with that as "objective", and "metadata". May be
        ``async``.
    num_workers
        Number of jobs that run at once.
    callbacks
        Notified of jobs, see `hpdist.evaluator.callbacks`.
    run_function_kwargs
        Further arguments, the same for all jobs.
    storage
        The storage of jobs; evaluators of one storage and ``search_id`` see each other's.
    search_id
        A search that is in the storage; a new one by default.
    grace_s
        Seconds for running jobs to end after the time limit or when the evaluator is closed.
    executor_options
        Further options for `hpdist.executors.registry.make_executor`, such as ``job_timeout``.

    Raises
    ------
    ConfigurationError
        If any of these cannot work.
    """

    FAIL_RETURN_VALUE: ClassVar[str] = FAIL_RETURN_VALUE
    NEST_ASYNCIO_PATCHED: ClassVar[bool] = False
    """Never: no event loop of the caller's is touched."""
    PYTHON_EXE: ClassVar[str] = sys.executable
    EXECUTOR: ClassVar[str] = ""
    """Name of the executor."""

    def __init__(
        self,
        run_function: Callable[..., object],
        num_workers: int = 1,
        callbacks: Sequence[Callback] | None = None,
        run_function_kwargs: Mapping[str, Any] | None = None,
        storage: Storage | None = None,
        search_id: Hashable | None = None,
        *,
        grace_s: float = 5.0,
        executor_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.run_function = run_function
        self.num_workers = check_whole("num_workers", num_workers, minimum=1)
        self.callbacks = checked_callbacks(callbacks)
        self.storage = check_storage(storage)
        self.search_id = checked_search(self.storage, search_id)
        self.num_jobs_submitted = self.num_jobs_gathered = 0
        self._objective = RunFunction(run_function, dict(run_function_kwargs or {}))
        self._options = dict(executor_options or {})
        self._grace_s = check_seconds("grace_s", grace_s, zero=True)
        self._jobs = OpenJobs(self.storage, self.search_id)
        self._waiting: dict[str, Job] = {}  #: submitted and not gathered
        self._max_submitted = math.inf
        self._timeout: float | None = None
        self._deadline = math.inf
        self._closed = False
        self._job_loop = self._new_job_loop()

    @staticmethod
    def create(
        run_function: Callable[..., object],
        method: str = "serial",
        method_kwargs: Mapping[str, Any] | None = None,
    ) -> Evaluator:
        """Make the evaluator of a method, with these arguments of its constructor.

        Parameters
        ----------
        method
            "serial", "thread", "process", "loky", "ray", "dask", "mpicomm" or "cluster".

        Raises
        ------
        ConfigurationError
            If there is no such method, or no such argument.
        """
        kind = METHODS[check_choice("method", method, METHODS)]
        return kind(run_function, **checked_options(kind, run_function, method_kwargs))

    def __init_subclass__(cls, method: str = "", **options: Any) -> None:
        """Register a class under its method name for `create`."""
        super().__init_subclass__(**options)
        if method:
            METHODS[method] = cls

    def _new_job_loop(self) -> JobLoop:
        job_loop = JobLoop(self._executor, self._jobs.finish, self._grace_s)
        # At the end of the program too, so that no worker is left.
        self._finalizer = weakref.finalize(self, job_loop.end)
        return job_loop

    def _executor(self, root: Path) -> Executor:
        return make_executor(
            self.EXECUTOR, self._objective, root, workers=self.num_workers, **self._options
        )

    # ------------------------------------------------------------------ jobs

    def submit(self, args_list: Sequence[Mapping[str, Any]]) -> list[Job]:
        """Queue a job for each dict of parameters, and return them.

        Raises
        ------
        ConfigurationError
            If a value is not JSON, or there are too many; then none is queued.
        """
        jobs = [Job(checked_args(args)) for args in check_list("args_list", args_list)]
        self._submit(jobs)
        return jobs

    def _submit(self, jobs: list[Job]) -> None:
        if self.num_jobs_submitted + len(jobs) > self._max_submitted:
            raise MaximumJobsReached(
                f"{len(jobs)} jobs more than the {self.num_jobs_submitted} submitted are too many",
                do="set_maximum_num_jobs_submitted(-1) allows any number",
            )
        job_loop = self._started()
        for job in jobs:
            self._jobs.add(job)
            self._waiting[job.id] = job
            self.num_jobs_submitted += 1
            self._call("on_launch", job)
            job_loop.submit(job.id, job.args)

    def _started(self) -> JobLoop:
        """Return the job loop that takes jobs."""
        if self._closed:
            raise ConfigurationError("the evaluator is closed", do="make another")
        if self._job_loop.error is not None:
            raise self._job_loop.error
        if self._job_loop.over and self.time_left != 0:
            self._finalizer.detach()
            self._job_loop = self._new_job_loop()
        self._job_loop.start()
        if self._deadline < math.inf:
            self._job_loop.limit(seconds_left(self._deadline))
        return self._job_loop

    def gather(self, type: str, size: int = 1) -> list[Job] | tuple[list[Job], list[Job]]:
        """Wait for jobs to end, and return those that have.

        Parameters
        ----------
        type
            "ALL" waits for all that were submitted, "BATCH" for ``size`` of them.

        Returns
        -------
        jobs
            Each job once. Where other evaluators share the search: (own jobs, theirs).
        """
        type = check_choice("type", type, ("ALL", "BATCH"))
        size = check_whole("size", size, minimum=1)
        wanted = len(self._waiting) if type == "ALL" else min(size, len(self._waiting))
        jobs: list[Job] = []
        while len(jobs) < wanted:
            jobs += self._collected(self._jobs.done.get())
        jobs += self._ended_by_now()
        if self._job_loop.error is not None and self._waiting:
            raise self._job_loop.error
        others = self.gather_other_jobs_done()
        self._call("on_gather", jobs, others)
        return (jobs, others) if self._jobs.has_others else jobs

    def _ended_by_now(self) -> list[Job]:
        """Return the jobs that have ended by now."""
        jobs: list[Job] = []
        try:
            while True:
                jobs += self._collected(self._jobs.done.get_nowait())
        except queue.Empty:
            return jobs

    def _collected(self, job: Job) -> list[Job]:
        if self._waiting.pop(job.id, None) is None:
            return []  # `execute` returns it
        job.metadata["timestamp_gather"] = self._jobs.now()
        self.num_jobs_gathered += 1
        self._call("on_done", job)
        return [job]

    def gather_other_jobs_done(self) -> list[Job]:
        """Return the jobs of other evaluators of the search that ended since the last call."""
        done = [job for job in self._jobs.read_others() if job.status.settled]
        for job in done:
            self._call("on_done_other", job)
        return done

    async def execute(self, job: Job) -> Job:
        """Wait for a job, submitting it first if necessary, and return it as gathered."""
        check_kind("job", job, Job, do='execute(Job({"x": 0.5}))')
        if job.id not in self._jobs.own:
            job.args = checked_args(job.args)
            self._submit([job])
        await asyncio.wrap_future(job.ended)
        self._collected(job)
        return job

    def cancel(self) -> None:
        """Cancel all jobs that have not ended; they are gathered as cancelled."""
        self._job_loop.cancel(list(self._waiting), "cancelled")

    # ------------------------------------------------------------------ limits

    @property
    def timeout(self) -> float | None:
        """Seconds after which no job starts; running jobs then have the time of grace.

        Counted from when it is set; None for no limit.
        """
        return self._timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        if seconds is not None:
            check_seconds("timeout", seconds)
        if self.time_left == 0:
            self._job_loop.join()  # it ends at its time limit; later jobs have another loop
        self._timeout = seconds
        self._deadline = math.inf if seconds is None else time.monotonic() + seconds
        self._job_loop.limit(seconds_left(self._deadline))

    @property
    def time_left(self) -> float | None:
        """Seconds left of `timeout`; None if there is none."""
        return None if self._timeout is None else seconds_left(self._deadline)

    def set_maximum_num_jobs_submitted(self, maximum: int) -> None:
        """Allow ``maximum`` further jobs; -1 for unlimited."""
        maximum = check_whole("maximum", maximum, minimum=-1)
        self._max_submitted = math.inf if maximum == -1 else self.num_jobs_submitted + maximum

    def set_event_loop(self) -> None:
        """Do nothing: jobs do not run in an event loop of the caller's."""

    @property
    def num_jobs_waiting(self) -> int:
        """Number of jobs that are submitted and not gathered."""
        return len(self._waiting)

    @property
    def is_master(self) -> bool:
        """Whether this process submits jobs, and does not only run them."""
        return True

    @property
    def search_stopped(self) -> bool:
        """Whether a callback has ended the search."""
        return any(getattr(callback, "search_stopped", False) for callback in self.callbacks)

    # ------------------------------------------------------------------ the end

    def close(self) -> list[Job]:
        """Cancel all jobs that have not ended, and end all workers.

        Returns
        -------
        jobs
            The jobs that were not gathered, including cancelled ones.
        """
        if self._closed:
            return []
        self.cancel()
        self._finalizer()
        self._closed = True
        jobs = self._ended_by_now()
        self._call("on_close")
        return jobs

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def to_json(self) -> dict[str, JsonValue]:
        """Return a description as JSON data."""
        return {
            "type": type(self).__name__,
            "num_workers": self.num_workers,
            "run_function": self._objective.name,
            "search_id": self.search_id,
        }

    def announce(self, max_evals: int | None) -> None:
        """Notify callbacks of the number of jobs to come; None if that is not known."""
        self._call("on_start", max_evals)

    def _call(self, method: str, *arguments: Any) -> None:
        notify(self.callbacks, method, *arguments)
