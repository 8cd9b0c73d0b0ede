"""The executor of a run whose workers connect: its service, nameserver and worker processes."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hpdist.cluster.diagnosis import why_no_workers
from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.nameserver import NameServer
from hpdist.cluster.service import Listening, Service
from hpdist.cluster.worker_processes import WorkerProcesses
from hpdist.core.dispatch.executor import Post
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.journal.run_names import safe_run_id
from hpdist.core.model.errors import HpdistError, NoWorkers, TransportError
from hpdist.core.model.events import (
    ControlRequested,
    Record,
)
from hpdist.core.model.options import Timing
from hpdist.core.model.orders import (
    Order,
)
from hpdist.core.model.states import Command
from hpdist.core.run.assembly import RunInstance

logger = logging.getLogger(__name__)

#: Seconds between two warnings that there is no worker.
NO_WORKERS_EVERY_S = 30.0

CHECK_EVERY_S = 1.0


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

    Parameters
    ----------
    listening
        Where the dispatcher listens; and the nameserver, if there is one of its own.
    own_nameserver
        Start a nameserver in this process, unless the run has one that answers.
    processes
        Worker processes to start on this machine.
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
        run_address: RunAddress,
        listening: Listening | None = None,
        *,
        timing: Timing | None = None,
        own_nameserver: bool = False,
        processes: WorkerProcesses | None = None,
        min_workers: int = 0,
        worker_timeout_s: float = math.inf,
    ) -> None:
        self.run_address = run_address
        self.listening = listening or Listening()
        self.timing = timing or Timing()
        self.failure: HpdistError | None = None
        self._own_nameserver = own_nameserver
        self._nameserver: NameServer | None = None
        self._processes = processes
        self._min_workers = min_workers
        self._worker_timeout_s = worker_timeout_s
        self._service: Service | None = None
        self._post: Post | None = None
        self._waiting = min_workers > 1
        self._given_up: HpdistError | None = None  #: why none of its own processes is left
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._monitor, name="hpdist-watch", daemon=True)

    # ------------------------------------------------------------------ the executor

    def take_over(self, instance: RunInstance) -> None:
        """Set the run to serve, and make its service."""
        # A requested port is for the nameserver, if this process starts one.
        port = 0 if self._own_nameserver else self.listening.port
        self._service = Service(
            self.run_address,
            replace(self.listening, port=port),
            instance,
            timing=self.timing,
            on_workers=self._counted,
        )

    @property
    def service(self) -> Service:
        """The service; available after `take_over`."""
        assert self._service is not None
        return self._service

    def start(self, post: Post) -> None:
        """Start the nameserver, then the service, then the workers.

        Raises
        ------
        HpdistError
            As `NameServer.start` and `Service.start` do.
        """
        self._post = post
        if self._waiting:
            post([ControlRequested(Command.PAUSE)])
        if self._own_nameserver and not answers(self.run_address):
            path = self.run_address.directory
            assert path is not None
            self._nameserver = RunNameServer(path, self.listening)
            self._nameserver.start()
        self.service.start(post)
        if self._processes is not None:
            self._processes.start(self.run_address.key(), self._workers_ended)
        self._watch.start()

    def perform(self, orders: Sequence[Order]) -> None:
        self.service.perform(orders)

    def observe(self, fresh: Sequence[tuple[float, Record]]) -> None:
        """Follow the records, as an observer of the loop."""
        self.service.observe(fresh)

    def close(self, grace_s: float) -> None:
        self._closing.set()
        self.service.close(grace_s)
        if self._processes is not None:
            self._processes.close()
        if self._nameserver is not None:
            self._nameserver.shutdown()

    # ------------------------------------------------------------------ workers

    def _counted(self, count: int) -> None:
        if self._waiting and count >= self._min_workers and self._post is not None:
            self._waiting = False
            self._post([ControlRequested(Command.RESUME)])

    def _monitor(self) -> None:
        """Warn while there are too few workers, and stop the run after the timeout; a thread."""
        last_enough = last_warning = time.monotonic()
        while not self._closing.wait(CHECK_EVERY_S):
            now = time.monotonic()
            if self._given_up is not None and not self.service.workers:
                self._stop(self._given_up)
                return
            if self._enough:
                last_enough = last_warning = now
            elif now - last_enough > self._worker_timeout_s:
                self._stop(self._no_workers(now - last_enough))
                return
            elif now - last_warning >= NO_WORKERS_EVERY_S:
                last_warning = now
                logger.warning("%s", self._no_workers(now - last_enough))

    @property
    def _enough(self) -> bool:
        return bool(self.service.workers) and not self._waiting

    def _no_workers(self, waited_s: float) -> NoWorkers:
        wanted = self._min_workers if self._waiting else 1
        return why_no_workers(self.run_address, len(self.service.workers), wanted, waited_s)

    def _workers_ended(self, why: HpdistError) -> None:
        """Stop the search as soon as no other worker is left."""
        self._given_up = why
        if self.service.workers:
            logger.warning("%s\n  the search goes on while other workers are connected", why)

    def _stop(self, why: HpdistError) -> None:
        self.failure = why
        if self._post is not None:
            self._post([ControlRequested(Command.STOP, {"reason": why.what})])


def answers(run_address: RunAddress) -> bool:
    """Whether the nameserver of a run answers now."""
    try:
        with run_address.names(timeout_s=2.0) as names:
            names.entries("hpdist.")
    except TransportError:
        return False
    return True
