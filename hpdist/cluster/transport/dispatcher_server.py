"""Pyro4 server of the dispatcher: one object that receives worker and control messages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from Pyro4 import core

from hpdist.cluster.transport.address import join_address
from hpdist.cluster.transport.pyro import OBJECT_ID
from hpdist.cluster.transport.server import GuardedDaemon, check_session
from hpdist.cluster.transport.tls import Tls
from hpdist.core.model.errors import HpdistError
from hpdist.core.model.json_codec import decode, encode
from hpdist.core.remote.replies import REFUSED, Reply, write_reply

logger = logging.getLogger(__name__)

Handler = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Returns the reply to a message; may block, and is called from many threads."""

OnDisconnect = Callable[[str, str], None]
"""Called with (worker id, incarnation) when a connection of that worker has ended."""


class Server:
    """Serves workers over Pyro4.

    Parameters
    ----------
    exchange, control
        Handlers of the messages of workers and of the commands of operators.
    key
        Required of every client.
    host, port
        Where to listen; port 0 takes any free port.
    max_workers
        Each may have two connections; further connections are refused.
    tls
        The run's certificates, if it has any; required of every client, besides the key.
    """

    def __init__(
        self,
        exchange: Handler,
        control: Handler,
        *,
        key: bytes,
        host: str,
        port: int = 0,
        max_workers: int = 1024,
        on_disconnect: OnDisconnect | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._exchange = exchange
        self._control = control
        self._key = key
        self._host = host
        self._port = port
        self._max_workers = max_workers
        self._on_disconnect = on_disconnect
        self._tls = tls
        self._daemon: _Daemon | None = None

    def start(self) -> tuple[str, int]:
        """Start listening; return host and port.

        Raises
        ------
        TransportError
            If the port is in use or the address is not one of this machine.
        ConfigurationError
            If the key is too short for the network.
        """
        peers = 2 * self._max_workers + 64
        daemon = _Daemon(self._host, self._port, self._key, peers, tls=self._tls)
        daemon.on_disconnect = self._on_disconnect
        daemon.register(DispatcherEndpoint(self._exchange, self._control), OBJECT_ID)
        daemon.serve("hpdist-pyro-accept")
        self._daemon = daemon
        return daemon.address

    @property
    def address(self) -> tuple[str, int]:
        """Host and port at which the server listens."""
        if self._daemon is None:
            raise RuntimeError("the server was not started")
        return self._daemon.address

    @property
    def uri(self) -> str:
        """The Pyro4 URI of the dispatcher's object."""
        return f"PYRO:{OBJECT_ID}@{join_address(*self.address)}"

    def close(self, grace_s: float = 1.0) -> None:
        """Stop listening and close all connections; may be called again.

        Calls in progress get ``grace_s`` seconds to finish.
        """
        if self._daemon is not None:
            self._daemon.stop(grace_s)


class _Daemon(GuardedDaemon):
    on_disconnect: OnDisconnect | None = None

    def disconnected(self, conn: Any) -> None:
        if conn.peer is not None and self.on_disconnect is not None:
            self.on_disconnect(*conn.peer)


class DispatcherEndpoint:
    """Pyro object that receives worker and control messages.

    Errors are returned as refusals, never as exceptions.
    """

    def __init__(self, exchange: Handler, control: Handler) -> None:
        self._handlers = {"exchange": exchange, "control": control}

    def exchange(self, text: str) -> str:
        return self._answer("exchange", text)

    def control(self, text: str) -> str:
        return self._answer("control", text)

    def _answer(self, method: str, text: str) -> str:
        check_session()
        try:
            message = decode(text)
            _note_peer(message)
            return encode(self._handlers[method](message))
        except HpdistError as error:
            return encode(write_reply(Reply(REFUSED, 0, message=str(error))))
        except Exception:
            logger.exception("a message could not be answered")
            return encode(write_reply(Reply(REFUSED, 0, message="a bug in hpdist: see its log")))


core.expose(DispatcherEndpoint)


def _note_peer(message: Mapping[str, Any]) -> None:
    """Record which worker uses this connection, for `OnDisconnect`."""
    worker, incarnation = message.get("worker"), message.get("incarnation")
    if isinstance(worker, str) and isinstance(incarnation, str):
        core.current_context.client.peer = (worker, incarnation)
