"""The dispatcher: hands jobs to the workers that dial in, and their results to whoever asked."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpdist.cluster.address import bind_host, join_address
from hpdist.cluster.commands import COMMANDS, check_arguments
from hpdist.cluster.locate import Place
from hpdist.cluster.registry import Registry, Served
from hpdist.cluster.server import Server
from hpdist.cluster.submissions import FinishedJob, Submissions
from hpdist.dispatch_state import DispatchState
from hpdist.errors import ConfigurationError, HpdistError, TransportError
from hpdist.events import (
    AttemptEnded,
    AttemptFinished,
    AttemptResult,
    AttemptStarted,
    ControlRequested,
    Event,
    JobSubmitted,
    Record,
    WorkerChanged,
)
from hpdist.executors.messages import PROTOCOL
from hpdist.executors.remote import RemoteExecutor
from hpdist.inbox import QueueInbox
from hpdist.journal import MemoryJournal
from hpdist.loop import Log, Loop, Observer, Source
from hpdist.model import Failure, FailureKind, Outcome, Retry, Timing, WorkerInfo
from hpdist.normalise import normalise_result
from hpdist.run_directory import check_run_id

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Worker:
    """A read-only handle on a worker that has joined."""

    name: str
    uri: str
    info: WorkerInfo | None = field(default=None, compare=False)
    dispatcher: Dispatcher | None = field(default=None, compare=False, repr=False)

    def is_alive(self) -> bool:
        """Whether its lease is valid."""
        return self.dispatcher is not None and self.name in self.dispatcher.view

    def is_busy(self) -> bool:
        """Whether it holds an attempt."""
        return self.dispatcher is not None and self.dispatcher.is_busy(self.name)

    def shutdown(self) -> None:
        """Ask it to leave after the evaluation in hand."""
        if self.dispatcher is not None:
            self.dispatcher.post(ControlRequested("dismiss", {"worker": self.name}))


@dataclass(frozen=True)
class Work:
    """What a dispatcher serves: a source of jobs, its book, and where it is written down."""

    source: Source
    dispatch: DispatchState
    journal: Log
    epoch: int = 1
    former_port: int = 0
    announce: Callable[[str], None] = lambda address: None
    observers: Sequence[Observer] = ()


class Dispatcher:
    """Assigns jobs to free workers and reports results.

    Works alone, with jobs from `submit_job`; a `Master` gives it a study to work off.

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
        Called with the number of workers whenever that changes.
    working_directory
        Where ``<run_id>/`` with key and connection file is.
    nic_name, port
        Interface by name, and the port to listen on; 0 for any.
    work
        What to serve in place of `submit_job`.
    loop_options
        Further options of `hpdist.loop.Loop`.
    """

    def __init__(
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
        **loop_options: Any,
    ) -> None:
        self.run_id = check_run_id(str(run_id))
        self.timing = timing or Timing()
        directory = None if working_directory is None else Path(working_directory) / self.run_id
        self.place = Place(self.run_id, nameserver, nameserver_port, directory)
        self.view: dict[str, WorkerInfo] = {}  #: the workers that are here
        self._running: dict[int, tuple[str, int]] = {}  #: by job, what runs of it
        self.error: BaseException | None = None
        self._submissions = Submissions(new_result_callback)
        self._queue_callback = queue_callback
        work = work or self._own_work(retry)
        self._work, self._dispatch = work, work.dispatch
        self._inbox = QueueInbox()
        self._executor = RemoteExecutor(self.timing, work.epoch, self.run_id)
        observers = [*work.observers, self._look]
        options = {"stay": True, **loop_options}
        self._loop = Loop(
            work.source,
            work.dispatch,
            work.journal,
            self._executor,
            self._inbox,
            observers=observers,
            **options,
        )
        self._listen = (host, nic_name, port)
        self._ping_interval = ping_interval
        self._registry: Registry | None = None
        self._ready = threading.Event()
        self._over = threading.Event()

    def _own_work(self, retry: Retry | None) -> Work:
        source = self._submissions
        return Work(
            source, DispatchState(retry, self.timing), MemoryJournal(), observers=[source.observe]
        )

    # ------------------------------------------------------------------ life

    def run(self) -> None:
        """Serve until `shutdown`; blocks.

        Raises
        ------
        HpdistError
            If it cannot listen, or another dispatcher serves this run, or the journal fails.
        """
        server = None
        try:
            server = self._serve()
            served = Served(
                self.place, server.uri, self._work.epoch, lambda: self.view, self.is_busy
            )
            self._registry = Registry(served, self._ping_interval)
            self._registry.start()
            self._ready.set()
            self.job_runner()
        except BaseException as error:
            self.error = error
            raise
        finally:
            if self._registry is not None:
                self._registry.close()
            if server is not None:
                server.close()
            self._over.set()
            self._ready.set()

    def _serve(self) -> Server:
        host, nic_name, port = self._listen
        former = self._work.former_port
        address = bind_host(host, nic_name, self.place.nameserver_host())
        server = self._server_at(address, port or former)
        try:
            server.start()
        except TransportError:
            if port or not former:
                raise
            server = self._server_at(address, 0)  # the former port is taken: any other will do
            server.start()
        self._work.announce(join_address(*server.address))
        logger.info("the dispatcher of run %s listens on %s", self.run_id, server.uri)
        return server

    def _server_at(self, host: str, port: int) -> Server:
        return Server(
            self._executor.exchange,
            self._control,
            key=self.place.key(),
            host=host,
            port=port,
            on_disconnect=self._executor.connection_closed,
        )

    def job_runner(self) -> None:
        """Run the loop in the calling thread, to its end."""
        self._loop.run()

    def wait_until_ready(self, timeout: float | None = None) -> bool:
        """Wait until workers can call; raises what `run` failed with."""
        ready = self._ready.wait(timeout)
        if self.error is not None:
            raise self.error
        return ready

    def shutdown(self, shutdown_workers: bool = False) -> None:
        """Stop serving. What runs is left to the workers; with ``shutdown_workers`` they leave."""
        self.post(ControlRequested("stop", {"dismiss": shutdown_workers, "reason": "shut down"}))
        if self._ready.is_set():
            self._over.wait(self.timing.lease_s)

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
            If there is no configuration in it.
        """
        job = self._submissions.add(id, kwargs, time.time())
        if job is not None:
            self.post(JobSubmitted(job))

    def register_result(self, id: Any = None, result: Any = None) -> bool:
        """Hand in the result of a running job, as its worker would.

        ``result`` is what `Worker.compute` returns, or a dict with ``result`` and ``exception``.

        Returns
        -------
        accepted
            False if no such job runs: it is settled, or was never handed out.
        """
        number = self._submissions.number_of(id)
        worker_id, attempt = self._running.get(-1 if number is None else number, ("", 0))
        info = self.view.get(worker_id)
        if number is None or info is None:
            return False
        told = AttemptResult(number, attempt, _outcome(id, result))
        self.post(AttemptFinished(worker_id, info.incarnation, told))
        return True

    # ------------------------------------------------------------------ workers

    def number_of_workers(self) -> int:
        """How many workers are here."""
        return len(self.view)

    def discover_workers(self) -> list[Worker]:
        """Review the nameserver's entries now, and return the workers."""
        if self._registry is not None:
            self._registry.review()
        uri = "" if self._registry is None else self._registry.served.uri
        return [Worker(name, uri, info, self) for name, info in self.view.items()]

    def is_busy(self, worker_id: str) -> bool:
        """Whether a worker holds an attempt."""
        return worker_id in [holder for holder, _ in list(self._running.values())]

    def trigger_discover_worker(self) -> None:
        """Have the entries reviewed soon."""
        if self._registry is not None:
            self._registry.trigger()

    def shutdown_all_workers(self, rediscover: bool = False) -> None:
        """Ask all workers to leave after the evaluation in hand."""
        self.post(ControlRequested("dismiss", {"reason": "shut down"}))
        if rediscover:
            self.trigger_discover_worker()

    # ------------------------------------------------------------------ from other threads

    def post(self, event: Event) -> None:
        """Give the loop an event, from any thread."""
        self._inbox.post([event])

    def control(self, command: str, **arguments: Any) -> None:
        """Do what an operator asks: stop, drain, pause, resume, retry, extend, cancel.

        Raises
        ------
        ConfigurationError
            If there is no such command.
        """
        if command not in COMMANDS:
            raise ConfigurationError(f"there is no command {command!r}", do=", ".join(COMMANDS))
        self.post(ControlRequested(command, check_arguments(command, arguments)))

    def _control(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a command from outside; the caller has shown the key."""
        mine = {"epoch": self._work.epoch, "pid": os.getpid(), "host": socket.gethostname()}
        try:
            if message.get("command") != "who":
                self.control(str(message.get("command")), **dict(message.get("arguments") or {}))
        except (HpdistError, TypeError, ValueError) as error:
            return {"v": PROTOCOL, "kind": "refused", "message": str(error), **mine}
        return {"v": PROTOCOL, "kind": "ok", "run": self.run_id, **mine}

    def _look(self, fresh: Sequence[tuple[float, Record]]) -> None:
        """Renew what other threads may know of the book; called in the loop's thread."""
        changed = False
        for _, record in fresh:
            if isinstance(record, AttemptStarted):
                self._running[record.job_id] = (record.worker_id, record.attempt)
            elif isinstance(record, AttemptEnded):
                self._running.pop(record.job_id, None)
            changed = changed or isinstance(record, WorkerChanged)
        if changed:
            workers = self._dispatch.workers.items()
            self.view = {name: worker.info for name, worker in workers if worker.connected}
            self.trigger_discover_worker()
            if self._queue_callback is not None:
                self._queue_callback(len(self.view))


def _outcome(id: Any, result: Any) -> Outcome:
    if isinstance(result, dict) and result.get("exception"):
        return Failure(FailureKind.EXCEPTION, str(result["exception"]))
    if isinstance(result, dict) and "result" in result:
        result = result["result"]
    return normalise_result(result, f"register_result({id!r})")
