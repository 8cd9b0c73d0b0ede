"""A client, which serves the engines of a run directory and creates views on them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from hpdist.cluster.dispatcher import Dispatcher
from hpdist.cluster.nameserver import NameServer
from hpdist.cluster.worker_processes import WorkerProcesses
from hpdist.core.dispatch.state import DispatchState
from hpdist.core.model.errors import ConfigurationError, HpdistError, NoWorkers
from hpdist.core.model.events import ControlRequested, Record, WorkOffered
from hpdist.core.model.limits_and_timing import Timing
from hpdist.core.model.states import Command, FailureKind
from hpdist.core.model.validation import check_flag, check_path, check_whole
from hpdist.core.model.values import Failure, WorkerInfo
from hpdist.core.run.assembly import RunInstance, Work
from hpdist.views.balanced import LoadBalancedView
from hpdist.views.direct import DirectView
from hpdist.views.long_calls import fetch_tasks, in_chunks
from hpdist.views.result import AsyncResult
from hpdist.views.task import Task
from hpdist.views.task_source import ENGINE_LEFT, TaskSource

logger = logging.getLogger(__name__)

#: Objective of an engine, in the details of its worker.
ENGINE = "hpdist.views.engine:execute"

#: Jobs are numbered from the milliseconds since 1970 on, so many bits for each, which no client can
#: use up: so no call of an earlier client is taken for one of a later one.
_BITS = 12

_TIMING = Timing(lease_s=15.0, heartbeat_s=3.0, closed_s=2.0, poll_s=10.0, backoff_s=1.0)


class _NullJournal:
    """A journal that keeps nothing: the tasks of a client end with it."""

    def append(self, record: Record, at: float) -> None:
        pass

    def commit(self) -> None:
        pass


class Client:
    """Runs functions on engines: ``hpdist worker --engine --run DIR`` on any machine.

    Parameters
    ----------
    connection
        The run directory, created if it does not exist; engines need the key in it.
    engines
        How many engines to start on this machine.
    host
        Address to listen on; default: loopback.
    unpickle
        Unpickle objects that engines return, too, which lets all who have the key of the run
        directory run code here. Otherwise the values of calls are data: Python's plain types,
        numpy arrays, tables of pandas.

    Raises
    ------
    HpdistError
        If the directory is in use, or the client cannot listen at the address.
    """

    def __init__(
        self,
        connection: str | Path = "hpdist-runs/engines",
        *,
        engines: int = 0,
        host: str | None = None,
        unpickle: bool = False,
    ) -> None:
        self._unpickle = check_flag("unpickle", unpickle)
        path = check_path("connection", connection).resolve()
        engines = check_whole("engines", engines, minimum=0)
        self._tasks = TaskSource(is_engine, first_number=int(1000 * time.time()) << _BITS)
        self._changed = threading.Condition()
        self._timers: dict[Task, threading.Timer] = {}
        self._open: dict[Task, Future[Any]] = {}  #: of tasks that have not ended
        self._over: Failure | None = None  #: outcome of open tasks once the dispatcher has ended
        self._nameserver = NameServer(path.name, path.parent, host=host)
        dispatch = DispatchState(timing=_TIMING, policy=self._tasks)
        self._dispatcher = Dispatcher(
            lambda job: None,
            path.name,
            host=host,
            working_directory=path.parent,
            work=Work(self._tasks, dispatch, _NullJournal()),
            instance=RunInstance(ENGINE),  # that of all clients: engines go from one to the next
            observers=[self._observe],
            timing=_TIMING,
        )
        self._processes: WorkerProcesses | None = None
        self.failure: HpdistError | None = None  #: why none of the engines that it started is left
        self._nameserver.start()
        threading.Thread(target=self._serve, name="hpdist-views", daemon=True).start()
        try:
            self._dispatcher.wait_until_ready()
            if engines:
                self._start_engines(engines, path)
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------ engines

    @property
    def ids(self) -> list[int]:
        """Numbers of the registered engines, in the order of their registration."""
        return sorted(self._tasks.engines)

    def __len__(self) -> int:
        return len(self._tasks.engines)

    def info(self, engine: int) -> WorkerInfo:
        """Return the details of an engine: host, process, versions."""
        self._check([engine])
        return self._tasks.engines[engine]

    def wait_for_engines(self, count: int, timeout: float = 60.0) -> list[int]:
        """Wait until ``count`` engines are registered, and return their numbers.

        Raises
        ------
        NoWorkers
            If there are fewer after ``timeout`` seconds.
        """
        until = time.monotonic() + timeout
        with self._changed:
            while len(self) < count and self.failure is None:
                left = until - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
        if len(self) < count:
            directory = self._dispatcher.run_address.directory
            raise self.failure or NoWorkers(
                f"{len(self)} of {count} engines came within {timeout:g} s",
                do=f"hpdist worker --engine --run {directory}",
            )
        return self.ids

    def __getitem__(self, key: int | slice | Sequence[int]) -> DirectView:
        """Return a view on one engine, several, or with ``[:]`` on all registered ones."""
        if isinstance(key, slice):
            chosen = self.ids[key]
        elif isinstance(key, int):
            chosen = [self.ids[key] if key < 0 else key]
        else:
            chosen = list(key)
        self._check(chosen)
        return DirectView(self, chosen, single=isinstance(key, int))

    def load_balanced_view(self, targets: Sequence[int] | None = None) -> LoadBalancedView:
        """Return a view whose tasks go to idle engines, of ``targets`` if given."""
        if targets is not None:
            self._check(targets)
        return LoadBalancedView(self, targets)

    def _check(self, engines: Sequence[int]) -> None:
        here = self.ids
        if not here:
            raise NoWorkers(
                "there is no engine here",
                do=f"hpdist worker --engine --run {self._dispatcher.run_address.directory}",
            )
        for engine in engines:
            if engine not in here:
                raise ConfigurationError(f"there is no engine {engine!r}; there are {here}")

    # ------------------------------------------------------------------ tasks

    def submit(self, tasks: Sequence[Task], flat: str = "values") -> AsyncResult:
        """Run tasks for a view."""
        if self._over is not None:
            raise self._dispatcher.error or ConfigurationError(
                "the client is closed", do="make another"
            )
        for targets in {task.targets for task in tasks if task.targets is not None}:
            self._check(sorted(targets))
        shipped = [each for task in tasks for each in in_chunks(task)]
        futures: list[Future[Any]] = []
        for task in tasks:
            future: Future[Any] = Future()
            futures.append(future)
            task.times["submitted"] = time.time()
            task.on_end = self._ended
            self._open[task] = future
        self._tasks.offer(shipped)
        self._dispatcher.post(WorkOffered())
        if self._over is not None:
            self._abandon()  # the dispatcher ended meanwhile
        return AsyncResult(tasks, futures, flat, self._unpickle)

    def cancel(self, result: AsyncResult) -> None:
        """Cancel the open tasks of a result."""
        self._cancel(result.tasks, "cancelled")

    def close(self) -> None:
        """Cancel all tasks and close; engines started here end, others wait for another client."""
        for timer in list(self._timers.values()):
            timer.cancel()
        self._dispatcher.shutdown(shutdown_workers=self._processes is not None)
        if self._processes is not None:
            self._processes.close()
        self._nameserver.shutdown()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ internal

    def _start_engines(self, count: int, path: Path) -> None:
        self._processes = WorkerProcesses(count, ["--engine", "--run", str(path)], path)
        self._processes.start(self._dispatcher.run_address.key(), self._gone)
        self.wait_for_engines(count)

    def _serve(self) -> None:
        """Run the dispatcher to its end; the body of a thread."""
        over = Failure(FailureKind.CANCELLED, "the client was closed")
        try:
            self._dispatcher.run()
        except Exception as error:  # the top of a thread; `wait_until_ready` or `submit` raises it
            over = Failure(FailureKind.LOST, f"the client's dispatcher failed: {error}")
            logger.debug("the dispatcher of a client ended", exc_info=True)
        finally:
            self._over = over
            self._abandon()

    def _abandon(self) -> None:
        for task in list(self._open):
            self._settle(task, self._over)

    def _settle(self, task: Task, reply: Any) -> None:
        future = self._open.pop(task, None)
        if future is not None:
            task.times["received"] = time.time()
            future.set_result(reply)

    def _ended(self, task: Task, reply: Any) -> None:
        if (timer := self._timers.pop(task, None)) is not None:
            timer.cancel()
        if task.timed_out and isinstance(reply, Failure):
            reply = Failure(FailureKind.TIMEOUT, f"not done after {task.timeout:g} s")
        if isinstance(reply, dict) and "token" in reply:
            fetching = fetch_tasks(task, reply, lambda whole: self._settle(task, whole))
            self._tasks.offer(fetching, first=True)
            self._dispatcher.post(WorkOffered())
        else:
            self._settle(task, reply)

    def _observe(self, fresh: Sequence[tuple[float, Record]]) -> None:
        """Start the timers of tasks, and update the engines; in the loop's thread."""
        for task in self._tasks.started():
            if task.timeout is not None:
                self._start_timer(task, task.timeout)
        if jobs := self._tasks.unsatisfiable_jobs():
            self._cancel_jobs(jobs, ENGINE_LEFT)
        with self._changed:
            self._changed.notify_all()

    def _start_timer(self, task: Task, seconds: float) -> None:
        if (former := self._timers.pop(task, None)) is not None:
            former.cancel()  # of an earlier attempt
        timer = self._timers[task] = threading.Timer(seconds, self._time_out, [task])
        timer.daemon = True
        timer.start()

    def _time_out(self, task: Task) -> None:
        task.timed_out = True
        self._cancel([task], "its time is over")

    def _cancel(self, tasks: Sequence[Task], reason: str) -> None:
        self._tasks.take_back(tasks)
        self._cancel_jobs(self._tasks.jobs_of(tasks), reason)

    def _cancel_jobs(self, jobs: list[int], reason: str) -> None:
        arguments = {"jobs": jobs, "reason": reason}
        self._dispatcher.post(ControlRequested(Command.CANCEL, arguments))

    def _gone(self, why: HpdistError) -> None:
        with self._changed:
            self.failure = why
            self._changed.notify_all()


def is_engine(worker: WorkerInfo) -> bool:
    """Whether a worker is an engine; other workers are sent no code."""
    return worker.details.get("evaluates") == ENGINE
