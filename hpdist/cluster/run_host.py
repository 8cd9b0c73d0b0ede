"""The executor of a run whose workers connect: its service, nameserver and worker processes."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.nameserver import NameServer
from hpdist.cluster.service import Listening, Service
from hpdist.cluster.worker_processes import WorkerProcesses
from hpdist.cluster.worker_watch import CHECK_EVERY_S, WorkerWatch
from hpdist.core.dispatch.executor import Post
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.journal.run_names import safe_run_id
from hpdist.core.model.errors import HpdistError, NoWorkers, TransportError
from hpdist.core.model.events import (
    ControlRequested,
    Record,
)
from hpdist.core.model.orders import (
    Order,
)
from hpdist.core.model.states import Command
from hpdist.core.run.assembly import RunInstance

logger = logging.getLogger(__name__)


class RunNameServer(NameServer):
    """The nameserver of a run directory of any name."""

    def __init__(self, path: Path, where: Listening) -> None:
        super().__init__(
            safe_run_id(path.resolve().name),
            host=where.host,
            port=where.port,
            nic_name=where.nic_name,
        )
        self._run = RunDirectory(path)


class RunHost:
    """Runs attempts on workers that connect; `take_over` has to be called before `start`.

    The class `Master`, ``hpdist master`` and ``executor="cluster"`` stand on it.

    Parameters
    ----------
    service
        Exchanges messages with the workers.
    nameserver
        Where to listen with a nameserver in this process, unless the run has one that answers;
        None for no nameserver here.
    processes
        Worker processes to start on this machine.
    monitored
        Start a thread that warns while too few workers are connected, and stops the search after
        ``worker_timeout_s``; the next two have no effect without it.
    min_workers
        Number of workers to wait for before the first evaluation.
    worker_timeout_s
        Stop the search when too few workers were connected for this time.

    Attributes
    ----------
    failure
        Why it stopped the run; None if it did not.
    """

    keeps_running = True

    def __init__(
        self,
        service: Service,
        *,
        nameserver: Listening | None = None,
        processes: WorkerProcesses | None = None,
        monitored: bool = True,
        min_workers: int = 0,
        worker_timeout_s: float = math.inf,
    ) -> None:
        self.service = service
        self.run_address = service.run_address
        self.failure: HpdistError | None = None
        self._nameserver_at = nameserver
        self._nameserver: NameServer | None = None
        self._processes = processes
        self._min_workers = min_workers
        self._worker_timeout_s = worker_timeout_s
        self._post: Post | None = None
        self._holds_back = monitored and min_workers > 1
        self._given_up: HpdistError | None = None  #: why none of its own processes is left
        self._changed = threading.Event()  #: a worker joined or left
        self._closing = threading.Event()
        self._monitored = monitored
        self._monitor = threading.Thread(target=self._watch, name="hpdist-watch", daemon=True)

    # ------------------------------------------------------------------ the executor

    def take_over(self, instance: RunInstance) -> None:
        """Set the run to serve."""
        self.service.take_over(instance)

    def start(self, post: Post) -> None:
        """Start the nameserver, then the service, then the workers.

        Raises
        ------
        HpdistError
            As `NameServer.start` and `Service.start` do.
        """
        self._post = post
        if self._holds_back:
            post([ControlRequested(Command.PAUSE)])
        if self._nameserver_at is not None and not answers(self.run_address):
            path = self.run_address.directory
            assert path is not None
            self._nameserver = RunNameServer(path, self._nameserver_at)
            self._nameserver.start()
        self.service.start(post)
        if self._processes is not None:
            self._processes.start(self.run_address.key(), self._workers_ended)
        if self._monitored:
            self._monitor.start()

    def perform(self, orders: Sequence[Order]) -> None:
        self.service.perform(orders)

    def observe(self, fresh: Sequence[tuple[float, Record]]) -> None:
        """Follow the records, as an observer of the loop."""
        before = self.service.workers
        self.service.observe(fresh)
        if self.service.workers is before:
            return
        self._changed.set()
        if self._holds_back and self.number_of_workers() >= self._min_workers:
            self._holds_back = False
            self._request(ControlRequested(Command.RESUME))

    def close(self, grace_s: float) -> None:
        self._closing.set()
        self.service.close(grace_s)
        if self._processes is not None:
            self._processes.close()
        if self._nameserver is not None:
            self._nameserver.shutdown()

    # ------------------------------------------------------------------ workers

    def number_of_workers(self) -> int:
        """Return the number of registered workers."""
        return len(self.service.workers)

    def wait_for_workers(
        self,
        wanted: int,
        timeout_s: float,
        logger: logging.Logger,
        check_alive: Callable[[], None],
    ) -> None:
        """Wait until ``wanted`` workers are registered; a diagnosis is logged now and then.

        Parameters
        ----------
        check_alive
            Called at each look at the number of workers; raises if none can register any more.

        Raises
        ------
        NoWorkers
            After ``timeout_s`` seconds, with a diagnosis.
        """
        watch = WorkerWatch(self.run_address, self.number_of_workers, timeout_s, logger)
        while self.number_of_workers() < wanted:
            self._changed.wait(CHECK_EVERY_S)
            self._changed.clear()
            check_alive()
            watch.check(wanted)

    def _watch(self) -> None:
        """Warn while there are too few workers, and stop the run after the timeout; a thread."""
        watch = WorkerWatch(
            self.run_address, self.number_of_workers, self._worker_timeout_s, logger
        )
        while not self._closing.wait(CHECK_EVERY_S):
            if self._given_up is not None and not self.number_of_workers():
                self._stop(self._given_up)
                return
            try:
                watch.check(self._min_workers if self._holds_back else 1)
            except NoWorkers as error:
                self._stop(error)
                return

    def _workers_ended(self, why: HpdistError) -> None:
        """Stop the search as soon as no other worker is left."""
        self._given_up = why
        if self.service.workers:
            logger.warning("%s\n  the search goes on while other workers are connected", why)

    def _stop(self, why: HpdistError) -> None:
        self.failure = why
        self._request(ControlRequested(Command.STOP, {"reason": why.what}))

    def _request(self, request: ControlRequested) -> None:
        assert self._post is not None, "it has started"
        self._post([request])


def answers(run_address: RunAddress) -> bool:
    """Whether the nameserver of a run answers now."""
    try:
        with run_address.names(timeout_s=2.0) as names:
            names.entries("hpdist.")
    except TransportError:
        return False
    return True
