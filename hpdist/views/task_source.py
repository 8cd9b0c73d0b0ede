"""Which task goes where: the job source of a client, and the policy of its jobs.

Each task is one job. It is proposed when an engine is idle that may run it, so that its policy
chooses among the engines that are idle then; retries, losses and the engine to avoid are the
dispatcher's. Only while many wait, those that may run anywhere are assigned ahead: an engine starts
the next one without asking first, and releases it if others are idle before that.
"""

from __future__ import annotations

import queue
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    JobCreated,
    Record,
    ReportReceived,
    WorkerChanged,
)
from hpdist.core.model.limits_and_timing import Retry
from hpdist.core.model.payload import Payload
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Job, Success, WorkerInfo
from hpdist.views.engine import CALL
from hpdist.views.policies import POLICIES, Load
from hpdist.views.task import Task

#: Why a job is cancelled whose engine left, and that no other engine may run.
ENGINE_LEFT = "its engine left"


class TaskSource:
    """The tasks and engines of one client; owned by the loop's thread.

    Parameters
    ----------
    is_engine
        Whether a worker takes code.
    first_number
        Of the jobs; larger than all those of earlier clients.
    """

    done = False

    def __init__(self, is_engine: Callable[[WorkerInfo], bool], first_number: int = 0) -> None:
        self._is_engine = is_engine
        self.engines: dict[int, WorkerInfo] = {}  #: registered engines; replaced, never changed
        self._ids: dict[str, int] = {}
        self._queue: dict[Task, None] = {}
        self._jobs: dict[int, Task] = {}
        self._reserved: dict[
            int, int
        ] = {}  #: the engine that was chosen for a job, until it starts
        self._load: dict[int, float] = {}
        self._used: dict[int, int] = {}
        self._starts = 0
        self._incoming: queue.SimpleQueue[tuple[Sequence[Task], str]] = queue.SimpleQueue()
        self._started: list[Task] = []
        self._number = first_number
        self._proposed: tuple[JobCreated, Task, int | None] | None = None

    # ------------------------------------------------------------------ the job source

    def propose(self) -> JobCreated | None:
        self._take_in()
        if self._proposed is None:
            self._proposed = next(self._possible(), None)
        return self._proposed[0] if self._proposed else None

    def apply(self, record: Record) -> None:
        if isinstance(record, JobCreated):
            self._created(record)
        elif isinstance(record, AttemptStarted):
            self._attempt_started(record)
        elif isinstance(record, AttemptEnded):
            self._attempt_ended(record)
        elif isinstance(record, WorkerChanged):
            self._worker_changed(record)
        elif isinstance(record, ReportReceived) and record.job_id in self._jobs:
            self._jobs[record.job_id].reports = record.step
        self._proposed = None

    def payload(self, job_id: int) -> Payload:
        config = {CALL: list(self._jobs[job_id].call)}
        return Payload(job_id, (0, 0, job_id), config, 1.0, seed=job_id % 2**32)

    def withdraw(self, job_ids: Collection[int], reason: str, at: float) -> None:
        """Cancel the tasks that were taken back; of those here, none has one of these numbers."""
        self._take_in()

    def stops_early(self, job_id: int) -> bool:
        return False

    def retryable(self, job_ids: Sequence[int] | None = None) -> list[int]:
        return []

    def observe(self, fresh: Sequence[tuple[float, Record]]) -> None:
        """Record when tasks started, and end tasks that no engine may run any more."""
        for at, record in fresh:
            if isinstance(record, AttemptStarted) and record.job_id in self._jobs:
                self._jobs[record.job_id].times["started"] = at
                self._started.append(self._jobs[record.job_id])
            elif isinstance(record, WorkerChanged):
                self._take_in()
                self._drop_unsatisfiable()

    # ------------------------------------------------------------------ the policy of the jobs

    def may_run(self, job: Job, worker: WorkerInfo) -> bool:
        if not self._is_engine(worker):
            return False
        task = self._jobs[job.job_id]
        if task.anywhere:
            return True
        engine = self._ids[worker.worker_id]
        others = {self._engine_of(number) for number in self._jobs if number != job.job_id}
        return task.permits(engine) and engine not in others

    def choose(self, job: Job, worker_ids: Sequence[str]) -> str:
        by_engine = {self._ids[worker_id]: worker_id for worker_id in worker_ids}
        engine = self._reserved.get(job.job_id)
        if engine not in by_engine:
            engine = self._choose(self._jobs[job.job_id], list(by_engine), job.job_id)
            self._reserved[job.job_id] = engine  # further jobs are assigned before this one starts
        return by_engine[engine]

    def retry(self, job: Job, usual: Retry) -> Retry:
        task = self._jobs[job.job_id]
        count = task.retries
        return Retry(
            max_crashes=1 + count,
            max_losses=1 if task.static else usual.max_losses,
            exceptions=count,
            invalid=count,
            timeouts=count,
            memory=count,
        )

    # ------------------------------------------------------------------ for the client

    def offer(self, tasks: Sequence[Task], *, first: bool = False) -> None:
        """Queue tasks, first or last; from any thread, which then has to wake the loop.

        Those for one engine start in their order.
        """
        self._incoming.put((tasks, "before" if first else "behind"))

    def take_back(self, tasks: Sequence[Task]) -> None:
        """Cancel those of ``tasks`` that have no job, with the next `withdraw`; from any thread."""
        self._incoming.put((tasks, "away"))

    def jobs_of(self, tasks: Sequence[Task]) -> list[int]:
        """Return the jobs of those of ``tasks`` that have one; from any thread."""
        wanted = set(tasks)
        return [job_id for job_id, task in list(self._jobs.items()) if task in wanted]

    def unsatisfiable_jobs(self) -> list[int]:
        """Return the jobs whose engine left and that no other engine may run.

        The client cancels them with `ENGINE_LEFT` as the reason. In the loop's thread.
        """
        return [
            job_id
            for job_id, task in self._jobs.items()
            if task.engine is None and self._unsatisfiable(task)
        ]

    def started(self) -> list[Task]:
        """Return the tasks that were assigned since the last call; in the loop's thread."""
        started = self._started
        self._started = []
        return started

    # ------------------------------------------------------------------ the queue

    def _take_in(self) -> None:
        while not self._incoming.empty():
            tasks, where = self._incoming.get()
            if where == "before":
                self._queue = dict.fromkeys(tasks) | self._queue
            elif where == "behind":
                self._queue |= dict.fromkeys(tasks)
            else:
                self._cancel([task for task in tasks if task in self._queue])
            self._proposed = None
            self._drop_unsatisfiable()

    def _cancel(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            del self._queue[task]
            self._settle(task, Failure(FailureKind.CANCELLED, "cancelled before it started"))

    def _drop_unsatisfiable(self) -> None:
        for task in [task for task in self._queue if self._unsatisfiable(task)]:
            del self._queue[task]
            names = ", ".join(map(str, sorted(task.targets or ())))
            message = f"no engine that may run it is here any more: {names}"
            self._settle(task, Failure(FailureKind.LOST, message))

    def _unsatisfiable(self, task: Task) -> bool:
        """Whether no registered engine may ever run a task."""
        if task.targets is None or any(engine in self.engines for engine in task.targets):
            return False
        return bool(self._ids)

    def _possible(self) -> Iterator[tuple[JobCreated, Task, int | None]]:
        record = JobCreated(Job(self._number, self._number, 1.0))
        busy = {self._engine_of(job_id) for job_id in self._jobs}
        idle = [engine for engine in self.engines if engine not in busy]
        if not idle:
            if (task := self._ahead_of_time()) is not None:
                yield record, task, None
            return
        for task in self._queue:
            permitted = [engine for engine in idle if task.permits(engine)] if task.ready else []
            if permitted:
                yield record, task, self._choose(task, permitted, self._number)

    def _ahead_of_time(self) -> Task | None:
        """Return the first queued task if it may run anywhere and enough tasks are queued."""
        capacity = sum(1 + worker.prefetch for worker in self.engines.values()) - len(self._jobs)
        if capacity <= 0 or len(self._queue) <= len(self.engines):
            return None
        first = next(iter(self._queue))
        return first if first.anywhere else None

    def _choose(self, task: Task, engines: Sequence[int], seed: int) -> int:
        known = task.followed
        loads = [Load(each, self._load[each], self._used[each], each in known) for each in engines]
        return POLICIES[task.policy](loads, random.Random(seed))

    def _engine_of(self, job_id: int) -> int | None:
        """Return the engine that runs a job or was chosen for it."""
        return self._reserved.get(job_id, self._jobs[job_id].engine)

    # ------------------------------------------------------------------ records

    def _created(self, record: JobCreated) -> None:
        assert self._proposed is not None
        assert self._proposed[0] == record, "only what was proposed is created"
        _, task, engine = self._proposed
        del self._queue[task]
        self._jobs[record.job.job_id] = task
        self._number += 1
        if engine is not None:
            self._reserved[record.job.job_id] = engine

    def _attempt_started(self, record: AttemptStarted) -> None:
        engine = self._ids[record.worker_id]
        self._jobs[record.job_id].engine = engine
        self._reserved.pop(record.job_id, None)
        self._starts += 1
        self._used[engine] = self._starts

    def _attempt_ended(self, record: AttemptEnded) -> None:
        task = self._jobs[record.job_id]
        if task.engine is not None:
            self._load[task.engine] += record.seconds
        self._reserved.pop(record.job_id, None)
        if not record.final:
            task.engine = None
            task.reports = 0
            return
        del self._jobs[record.job_id]
        outcome = record.outcome
        if isinstance(outcome, Failure) and outcome.message == ENGINE_LEFT:
            outcome = Failure(FailureKind.LOST, ENGINE_LEFT)
        task.times["seconds"] = record.seconds
        self._settle(task, outcome, record.output)

    def _settle(self, task: Task, outcome: Any, output: str = "") -> None:
        task.done = True
        result = outcome.info if isinstance(outcome, Success) else outcome
        if output and isinstance(result, dict):
            result = {**result, "output": output}
        task.on_end(task, result)

    def _worker_changed(self, record: WorkerChanged) -> None:
        worker = record.worker
        if not self._is_engine(worker):
            return
        here = dict(self.engines)
        engine = self._ids.setdefault(worker.worker_id, len(self._ids))
        if record.state.serves:
            here[engine] = worker
            self._load.setdefault(engine, 0.0)
            self._used.setdefault(engine, 0)
        else:
            here.pop(engine, None)
        self.engines = here
