"""A Pyro4 daemon that unauthenticated clients cannot stop, fill or deceive.

A connection has a thread of its own. Until its handshake and its first call prove that the client
has the key it is unauthenticated: it has two seconds, the number of such connections is limited,
and the thread that accepts connections never reads from one.
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
    """A Pyro4 daemon for peers with the key, one thread a connection.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes any that is free.
    key
        Required of every peer.
    max_peers
        How many connections with the key are served at a time.
    serializers
        Accepted besides the one that hpdist uses.
    flags
        Message flags that are accepted.
    tls
        The run's certificates, which every peer must have then, besides the key.
    longest
        Bytes of a message that are read, at most.

    Raises
    ------
    TransportError
        If nothing can listen there, for example because the port is taken.
    ConfigurationError
        If there is no key, or one too short for the network.
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
        longest: int = MAX_BYTES,
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
        self._flags, self._longest, self._tls = flags, longest, tls
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
        """Accept connections from now on, in a thread called ``name``."""
        server = self.transportServer
        self._accepting = threading.Thread(
            target=lambda: server.loop(lambda: not self._closing), name=name, daemon=True
        )
        self._accepting.start()

    def stop(self, grace_s: float = 1.0) -> None:
        """Close everything; calls that are being answered get ``grace_s`` seconds to finish."""
        if self._closing:
            return
        self._closing = True
        cut(self._listener)
        if self._accepting is not None:
            self._accepting.join()
        # Reading ends at once, so idle connections go; an answer can still be sent.
        self._threads.cut(socket.SHUT_RD, grace_s)
        self._threads.cut(socket.SHUT_RDWR, 1.0)
        self.close()

    def annotations(self) -> dict[str, bytes]:
        """Tie an answer to the call that is being answered."""
        conn = core.current_context.client
        return {SESSION: session_mark(conn.nonce, conn.calls, answer=True)}

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
        key = None  # what is signed for an unauthenticated client, it could show as its own
        try:
            request = message.Message.recv(conn, [message.MSG_CONNECT], hmac_key=self._pyroHmacKey)
            key = self._pyroHmacKey
            if self._tls is not None and not is_encrypted(conn.sock):
                raise errors.ProtocolError(NEEDS_TLS)
            answer = self._admit(conn, request)
        except errors.ConnectionClosedError:
            return False
        except Exception as error:  # noqa: BLE001 - what a client sends ends only its own connection
            logger.debug("a connection was refused: %r", error)
            self._send(conn, message.MSG_CONNECTFAIL, serializer(), str(error), key)
            return False
        flags = request.flags & message.FLAGS_META_ON_CONNECT
        spoken = util.get_serializer_by_id(request.serializer_id)
        self._send(conn, message.MSG_CONNECTOK, spoken, answer, key, flags, request.seq)
        return True

    def _encrypt(self, conn: Any) -> bool:
        """Begin TLS if that is spoken here; False if it cannot be."""
        try:
            if self._tls is not None:
                encrypt_peer(conn, self._tls, HANDSHAKE_S)
        except OSError as error:
            logger.debug("a connection was refused: %r", error)
            return False
        return not self._closing

    def _admit(self, conn: Any, request: Any) -> Any:
        """Return the answer to the handshake of a client, or raise why it is refused."""
        if request.serializer_id not in self._accepted:
            raise errors.SerializeError(f"serializer {request.serializer_id} is not accepted")
        data = util.get_serializer_by_id(request.serializer_id).deserializeData(request.data)
        if self._connections.full:
            raise self._connections.too_many()
        conn.nonce = _part(data["handshake"]) + make_nonce()
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
        spoken: Any,
        data: Any,
        key: bytes | None,
        flags: int = 0,
        seq: int = 0,
    ) -> None:
        content, number = spoken.dumps(data), spoken.serializer_id
        reply = message.Message(kind, content, number, flags, seq, hmac_key=key)
        conn.send(reply.to_bytes())

    def handleRequest(self, conn: Any) -> None:
        if self._closing:
            raise errors.ConnectionClosedError("the server is closing")
        conn.reader.expect(
            None if self._connections.is_authenticated(conn) else MESSAGE_S, self._longest
        )
        conn.calls += 1
        core.current_context.client = conn
        super().handleRequest(conn)

    def clientDisconnect(self, conn: Any) -> None:
        self.disconnected(conn)

    def disconnected(self, conn: Any) -> None:
        """Take notice that the connection of a peer has ended; for subclasses."""


def check_session(*, strictly: bool = True) -> None:
    """Make sure that the call being served was made for its connection, as its next one: no replay.

    Parameters
    ----------
    strictly
        Otherwise a call that bears no mark at all will do, as those of Pyro4's own client.

    Raises
    ------
    SecurityError
        If it was made for another connection, or as another call.
    """
    context = core.current_context
    given = context.annotations.get(SESSION)
    if given is None and strictly:
        raise errors.SecurityError("a call that could be a recording: this client may only read")
    right = session_mark(context.client.nonce, context.client.calls)
    if given is not None and not hmac.compare_digest(bytes(given), right):
        raise errors.SecurityError("a call that was not made for this connection")
    context.client.authenticate(context.client)


class _Threads:
    """One thread a connection, in place of Pyro4's pool, whose size is the process's."""

    def __init__(self, connections: ConnectionTable) -> None:
        self._connections = connections
        self._most = (
            connections.max_peers + 2 * MAX_UNAUTHENTICATED
        )  # some were cut and have yet to notice
        self._lock = threading.Lock()
        self._running: dict[threading.Thread, Any] = {}
        self._closed = False

    def process(self, job: Any) -> None:
        thread = threading.Thread(target=self._run, args=(job,), name="hpdist-pyro-connection")
        thread.daemon = True
        with self._lock:
            if self._closed:
                raise PoolError("the server is closing")
            if len(self._running) >= self._most:
                raise NoFreeWorkersError("too many connections wait to prove their key")
            self._running[thread] = job.csock
        going: Any = self._connections.add(job.csock, str(job.caddr[0]))
        if going is not None:
            cut(going.sock)
        thread.start()

    def cut(self, how: int, within_s: float) -> None:
        """End all connections in this direction; give their threads time to notice."""
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


def _part(handshake: object) -> bytes:
    """What a client puts into the nonce; nothing where it is one of Pyro4's own."""
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
    """Fail as listening there would; Pyro4 leaves its socket open when that fails."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))


def _bind_cause(error: OSError, port: int) -> str:
    if port and error.errno == errno.EADDRINUSE:
        return f"port {port} is taken by another program"
    return error.strerror or str(error)
