"""A Pyro4 daemon that unauthenticated clients cannot stop, overload or deceive.

A connection has a thread of its own. Until its handshake and its first call prove that the client
has the key it is unauthenticated: it has two seconds for that, the number of such connections is
limited, and the thread that accepts connections never reads from one.
"""

from __future__ import annotations

import errno
import hmac
import logging
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

from Pyro4 import core, errors, message, util
from Pyro4.socketserver.threadpool import NoFreeWorkersError, PoolError

from hpdist.cluster.transport.address import join_address
from hpdist.cluster.transport.connections import MAX_UNAUTHENTICATED, ConnectionTable
from hpdist.cluster.transport.encryption import NEEDS_TLS, encrypt_peer, is_encrypted
from hpdist.cluster.transport.pyro import (
    HANDSHAKE_S,
    MAX_BYTES,
    MAX_SHORT_BYTES,
    MESSAGE_S,
    NONCE_BYTES,
    SESSION,
    Reader,
    check_environment,
    check_key,
    cut,
    keep_alive,
    make_nonce,
    serializer,
    session_mark,
)
from hpdist.cluster.transport.tls import Tls
from hpdist.core.model.errors import TransportError

logger = logging.getLogger(__name__)


class GuardedDaemon(core.Daemon):  # type: ignore[misc]
    """A Pyro4 daemon for clients with the key, with one thread per connection.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes any free port.
    key
        Required of every client.
    max_peers
        Maximum number of authenticated connections.
    serializers
        Serializers to accept besides that of hpdist.
    flags
        Message flags to accept.
    tls
        The run's certificates, if it has any; required of every client, besides the key.
    max_bytes
        Maximum size of a message.

    Raises
    ------
    TransportError
        If it cannot listen there, for example because the port is in use.
    ConfigurationError
        If the key is empty, or too short for the network.
    """

    def __init__(
        self,
        host: str,
        port: int,
        key: bytes,
        max_peers: int,
        *,
        serializers: Sequence[str] = (),
        flags: int = 0,
        tls: Tls | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        check_environment()
        check_key(key, host)
        try:
            _probe(host, port)
            super().__init__(host, port)
        except OSError as error:
            raise TransportError(
                f"cannot listen at {join_address(host, port)}", cause=_bind_cause(error, port)
            ) from None
        self._pyroHmacKey = key
        self._flags = flags
        self._max_bytes = max_bytes
        self._tls = tls
        self._accepted = {util.get_serializer(name).serializer_id for name in serializers}
        self._accepted.add(serializer().serializer_id)
        self._Daemon__serializer_ids = self._accepted
        self._connections = ConnectionTable(max_peers)
        self._closing = False
        self._accepting: threading.Thread | None = None
        self._listener = self.transportServer.sock
        keep_alive(self._listener)  # inherited by the connections that it accepts
        self._threads = _replace_pool(self.transportServer, self._connections)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]

    def serve(self, name: str) -> None:
        """Start accepting connections, in a thread called ``name``."""
        server = self.transportServer
        self._accepting = threading.Thread(
            target=lambda: server.loop(lambda: not self._closing), name=name, daemon=True
        )
        self._accepting.start()

    def stop(self, grace_s: float = 1.0) -> None:
        """Close all connections; calls in progress get ``grace_s`` seconds to finish."""
        if self._closing:
            return
        self._closing = True
        cut(self._listener)
        if self._accepting is not None:
            self._accepting.join()
        # Reading ends at once, which closes idle connections; replies can still be sent.
        self._threads.cut(socket.SHUT_RD, grace_s)
        self._threads.cut(socket.SHUT_RDWR, 1.0)
        self.close()

    def annotations(self) -> dict[str, bytes]:
        """Return the annotations that tie a reply to its call."""
        conn = core.current_context.client
        return {SESSION: session_mark(conn.nonce, conn.calls, reply=True)}

    # ------------------------------------------------------- called by Pyro4, in threads

    def _handshake(self, conn: Any, denied_reason: str | None = None) -> bool:
        if denied_reason or self._closing:
            return False  # in the accepting thread, which must not read
        until = time.monotonic() + HANDSHAKE_S
        if not self._encrypt(conn):
            return False
        conn.reader = Reader(conn.sock, self._flags)
        conn.recv = conn.reader.recv
        conn.reader.expect(until - time.monotonic(), MAX_SHORT_BYTES)
        try:
            return self._shake_hands(conn)
        except errors.CommunicationError as error:
            logger.debug("a connection ended: %r", error)
            return False

    def _shake_hands(self, conn: Any) -> bool:
        key = None  # a client without the key must get no signed message: it could replay it
        try:
            request = message.Message.recv(conn, [message.MSG_CONNECT], hmac_key=self._pyroHmacKey)
            key = self._pyroHmacKey
            if self._tls is not None and not is_encrypted(conn.sock):
                raise errors.ProtocolError(NEEDS_TLS)
            content = self._admit(conn, request)
        except errors.ConnectionClosedError:
            return False
        except Exception as error:  # noqa: BLE001 - an error of a client ends only its own connection
            logger.debug("a connection was refused: %r", error)
            self._send(conn, message.MSG_CONNECTFAIL, serializer(), str(error), key)
            return False
        flags = request.flags & message.FLAGS_META_ON_CONNECT
        codec = util.get_serializer_by_id(request.serializer_id)
        self._send(conn, message.MSG_CONNECTOK, codec, content, key, flags, request.seq)
        return True

    def _encrypt(self, conn: Any) -> bool:
        """Start TLS if the run has certificates; return False if that fails."""
        try:
            if self._tls is not None:
                encrypt_peer(conn, self._tls, HANDSHAKE_S)
        except OSError as error:
            logger.debug("a connection was refused: %r", error)
            return False
        return not self._closing

    def _admit(self, conn: Any, request: Any) -> Any:
        """Return the reply to the handshake of a client, or raise the reason of a refusal."""
        if request.serializer_id not in self._accepted:
            raise errors.SerializeError(f"serializer {request.serializer_id} is not accepted")
        data = util.get_serializer_by_id(request.serializer_id).deserializeData(request.data)
        if self._connections.full:
            raise self._connections.too_many()
        conn.nonce = _client_nonce(data["handshake"]) + make_nonce()
        conn.calls = 0
        conn.peer = None
        conn.authenticate = self._connections.authenticate
        if not request.flags & message.FLAGS_META_ON_CONNECT:
            return conn.nonce.hex()
        daemon = self.objectsById[core.constants.DAEMON_NAME]
        meta = daemon.get_metadata(data["object"], as_lists=True)
        return {"handshake": conn.nonce.hex(), "meta": meta}

    def _send(
        self,
        conn: Any,
        kind: int,
        codec: Any,
        data: Any,
        key: bytes | None,
        flags: int = 0,
        seq: int = 0,
    ) -> None:
        content, number = codec.dumps(data), codec.serializer_id
        reply = message.Message(kind, content, number, flags, seq, hmac_key=key)
        conn.send(reply.to_bytes())

    def handleRequest(self, conn: Any) -> None:
        if self._closing:
            raise errors.ConnectionClosedError("the server is closing")
        conn.reader.expect(
            None if self._connections.is_authenticated(conn) else MESSAGE_S, self._max_bytes
        )
        conn.calls += 1
        core.current_context.client = conn
        super().handleRequest(conn)

    def clientDisconnect(self, conn: Any) -> None:
        self.disconnected(conn)

    def disconnected(self, conn: Any) -> None:
        """Called when the connection of a peer has ended; for subclasses to override."""


