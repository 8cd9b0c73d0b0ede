"""Keeps a dispatcher and its workers entered in the nameserver, come what may."""

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
    """What is entered: a dispatcher at ``uri``, and whoever works for it."""

    run_address: RunAddress
    uri: str
    epoch: int
    workers: Callable[[], Mapping[str, WorkerInfo]]
    is_busy: Callable[[str], bool]


class Registry:
    """A thread that reviews the entries, and does so at once when triggered.

    The nameserver is needed by those who look for the run, not by those who have found it:
    while it is gone, all goes on.
    """

    def __init__(self, served: Served, interval_s: float) -> None:
        self.served = served
        self._interval_s = min(interval_s, REVIEW_S)
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._missing = False
        self._entered = False  #: whether the run was once entered as ours
        self._successor = ""  #: who has taken the run over
        self._reviewing = threading.Lock()  #: one review at a time; it guards no state of the run
        self._thread = threading.Thread(target=self._keep, name="hpdist-registry", daemon=True)

    def check_alone(self) -> None:
        """Refuse to go on if another dispatcher serves this run; to be asked before `start`.

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
        link = self.served.run_address.link(other, timeout_s=3.0)
        try:
            found = link.control({"command": "who"})
        except TransportError:
            return
        finally:
            link.close()
        raise ConfigurationError(
            f"run {self.served.run_address.run_id!r} has a master already",
            cause=f"process {found.get('pid')} on {found.get('host')} serves it at {other}",
            do="stop that one first, or choose another run id",
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def trigger(self) -> None:
        """Review soon."""
        self._wake.set()

    def close(self, *, finished: bool = False) -> None:
        """Strike out what was entered, if the nameserver still answers.

        With ``finished`` it is noted that the run is over, so that no worker waits for it.
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
            logger.debug("could not strike out the run: %s", error)

    def review(self) -> None:
        """Make the entries what they should be, now.

        Raises
        ------
        TransportError
            If no nameserver answers.
        """
        served, run_id = self.served, self.served.run_address.run_id
        with self._reviewing, self.served.run_address.names() as names:
            if self._closing.is_set() or self._is_succeeded(names):
                return
            notes = {"host": socket.gethostname(), "pid": os.getpid(), "epoch": served.epoch}
            register_dispatcher(names, run_id, served.uri, notes)
            self._entered = True
            workers = served.workers()
            for worker_id, info in workers.items():
                state = "busy" if served.is_busy(worker_id) else "idle"
                register_worker(names, run_id, info, served.uri, state)
            for worker_id in list_workers(names, run_id).keys() - workers.keys():
                remove_worker(names, run_id, worker_id)

    def _is_succeeded(self, names: Names) -> bool:
        """Whether a dispatcher that began after this one is entered: its entry is left alone.

        It found this one silent, as after a stop or behind a cut network. The entry of an earlier
        one is replaced.
        """
        entry = registered_dispatcher(names, self.served.run_address.run_id)
        if not self._entered or entry is None or entry.uri == self.served.uri:
            return False
        epoch = entry.metadata.get("epoch", "")
        if epoch.isdecimal() and int(epoch) < self.served.epoch:
            return False
        if self._successor != entry.uri:
            self._successor = entry.uri
            logger.warning(
                "another dispatcher, at %s, has taken run %s over: new workers go to that one",
                entry.uri,
                self.served.run_address.run_id,
            )
        return True

    def _keep(self) -> None:
        while not self._closing.is_set():
            wait_s = self._interval_s
            self._wake.clear()
            try:
                self.review()
                self._missing = False
            except (HpdistError, OSError) as error:
                if not self._missing:
                    logger.warning("%s\n  workers that are here work on; trying again", error)
                self._missing, wait_s = True, RETRY_S
            self._wake.wait(wait_s)
