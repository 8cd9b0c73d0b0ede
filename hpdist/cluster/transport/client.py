"""The client's end of a Pyro4 connection: one socket, one call at a time, no retries.

Pyro4's own proxy deserializes what a server sends with the serializer that the *server* names,
has no time limit by default, retries, and raises the exceptions that it is sent. This one uses
the same protocol: the key is checked first, one serializer is accepted, every call has a time
limit, and an exception of the server becomes the cause of an error, it is never raised itself.
"""

from __future__ import annotations

import hmac
import reprlib
import socket
import struct
import threading
from typing import Any

import msgpack
from Pyro4 import errors, message

from hpdist.cluster.transport.address import join_address
from hpdist.cluster.transport.encryption import encrypt, refused_by_server
from hpdist.cluster.transport.pyro import (
    NONCE_BYTES,
    SESSION,
    Reader,
    cut,
    keep_alive,
    make_nonce,
    serializer,
    session_mark,
)
from hpdist.cluster.transport.tls import Tls
from hpdist.core.model.errors import AuthenticationError, TransportError, UnauthenticatedPeer

_LONGEST_CAUSE = 2000


class Connection:
    """A connection to one object of a daemon that has the same key.

    Parameters
    ----------
    who
        Name of the server for messages: "the dispatcher", "the nameserver".
    timeout_s
        Limit for each step of connecting.
    tls
        The run's certificates; None if the run does not use TLS.

    Raises
    ------
    AuthenticationError
        If the server has another key or certificate, or only one side uses TLS.
    UnauthenticatedPeer
        If the server that responds is no daemon of hpdist.
    TransportError
        If the connection is refused, times out, or the host is unknown; the message says which.
    """

    def __init__(
        self,
        who: str,
        object_id: str,
        host: str,
        port: int,
        key: bytes,
        timeout_s: float,
        tls: Tls | None = None,
    ) -> None:
        self._who = who
        self._object_id = object_id
        self._key = key
        self._address = join_address(host, port)
        self._calls = 0
        self._calling = threading.Lock()
        self._hung_up = False
        try:
            self._sock = socket.create_connection((host, port), timeout_s)
        except (OSError, UnicodeError) as error:
            raise self._unreachable(error, timeout_s) from None
        if tls is not None:
            self._sock = encrypt(self._sock, tls, who, self._address, timeout_s)
        self._reader = Reader(self._sock, message.FLAGS_EXCEPTION)
        try:
            keep_alive(self._sock)
            self._nonce = self._shake_hands(timeout_s)
        except BaseException:
            self.close()
            raise

    def invoke(self, method: str, arguments: tuple[Any, ...], timeout_s: float) -> Any:
        """Call ``method``; any error closes the connection.

        Raises
        ------
        TransportError
            Or one of its subclasses, as when connecting.
        """
        try:
            with self._calling:
                return self._invoke(method, arguments, timeout_s)
        except BaseException:
            self._hung_up = True
            raise
        finally:
            if self._hung_up:
                self.close()

    def close(self) -> None:
        """Close the connection, from any thread; a call in progress fails at once."""
        self._hung_up = True
        cut(self._sock)
        # A thread in a call closes the socket itself: it may be blocked in a poll, which would
        # continue with the next socket or file that gets the same file descriptor.
        if self._calling.acquire(blocking=False):
            self._reader.close()
            self._calling.release()

    def _invoke(self, method: str, arguments: tuple[Any, ...], timeout_s: float) -> Any:
        self._calls += 1
        data = serializer().dumpsCall(self._object_id, method, arguments, {})
        mark = {SESSION: session_mark(self._nonce, self._calls)}
        seq = self._calls & 0xFFFF
        reply = self._request(message.MSG_INVOKE, data, mark, seq, timeout_s)
        expected = session_mark(self._nonce, self._calls, reply=True)
        if not hmac.compare_digest(bytes(reply.annotations.get(SESSION, b"")), expected):
            raise TransportError(
                f"{self._who} at {self._address} sent a reply that was not made for this call"
            )
        return self._content(reply)

    def _shake_hands(self, timeout_s: float) -> bytes:
        mine = make_nonce()
        data = serializer().dumps({"handshake": mine.hex(), "object": self._object_id})
        reply = self._request(message.MSG_CONNECT, data, {}, 0, timeout_s)
        content = self._content(reply)
        if reply.type == message.MSG_CONNECTFAIL:
            raise refused_by_server(_describe(content), self._who, self._address)
        try:
            nonce = bytes.fromhex(content)
        except (TypeError, ValueError):
            nonce = b""
        if len(nonce) != 2 * NONCE_BYTES or not nonce.startswith(mine):
            raise self._foreign("its handshake is not that of hpdist")
        return nonce

    def _request(
        self, kind: int, data: bytes, annotations: dict[str, bytes], seq: int, timeout_s: float
    ) -> Any:
        """Send a message and return the reply, which is signed with the key."""
        expected = (
            [message.MSG_RESULT]
            if kind == message.MSG_INVOKE
            else [message.MSG_CONNECTOK, message.MSG_CONNECTFAIL]
        )
        number = serializer().serializer_id
        request = message.Message(kind, data, number, 0, seq, annotations, self._key)
        try:
            self._sock.settimeout(timeout_s)
            self._sock.sendall(request.to_bytes())
            self._reader.expect(timeout_s)
            reply = message.Message.recv(self._reader, expected, hmac_key=self._key)
        except (TimeoutError, errors.TimeoutError):
            raise TransportError(
                f"no reply from {self._who} at {self._address} within {timeout_s:g} s",
                cause="it hangs, was stopped, or the network is cut",
            ) from None
        except (errors.ConnectionClosedError, OSError) as error:
            raise TransportError(
                f"{self._who} at {self._address} closed the connection", cause=str(error)
            ) from None
        except errors.SecurityError:
            raise AuthenticationError(
                f"{self._who} at {self._address} has another key than this process",
                cause="it belongs to another run, the key was made anew, or none was given here",
                do="use the key file of the run: --key-file or HPDIST_KEY_FILE=<run directory>/key",
            ) from None
        except (errors.ProtocolError, struct.error, UnicodeDecodeError) as error:
            raise self._foreign(str(error)) from None
        if reply.seq != seq:  # duplicate or late: later replies on this connection are wrong too
            raise TransportError(f"{self._who} at {self._address} replied to another call")
        return reply

    def _content(self, reply: Any) -> Any:
        if reply.serializer_id != serializer().serializer_id:
            raise self._foreign("the reply has another serializer")
        try:
            content = msgpack.unpackb(reply.data)  # Pyro4's own serializer would create objects
        except (ValueError, msgpack.UnpackException) as error:
            raise self._foreign(str(error)) from None
        if reply.flags & message.FLAGS_EXCEPTION:
            raise TransportError(
                f"{self._who} at {self._address} could not handle the call",
                cause=_describe(content),
            )
        return content

    def _foreign(self, cause: str) -> UnauthenticatedPeer:
        return UnauthenticatedPeer(
            f"the server at {self._address} is not {self._who} of this version of hpdist",
            cause=cause,
        )

    def _unreachable(self, error: Exception, timeout_s: float) -> TransportError:
        cause = str(error)
        if isinstance(error, ConnectionRefusedError):
            cause = "connection refused: the host answers, nothing listens on that port"
        elif isinstance(error, TimeoutError):
            cause = f"timed out after {timeout_s:g} s: a firewall, a wrong interface or a dead host"
        elif isinstance(error, socket.gaierror | UnicodeError):
            cause = "unknown host: no address is found for that name"
        return TransportError(f"cannot reach {self._who} at {self._address}", cause=cause)


def _describe(content: object) -> str:
    """Return the reason of a refusal, which is a text or an exception as Pyro4 describes it."""
    parts = [content]
    if isinstance(content, dict):
        arguments = content.get("args")
        parts = [content.get("__class__"), *(arguments if isinstance(arguments, list) else ())]
    texts = [part if isinstance(part, str) else reprlib.repr(part) for part in parts[:3]]
    return ": ".join(texts)[:_LONGEST_CAUSE]