def check_session(*, strictly: bool = True) -> None:
    """Require that the current call was made for its connection as its next one: no replay.

    Parameters
    ----------
    strictly
        If False, a call without a mark is accepted too, as Pyro4's own client makes it.

    Raises
    ------
    SecurityError
        If the call was made for another connection, or with another number.
    """
    context = core.current_context
    given = context.annotations.get(SESSION)
    if given is None and strictly:
        raise errors.SecurityError("the call could be a recording: this client may only read")
    expected = session_mark(context.client.nonce, context.client.calls)
    if given is not None and not hmac.compare_digest(bytes(given), expected):
        raise errors.SecurityError("the call was not made for this connection")
    context.client.authenticate(context.client)


class _Threads:
    """One thread per connection; Pyro4's pool has one size for the whole process."""

    def __init__(self, connections: ConnectionTable) -> None:
        self._connections = connections
        # twice, since the threads of connections that were closed end with a delay
        self._max_threads = connections.max_peers + 2 * MAX_UNAUTHENTICATED
        self._lock = threading.Lock()
        self._running: dict[threading.Thread, Any] = {}
        self._closed = False

    def process(self, job: Any) -> None:
        thread = threading.Thread(target=self._run, args=(job,), name="hpdist-pyro-connection")
        thread.daemon = True
        with self._lock:
            if self._closed:
                raise PoolError("the server is closing")
            if len(self._running) >= self._max_threads:
                raise NoFreeWorkersError("too many connections are unauthenticated")
            self._running[thread] = job.csock
        closed: Any = self._connections.add(job.csock, str(job.caddr[0]))
        if closed is not None:
            cut(closed.sock)
        thread.start()

    def cut(self, how: int, within_s: float) -> None:
        """End all connections in direction ``how``; wait ``within_s`` seconds for their threads."""
        until = time.monotonic() + within_s
        with self._lock:
            running = dict(self._running)
        for conn in running.values():
            cut(conn.sock, how)
        for thread in running:
            thread.join(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        with self._lock:
            self._closed = True

    def num_workers(self) -> int:
        return len(self._running)

    def _run(self, job: Any) -> None:
        try:
            job()
        finally:
            self._connections.remove(job.csock)
            with self._lock:
                del self._running[threading.current_thread()]


def _client_nonce(handshake: object) -> bytes:
    """Return the part of the nonce that a client chose; zeros for Pyro4's own client."""
    try:
        theirs = bytes.fromhex(str(handshake))
    except ValueError:
        return bytes(NONCE_BYTES)
    return theirs if len(theirs) == NONCE_BYTES else bytes(NONCE_BYTES)


def _replace_pool(server: Any, connections: ConnectionTable) -> _Threads:
    for worker in list(server.pool.idle):
        worker.process(None)
        worker.join()
    server.pool = _Threads(connections)
    pool: _Threads = server.pool
    return pool


def _probe(host: str, port: int) -> None:
    """Raise the error of listening there; Pyro4 leaves its socket open after such an error."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))


def _bind_cause(error: OSError, port: int) -> str:
    if port and error.errno == errno.EADDRINUSE:
        return f"port {port} is in use by another program"
    return error.strerror or str(error)
