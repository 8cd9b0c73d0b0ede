"""Registers a dispatcher and its workers in the nameserver, again after each of its restarts."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hpdist.cluster.directory import (
    Names,
    list_workers,
    register_dispatcher,
    register_end,
    register_worker,
    registered_dispatcher,
    remove_run,
    remove_worker,
)
from hpdist.cluster.discovery import RunAddress
from hpdist.core.model.errors import ConfigurationError, HpdistError, MasterNotFound, TransportError
from hpdist.core.model.values import WorkerInfo

logger = logging.getLogger(__name__)

#: Seconds between two tries while the nameserver does not answer.
RETRY_S = 2.0

#: Entries are reviewed at least this often, so that a restarted nameserver soon knows the run.
REVIEW_S = 10.0


@dataclass(frozen=True)
class Served:
    """The registered dispatcher at ``uri``, and its workers."""

    run_address: RunAddress
    uri: str
    epoch: int
    workers: Callable[[], Mapping[str, WorkerInfo]]
    is_busy: Callable[[str], bool]


class Registry:
    """A thread that reviews the entries of a run regularly, and at once when triggered.

    Only workers that look for the run need the nameserver: while it is down, connected workers
    go on.
    """

    def __init__(self, served: Served, interval_s: float) -> None:
        self.served = served
        self._interval_s = min(interval_s, REVIEW_S)
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._unreachable = False
        self._registered = False  #: whether this dispatcher was registered before
        self._successor = ""  #: address of the dispatcher that has taken the run over
        self._reviewing = threading.Lock()  #: one review at a time; it guards no state of the run
        self._thread = threading.Thread(
            target=self._review_regularly, name="hpdist-registry", daemon=True
        )

    def check_alone(self) -> None:
        """Raise if another dispatcher serves this run; to be called before `start`.

        Raises
        ------
        ConfigurationError
            If another dispatcher of this run is alive.
        """
        try:
            other = self.served.run_address.dispatcher()
        except (MasterNotFound, TransportError):
            return
        if other == self.served.uri:
            return
        channel = self.served.run_address.channel(other, timeout_s=3.0)
        try:
            found = channel.control({"command": "who"})
        except TransportError:
            return
        finally:
            channel.close()
        raise ConfigurationError(
            f"run {self.served.run_address.run_id!r} has a master already",
            cause=f"process {found.get('pid')} on {found.get('host')} serves it at {other}",
            do="stop that one first, or choose another run id",
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def trigger(self) -> None:
        """Request a review soon."""
        self._wake.set()

    def close(self, *, finished: bool = False) -> None:
        """Remove the entries of this dispatcher, if the nameserver still answers.

        With ``finished`` the end of the run is registered, so that no worker waits for it.
        """
        self._closing.set()
        self._wake.set()
        if self._thread.ident is None:
            return
        self._thread.join()
        try:
            with self._reviewing, self.served.run_address.names() as names:
                remove_run(names, self.served.run_address.run_id, self.served.uri)
                if finished:
                    register_end(names, self.served.run_address.run_id, self.served.uri)
        except (HpdistError, OSError) as error:
            logger.debug("could not remove the entries of the run: %s", error)

    def review(self) -> None:
        """Bring the entries up to date, now.

        Raises
        ------
        TransportError
            If no nameserver answers.
        """
        served, run_id = self.served, self.served.run_address.run_id
        with self._reviewing, self.served.run_address.names() as names:
            if self._closing.is_set() or self._is_superseded(names):
                return
            notes = {"host": socket.gethostname(), "pid": os.getpid(), "epoch": served.epoch}
            register_dispatcher(names, run_id, served.uri, notes)
            self._registered = True
            workers = served.workers()
            for worker_id, info in workers.items():
                state = "busy" if served.is_busy(worker_id) else "idle"
                register_worker(names, run_id, info, served.uri, state)
            for worker_id in list_workers(names, run_id).keys() - workers.keys():
                remove_worker(names, run_id, worker_id)

    def _is_superseded(self, names: Names) -> bool:
        """Return True if a dispatcher that started after this one is registered: its entry stays.

        It started while this one did not answer, since it was stopped or its network was cut. The
        entry of an earlier dispatcher is replaced.
        """
        entry = registered_dispatcher(names, self.served.run_address.run_id)
        if not self._registered or entry is None or entry.uri == self.served.uri:
            return False
        epoch = entry.metadata.get("epoch", "")
        if epoch.isdecimal() and int(epoch) < self.served.epoch:
            return False
        if self._successor != entry.uri:
            self._successor = entry.uri
            logger.warning(
                "another dispatcher, at %s, has taken run %s over: new workers connect to it",
                entry.uri,
                self.served.run_address.run_id,
            )
        return True

    def _review_regularly(self) -> None:
        while not self._closing.is_set():
            wait_s = self._interval_s
            self._wake.clear()
            try:
                self.review()
                self._unreachable = False
            except (HpdistError, OSError) as error:
                if not self._unreachable:
                    logger.warning("%s\n  connected workers go on; trying again", error)
                self._unreachable, wait_s = True, RETRY_S
            self._wake.wait(wait_s)
