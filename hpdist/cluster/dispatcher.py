"""The dispatcher: assigns jobs to the workers that connect, and reports their results."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.option_checks import LOOP_OPTIONS, run_name
from hpdist.cluster.run_host import RunHost
from hpdist.cluster.service import Listening, Service
from hpdist.core.dispatch.executor import Executor
from hpdist.core.dispatch.state import DispatchState
from hpdist.core.model.errors import ConfigurationError, TransportError
from hpdist.core.model.events import (
    AttemptFinished,
    AttemptResult,
    ControlRequested,
    Event,
    WorkOffered,
)
from hpdist.core.model.limits_and_timing import Retry, Timing
from hpdist.core.model.states import Command, FailureKind
from hpdist.core.model.validation import check_callable, check_path, check_seconds, maybe
from hpdist.core.model.values import Failure, Outcome, WorkerInfo
from hpdist.core.objective.returned_value import normalise_result
from hpdist.core.run.assembly import RunInstance, Work, make_loop
from hpdist.core.run.executor_names import check_executor_object
from hpdist.core.run.finished_jobs import FinishedJob
from hpdist.core.run.loop import Observer
from hpdist.core.run.options import check_names, check_timing_and_retry
from hpdist.core.run.submissions import Submissions

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Worker:
    """A read-only handle on a registered worker."""

    name: str
    uri: str
    info: WorkerInfo | None = field(default=None, compare=False)
    dispatcher: Dispatcher | None = field(default=None, compare=False, repr=False)

    def is_alive(self) -> bool:
        """Whether its lease is valid."""
        return self.dispatcher is not None and self.name in self.dispatcher.service.workers

    def is_busy(self) -> bool:
        """Whether an attempt is assigned to it."""
        return self.dispatcher is not None and self.dispatcher.service.is_busy(self.name)

    def shutdown(self) -> None:
        """Ask it to leave after its running evaluation."""
        if self.dispatcher is not None:
            self.dispatcher.post(ControlRequested(Command.SHUT_DOWN_WORKERS, {"worker": self.name}))


class Dispatcher:
    """Assigns jobs to free workers and reports results.

    Serves jobs from `submit_job`, or those of the study of a `Master`.

    Parameters
    ----------
    new_result_callback
        Called in the dispatcher's thread with each `FinishedJob`.
    run_id
        Workers of other runs are refused.
    ping_interval
        Seconds between two reviews of the nameserver's entries.
    nameserver, nameserver_port
        Where the nameserver is; default: the one of the working directory, or port 9090.
    host
        Address or name of the network interface to listen on; default: the one that leads to
        the nameserver.
    queue_callback
        Called with the number of workers whenever it changes.
    working_directory
        Where ``<run_id>/`` with key and connection file is.
    nic_name, port
        Interface by name, and the port to listen on; 0 for any.
    work, instance
        Work to serve in place of that from `submit_job`, and the run that it belongs to.
    observers
        Called in the dispatcher's thread with new records.
    number_of
        Returns the number of the open job of a caller's id, None if there is none.
    executor
        Runs jobs in place of workers that connect, see `hpdist.executors.registry.make_executor`;
        then no port is opened.
    loop_options
        Further options of `hpdist.core.run.loop.Loop`.
    """

    def __init__(  # noqa: PLR0913 - a public signature
        self,
        new_result_callback: Callable[[FinishedJob], None],
        run_id: str = "0",
        ping_interval: float = 10,
        nameserver: str | None = "localhost",
        nameserver_port: int | None = None,
        host: str | None = None,
        queue_callback: Callable[[int], None] | None = None,
        *,
        working_directory: str | Path | None = None,
        nic_name: str | None = None,
        port: int = 0,
        timing: Timing | None = None,
        retry: Retry | None = None,
        work: Work | None = None,
        instance: RunInstance | None = None,
        observers: Sequence[Observer] = (),
        number_of: Callable[[Any], int | None] | None = None,
        executor: Executor | None = None,
        **loop_options: Any,
    ) -> None:
        self.run_id = run_name(run_id)
        check_names("Dispatcher", loop_options, LOOP_OPTIONS)
        check_timing_and_retry(timing, retry)
        maybe(check_executor_object, "executor", executor)
        maybe(check_callable, "queue_callback", queue_callback, takes="of a number of workers")
        timing = timing or Timing()
        parent = maybe(check_path, "working_directory", working_directory)
        directory = None if parent is None else parent / self.run_id
        self._submissions = Submissions(
            check_callable("new_result_callback", new_result_callback, "of a finished job")
        )
        self._takes_jobs = work is None
        work = work or Work(self._submissions, DispatchState(retry, timing))
        instance = instance or RunInstance(uuid.uuid4().hex)
        self._number_of = number_of or self._submissions.number_of
        self.run_address = RunAddress(self.run_id, nameserver, nameserver_port, directory)
        self.service = Service(
            self.run_address,
            Listening(host, nic_name, port),
            timing=timing,
            ping_interval=ping_interval,
            on_workers=queue_callback,
        )
        self.run_host = RunHost(self.service, monitored=False)
        self.run_host.take_over(instance)
        self.error: BaseException | None = None  #: what `run` failed with
        self._announces = executor is not None  #: a service does so itself, with its address
        if executor is not None:
            observers = [*observers, self.run_host.observe]
        chosen = self.run_host if executor is None else executor
        options = {"stay": True, "on_start": self._started, **loop_options}
        self._loop = make_loop(work, chosen, observers, **options)
        self._ready = threading.Event()
        self._over = threading.Event()
        self._thread: int | None = None  #: of the thread that serves

    # ------------------------------------------------------------------ running

    def run(self) -> None:
        """Serve until `shutdown`; blocks.

        Raises
        ------
        HpdistError
            If it cannot listen, another dispatcher serves this run, or the journal fails.
        """
        try:
            self.job_runner()
        except BaseException as error:
            self.error = error
            raise
        finally:
            self._over.set()
            self._ready.set()

    def job_runner(self) -> None:
        """Run the loop in the calling thread, to its end."""
        self._thread = threading.get_ident()
        self._loop.run()

    def _started(self) -> None:
        if self._announces:
            self.service.instance.announce("")
        self._ready.set()

    def wait_until_ready(self, timeout: float | None = None) -> bool:
        """Wait until workers can call; raises what `run` failed with."""
        ready = self._ready.wait(maybe(check_seconds, "timeout", timeout, zero=True))
        if self.error is not None:
            raise self.error
        return ready

    def shutdown(self, shutdown_workers: bool = False) -> None:
        """Stop serving. Workers continue running attempts; with ``shutdown_workers`` they leave.

        Waits for the end, unless a callback calls it.
        """
        self.service.shuts_down_workers = shutdown_workers
        self.post(
            ControlRequested(
                Command.STOP, {"shut_down_workers": shutdown_workers, "reason": "shut down"}
            )
        )
        if self._ready.is_set() and self._thread != threading.get_ident():
            self._over.wait(self.service.timing.lease_s)

    def __enter__(self) -> Dispatcher:
        threading.Thread(target=self._run_quietly, name="hpdist-dispatcher", daemon=True).start()
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown(shutdown_workers=True)

    def _run_quietly(self) -> None:
        try:
            self.run()
        except Exception:  # the top of a thread; `wait_until_ready` raises it to the caller
            logger.exception("the dispatcher of run %s ended", self.run_id)

    # ------------------------------------------------------------------ jobs

    def submit_job(self, id: Any, **kwargs: Any) -> None:
        """Queue a job; an id that is open already is not queued twice.

        Parameters
        ----------
        id
            The caller's name for it, such as a config_id.
        kwargs
            ``config``, and where wanted ``budget`` and ``config_info``.

        Raises
        ------
        ConfigurationError
            If there is no configuration in it, or a study proposes the jobs.
        """
        if not self._takes_jobs:
            raise ConfigurationError(
                f"job {id!r} cannot be submitted: this dispatcher runs the jobs of a study",
                do="give the study its first configurations: initial_configs=[...]",
            )
        job = self._submissions.add(id, kwargs, time.time())
        if job is not None:
            self.post(WorkOffered())

    def register_result(self, id: Any = None, result: Any = None) -> bool:
        """Report the result of a running job, as its worker would.

        ``result`` is what `Worker.compute` returns, or a dict with ``result`` and ``exception``.

        Returns
        -------
        accepted
            False if no such job runs: it is settled, or was never assigned.
        """
        number = self._number_of(id)
        worker_id, attempt = self.service.running.get(-1 if number is None else number, ("", 0))
        info = self.service.workers.get(worker_id)
        if number is None or info is None:
            return False
        reported = AttemptResult(number, attempt, _outcome(id, result))
        self.post(AttemptFinished(worker_id, info.incarnation, reported))
        return True

    # ------------------------------------------------------------------ workers

    def number_of_workers(self) -> int:
        """Return the number of registered workers."""
        return self.run_host.number_of_workers()

    def discover_workers(self) -> list[Worker]:
        """Review the nameserver's entries now, if it answers, and return the workers."""
        try:
            if self.service.registry is not None:
                self.service.registry.review()
        except TransportError as error:
            logger.warning("%s", error)
        uri, workers = self.service.uri, self.service.workers
        return [Worker(name, uri, info, self) for name, info in workers.items()]

    def trigger_discover_worker(self) -> None:
        """Request a review of the entries soon."""
        if self.service.registry is not None:
            self.service.registry.trigger()

    def shutdown_all_workers(self, rediscover: bool = False) -> None:
        """Ask all workers to leave after their running evaluations."""
        self.post(ControlRequested(Command.SHUT_DOWN_WORKERS, {"reason": "shut down"}))
        if rediscover:
            self.trigger_discover_worker()

    # ------------------------------------------------------------------ from other threads

    def post(self, event: Event) -> None:
        """Post an event to the loop, from any thread."""
        self._loop.inbox.post([event])

    def control(self, command: str, **arguments: Any) -> None:
        """Carry out an operator's command; see `Service.control`."""
        self.service.control(command, **arguments)


def _outcome(id: Any, result: Any) -> Outcome:
    if isinstance(result, dict) and result.get("exception"):
        return Failure(FailureKind.EXCEPTION, str(result["exception"]))
    if isinstance(result, dict) and "result" in result:
        result = result["result"]
    return normalise_result(result, f"register_result({id!r})")
