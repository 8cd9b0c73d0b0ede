"""Which task runs where: a source of jobs for the loop, and the machine behind all views.

A task becomes a job when an engine is free for it; so a policy chooses among the engines that are
idle then, and a task whose engine dies becomes another job. Only while many wait, those that may
run anywhere are handed out ahead: an engine begins the next one without asking first, and hands it
back if others are idle before that.
"""

from __future__ import annotations

import queue
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpdist.core.model.clock_offset import clock_offset
from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    JobCreated,
    Record,
    ReportReceived,
    WorkerChanged,
)
from hpdist.core.model.payload import Payload
from hpdist.core.model.values import Failure, FailureKind, Job, Success, WorkerInfo
from hpdist.views.engine import CALL
from hpdist.views.policies import POLICIES, Load

#: How many engines a task may lose before it is given up.
MAX_LOSSES = 20

#: Why the job of an engine that left is cancelled: its task goes to another.
ENGINE_LEFT = "its engine left"


@dataclass(eq=False)
class Task:
    """Something to run.

    Attributes
    ----------
    call
        What the engine is sent: the kind, the function and its arguments, packed.
    count
        How many calls are in it.
    targets
        Engines that may run it; None for all.
    static
        It waits for that engine, be others idle or not.
    retries
        How often it is run again after an exception.
    after, follow
        Tasks that have to end before; tasks whose engines may run it.
    """

    call: tuple[str, str, str]
    count: int = 1
    targets: frozenset[int] | None = None
    static: bool = False
    policy: str = "leastload"
    retries: int = 0
    timeout: float | None = None
    after: Sequence[Task] = ()
    follow: Sequence[Task] = ()
    done: bool = False
    engine: int | None = None
    losses: int = 0
    avoid: int | None = None
    times: dict[str, float] = field(default_factory=dict)
    reports: int = 0
    timed_out: bool = False
    on_end: Callable[[Task, Any], None] = lambda task, outcome: None

    @property
    def anywhere(self) -> bool:
        """Whether any engine may run it, and at any time."""
        limits = (self.targets, self.avoid, self.timeout)  # time counts from the hand-out on
        return limits == (None, None, None) and not (self.after or self.follow)

    def spans(self, told: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
        """Return when its calls began and ended, which an engine has ``told`` by its own clock."""
        if not told:
            return []
        handed_out, received = self.times["started"], self.times["received"]
        shift = clock_offset(told[0][0], told[-1][1], handed_out, received)
        return [(began + shift, ended + shift) for began, ended in told]


class Tasks:
    """The tasks and engines of one client; owned by the loop's thread.

    Parameters
    ----------
    is_engine
        Whether a worker takes code.
    first_number
        Of the jobs; larger than all those of clients before.
    """

    done = False

    def __init__(self, is_engine: Callable[[WorkerInfo], bool], first_number: int = 0) -> None:
        self._is_engine = is_engine
        self.engines: dict[int, WorkerInfo] = {}  #: those that are here; replaced, never changed
        self._ids: dict[str, int] = {}
        self._queue: dict[Task, None] = {}
        self._jobs: dict[int, Task] = {}
        self._ahead: set[int] = set()  #: of these, those that were bound to no engine
        self._load: dict[int, float] = {}
        self._used: dict[int, int] = {}
        self._incoming: queue.SimpleQueue[tuple[Sequence[Task], str]] = queue.SimpleQueue()
        self._begun: list[Task] = []
        self._number = first_number
        self._proposed: tuple[JobCreated, Task, int | None] | None = None

    # ------------------------------------------------------------------ for the loop

    def propose(self) -> JobCreated | None:
        self._take_in()
        if self._proposed is None:
            self._proposed = next(self._possible(), None)
        return self._proposed[0] if self._proposed else None

    def apply(self, record: Record) -> None:
        if isinstance(record, JobCreated):
            self._created(record)
        elif isinstance(record, AttemptStarted) and record.job_id in self._ahead:
            self._jobs[record.job_id].engine = self._ids[record.worker_id]
        elif isinstance(record, AttemptEnded) and record.final:
            self._ended(record)
        elif isinstance(record, AttemptEnded) and record.job_id in self._ahead:
            self._jobs[record.job_id].engine = None  # handed back; the next one is told
        elif isinstance(record, WorkerChanged):
            self._changed(record)
        elif isinstance(record, ReportReceived) and record.job_id in self._jobs:
            self._jobs[record.job_id].reports = record.step
        self._proposed = None

    def payload(self, job_id: int) -> Payload:
        config = {CALL: list(self._jobs[job_id].call)}
        return Payload(job_id, (0, 0, job_id), config, 1.0, job_id % 2**32)

    def withdraw(self, job_ids: Collection[int], reason: str, at: float) -> None:
        """Do nothing: only tasks with a job are cancelled by its number."""

    def stops_early(self, job_id: int) -> bool:
        return False

    def retryable(self, job_ids: Sequence[int] | None = None) -> list[int]:
        return []

    def observe(self, fresh: Sequence[tuple[float, Record]]) -> None:
        """Note when tasks began, and end those that cannot run any more."""
        for at, record in fresh:
            if isinstance(record, AttemptStarted) and record.job_id in self._jobs:
                self._jobs[record.job_id].times["started"] = at
                self._begun.append(self._jobs[record.job_id])
            elif isinstance(record, WorkerChanged):
                self._take_in()
                self._drop_hopeless()

    # ------------------------------------------------------------------ for the client

    def offer(self, tasks: Sequence[Task], *, first: bool = False) -> None:
        """Hand tasks in, before others or behind; from any thread, which then has to wake the loop.

        Those for one engine begin in their order.
        """
        self._incoming.put((tasks, "before" if first else "behind"))

    def take_back(self, tasks: Sequence[Task]) -> None:
        """Take back those of ``tasks`` that wait; as `offer`."""
        self._incoming.put((tasks, "away"))

    def jobs_of(self, tasks: Sequence[Task]) -> list[int]:
        """Return the jobs of those of ``tasks`` that run; from any thread."""
        wanted = set(tasks)
        return [job_id for job_id, task in list(self._jobs.items()) if task in wanted]

    def stranded(self) -> list[int]:
        """Return the jobs that were handed back by engines that left; in the loop's thread.

        Nobody else may run them: they are to be cancelled, with `ENGINE_LEFT` as the reason.
        """
        return [
            job_id
            for job_id, task in self._jobs.items()
            if task.engine not in self.engines and job_id not in self._ahead
        ]

    def begun(self) -> list[Task]:
        """Return the tasks that were handed out since the last call; in the loop's thread."""
        begun, self._begun = self._begun, []
        return begun

    # ------------------------------------------------------------------ within

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
            self._drop_hopeless()

    def _cancel(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            del self._queue[task]
            self._settle(task, Failure(FailureKind.CANCELLED, "cancelled before it began"))

    def _drop_hopeless(self) -> None:
        """End the tasks that no engine here may run."""
        for task in [task for task in self._queue if self._hopeless(task)]:
            del self._queue[task]
            self._settle(task, Failure(FailureKind.LOST, self._why_hopeless(task)))

    def _possible(self) -> Iterator[tuple[JobCreated, Task, int | None]]:
        busy = {task.engine for task in self._jobs.values()}
        idle = [engine for engine in self.engines if engine not in busy]
        if not idle:
            if (task := self._ahead_of_time()) is not None:
                yield JobCreated(Job(self._number, self._number, 1.0)), task, None
            return
        for task in self._queue:
            engine = self._choose(task, idle)
            if engine is not None:
                worker = self.engines[engine].worker_id
                yield JobCreated(Job(self._number, self._number, 1.0, worker=worker)), task, engine

    def _ahead_of_time(self) -> Task | None:
        """Return the first that waits if it may run anywhere, and some are left for each engine."""
        room = sum(1 + worker.prefetch for worker in self.engines.values()) - len(self._jobs)
        if room <= 0 or len(self._queue) <= len(self.engines):
            return None
        first = next(iter(self._queue))
        return first if first.anywhere else None

    def _choose(self, task: Task, idle: Sequence[int]) -> int | None:
        if not all(each.done for each in (*task.after, *task.follow)):
            return None
        where = {each.engine for each in task.follow}
        may = [e for e in idle if task.targets is None or e in task.targets]
        if task.follow and task.policy != "affinity":
            may = [e for e in may if e in where]
        # the engine that it failed on only when there is no other: a wish, not a rule
        may = [e for e in may if e != task.avoid] or may
        if not may:
            return None
        loads = [Load(e, self._load[e], self._used[e], e in where) for e in may]
        return POLICIES[task.policy](loads, random.Random(self._number))

    def _created(self, record: JobCreated) -> None:
        assert self._proposed is not None
        assert self._proposed[0] == record, "only what was proposed is created"
        _, task, engine = self._proposed
        del self._queue[task]
        self._jobs[record.job.job_id] = task
        self._number += 1
        task.engine = engine
        if engine is None:
            self._ahead.add(record.job.job_id)
        else:
            self._used[engine] = self._number

    def _ended(self, record: AttemptEnded) -> None:
        task = self._jobs.pop(record.job_id, None)
        if task is None:
            return
        self._ahead.discard(record.job_id)
        engine = task.engine
        if engine is not None:
            self._load[engine] += record.seconds
        outcome = record.outcome
        if isinstance(outcome, Failure) and outcome.message == ENGINE_LEFT:
            outcome = Failure(FailureKind.LOST, ENGINE_LEFT)
        if isinstance(outcome, Failure) and self._again(task, outcome):
            task.avoid, task.reports = engine, 0
            self._queue[task] = None
            return
        task.times["seconds"] = record.seconds
        self._settle(task, outcome, record.output)

    def _again(self, task: Task, failure: Failure) -> bool:
        if failure.kind is FailureKind.LOST:
            task.losses += 1
            return task.losses < MAX_LOSSES and not task.static
        if failure.kind is FailureKind.CANCELLED or task.retries == 0:
            return False
        task.retries -= 1
        return True

    def _settle(self, task: Task, outcome: Any, output: str = "") -> None:
        task.done = True
        info = outcome.info if isinstance(outcome, Success) else outcome
        task.on_end(task, info if not output or not isinstance(info, dict) else
                    {**info, "output": output})  # fmt: skip

    def _changed(self, record: WorkerChanged) -> None:
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

    def _hopeless(self, task: Task) -> bool:
        """Whether no engine that is here may ever run it."""
        if task.targets is None or any(engine in self.engines for engine in task.targets):
            return False
        return bool(self._ids)

    def _why_hopeless(self, task: Task) -> str:
        names = ", ".join(map(str, sorted(task.targets or ())))
        return f"no engine that may run it is here any more: {names}"
