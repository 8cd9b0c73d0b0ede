"""The executor of a cluster: a server for workers, and its entries in the nameserver."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.registration import Registry, Served
from hpdist.cluster.transport.address import bind_host, check_listening, is_loopback, join_address
from hpdist.cluster.transport.dispatcher_server import Server
from hpdist.core.dispatch.executor import Post
from hpdist.core.model.errors import ConfigurationError, HpdistError, TransportError
from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    Controlled,
    ControlRequested,
    Record,
    RunEnded,
    WorkerChanged,
)
from hpdist.core.model.limits_and_timing import Timing
from hpdist.core.model.orders import (
    Order,
)
from hpdist.core.model.states import Command, EndReason
from hpdist.core.model.validation import check_seconds, short_repr
from hpdist.core.model.values import WorkerInfo
from hpdist.core.remote.command_arguments import COMMANDS, check_arguments
from hpdist.core.remote.executor import RemoteExecutor
from hpdist.core.remote.messages import PROTOCOL
from hpdist.core.run.assembly import RunInstance

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listening:
    """Where to listen: an address or an interface, by default the one towards the nameserver.

    Without a port, that of the run's last dispatcher is tried first, so that workers find a
    restarted dispatcher at its former address.
    """

    host: str | None = None
    nic_name: str | None = None
    port: int = 0

    def __post_init__(self) -> None:
        check_listening(self.host, self.nic_name, self.port)


class Service:
    """Runs attempts on workers that connect; also an observer, which keeps the list of workers.

    It serves a run of its own until `take_over` names another.

    Parameters
    ----------
    on_workers
        Called in the loop's thread with the number of workers whenever that changes.
    """

    keeps_running = True

    def __init__(
        self,
        run_address: RunAddress,
        listening: Listening | None = None,
        *,
        timing: Timing | None = None,
        ping_interval: float = 10.0,
        on_workers: Callable[[int], None] | None = None,
    ) -> None:
        self.run_address = run_address
        self.listening = listening or Listening()
        self.timing = timing or Timing()
        self.workers: dict[str, WorkerInfo] = {}  #: registered workers; replaced, never changed
        self.registry: Registry | None = None
        self.uri = ""
        self.shuts_down_workers = True  #: whether workers leave when the run has finished
        self._finished = False
        self._ping_interval = check_seconds("ping_interval", ping_interval, infinite=True)
        self._on_workers = on_workers
        self._server: Server | None = None
        self._post: Post | None = None
        self.take_over(RunInstance(""))

    # ------------------------------------------------------------------ the executor

    def take_over(self, instance: RunInstance) -> None:
        """Set the run and session to serve; to be called before `start`."""
        self.instance = instance
        self.running = dict(instance.running)  #: (worker id, attempt) by job
        self._remote = RemoteExecutor(
            self.timing, instance.epoch, self.run_address.run_id, instance.instance_id
        )

    def start(self, post: Post) -> None:
        """Listen, and enter the address in the nameserver.

        Raises
        ------
        TransportError
            If it cannot listen there.
        ConfigurationError
            If another dispatcher serves this run.
        """
        self._post = post
        self._remote.start(post)
        self._server = self._listen()
        self.uri = self._server.uri
        served = Served(
            self.run_address, self.uri, self.instance.epoch, lambda: self.workers, self.is_busy
        )
        registry = Registry(served, self._ping_interval)
        registry.check_alone()  # before this one writes to the journal
        self.instance.announce(join_address(*self._server.address))
        registry.start()
        self.registry = registry
        logger.info("the dispatcher of run %s listens on %s", self.run_address.run_id, self.uri)

    def perform(self, orders: Sequence[Order]) -> None:
        self._remote.perform(orders)

    def close(self, grace_s: float) -> None:
        if self.registry is not None:
            self.registry.close(finished=self._finished and self.shuts_down_workers)
        self._remote.close(grace_s)
        if self._server is not None:
            self._server.close()

    def _listen(self) -> Server:
        where = self.listening
        former_port = self.instance.former_port
        nameserver = self.run_address.nameserver_host()
        host = bind_host(where.host, where.nic_name, nameserver)
        if is_loopback(host) and nameserver is not None and not is_loopback(nameserver):
            logger.warning(
                "the dispatcher listens on loopback (%s), but the nameserver is at %s\n"
                "  cause: workers on other machines will find the run but cannot reach it\n"
                "  do:    give an address they can reach: --host ADDRESS or --nic NAME",
                host,
                nameserver,
            )
        server = self._server_at(host, where.port or former_port)
        try:
            server.start()
        except TransportError:
            if where.port or not former_port:
                raise
            server = self._server_at(host, 0)  # the former port is taken: any other is used
            server.start()
        return server

    def _server_at(self, host: str, port: int) -> Server:
        return Server(
            self._remote.exchange,
            self._control,
            key=self.run_address.key(),
            tls=self.run_address.tls(),
            host=host,
            port=port,
            on_disconnect=self._remote.connection_closed,
        )

    # ------------------------------------------------------------------ workers

    def observe(self, fresh: Sequence[tuple[float, Record]]) -> None:
        """Update the tables of workers and running jobs; called in the loop's thread."""
        before = self.workers
        for _, record in fresh:
            self._follow(record)
            if isinstance(record, WorkerChanged):
                self._note(record)
            elif isinstance(record, RunEnded):
                self._finished = record.reason == EndReason.FINISHED
            elif isinstance(record, Controlled):
                self._finished = False
        if self.workers is not before:
            if self.registry is not None:
                self.registry.trigger()
            if self._on_workers is not None:
                self._on_workers(len(self.workers))

    def _follow(self, record: Record) -> None:
        if isinstance(record, AttemptStarted):
            self.running[record.job_id] = (record.worker_id, record.attempt)
        elif isinstance(record, AttemptEnded):
            self.running.pop(record.job_id, None)

    def _note(self, record: WorkerChanged) -> None:
        worker_id = record.worker.worker_id
        others = {name: info for name, info in self.workers.items() if name != worker_id}
        registered = record.state.serves
        self.workers = others | {worker_id: record.worker} if registered else others

    def is_busy(self, worker_id: str) -> bool:
        """Whether an attempt is assigned to a worker."""
        return worker_id in [name for name, _ in list(self.running.values())]

    # ------------------------------------------------------------------ commands

    def control(self, command: str, **arguments: Any) -> None:
        """Carry out an operator's command: stop, drain, pause, resume, retry, extend, cancel.

        Raises
        ------
        ConfigurationError
            If there is no such command, or it does not take these arguments.
        """
        if command not in COMMANDS:
            raise ConfigurationError(
                f"there is no command {short_repr(command)}",
                do=f"choose from {', '.join(COMMANDS)}",
            )
        request = ControlRequested(Command.of(command), check_arguments(command, arguments))
        if self._post is not None:
            self._post([request])

    def _control(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a command of an authenticated sender."""
        mine = {"epoch": self.instance.epoch, "pid": os.getpid(), "host": socket.gethostname()}
        reply = {"v": PROTOCOL, "kind": "ok", "run": self.run_address.run_id, **mine}
        if message.get("v") != PROTOCOL or message.get("run") != self.run_address.run_id:
            text = f"this is run {self.run_address.run_id!r}, protocol {PROTOCOL}"
            return {**reply, "kind": "refused", "message": text}
        try:
            if message.get("command") != "who":
                self.control(str(message.get("command")), **dict(message.get("arguments") or {}))
        except (HpdistError, TypeError, ValueError) as error:
            return {**reply, "kind": "refused", "message": str(error)}
        return reply
