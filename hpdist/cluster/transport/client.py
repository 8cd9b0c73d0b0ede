"""The client's end of a Pyro4 connection: one socket, one call at a time, nothing by itself.

Pyro4's own proxy deserializes what a server sends with the serializer that the *server* names,
has no time limit by default, retries, and raises the exceptions that it is sent. This one speaks
the same protocol: the key is checked first, one serializer is accepted, every call has a time
limit, and an exception of the other side is told, never raised.
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
from hpdist.cluster.transport.encryption import encrypt, turned_away
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
        What is at the other end, for messages: "the dispatcher", "the nameserver".
    timeout_s
        For each step until the connection stands.
    tls
        The run's certificates; None if it does without TLS.

    Raises
    ------
    AuthenticationError
        If the other side has another key or certificate, or only one side speaks TLS.
    UnauthenticatedPeer
        If something else than a daemon of hpdist answers.
    TransportError
        If nothing answers: refused, in time or not, and unknown hosts each in its own words.
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
        self._who, self._object_id, self._key = who, object_id, key
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
        """Call ``method``; the connection is closed when anything at all goes wrong.

        Raises
        ------
        TransportError
            Or one of its kinds, as when connecting.
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
        """Close the connection, from any thread; a call that waits fails at once."""
        self._hung_up = True
        cut(self._sock)
        # The thread that calls closes the socket itself: it may be asleep in a poll, which would
        # go on with whatever gets the same file descriptor next.
        if self._calling.acquire(blocking=False):
            self._reader.close()
            self._calling.release()

    def _invoke(self, method: str, arguments: tuple[Any, ...], timeout_s: float) -> Any:
        self._calls += 1
        data = serializer().dumpsCall(self._object_id, method, arguments, {})
        mark = {SESSION: session_mark(self._nonce, self._calls)}
        seq = self._calls & 0xFFFF
        reply = self._ask(message.MSG_INVOKE, data, mark, seq, timeout_s)
        expected = session_mark(self._nonce, self._calls, answer=True)
        if not hmac.compare_digest(bytes(reply.annotations.get(SESSION, b"")), expected):
            raise TransportError(
                f"{self._who} at {self._address} gave an answer that was not made for this call"
            )
        return self._content(reply)

    def _shake_hands(self, timeout_s: float) -> bytes:
        mine = make_nonce()
        data = serializer().dumps({"handshake": mine.hex(), "object": self._object_id})
        reply = self._ask(message.MSG_CONNECT, data, {}, 0, timeout_s)
        content = self._content(reply)
        if reply.type == message.MSG_CONNECTFAIL:
            raise turned_away(_told(content), self._who, self._address)
        try:
            nonce = bytes.fromhex(content)
        except (TypeError, ValueError):
            nonce = b""
        if len(nonce) != 2 * NONCE_BYTES or not nonce.startswith(mine):
            raise self._foreign("it does not answer this process as hpdist does")
        return nonce

    def _ask(
        self, kind: int, data: bytes, annotations: dict[str, bytes], seq: int, timeout_s: float
    ) -> Any:
        """Send a message and return the reply, whose sender has the key."""
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
                f"no answer from {self._who} at {self._address} within {timeout_s:g} s",
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
        if reply.seq != seq:  # doubled or late: what follows on this connection is no use either
            raise TransportError(f"{self._who} at {self._address} answered another call")
        return reply

    def _content(self, reply: Any) -> Any:
        if reply.serializer_id != serializer().serializer_id:
            raise self._foreign("a reply of another kind")
        try:
            content = msgpack.unpackb(reply.data)  # Pyro4's own would make objects of what is sent
        except (ValueError, msgpack.UnpackException) as error:
            raise self._foreign(str(error)) from None
        if reply.flags & message.FLAGS_EXCEPTION:
            raise TransportError(
                f"{self._who} at {self._address} could not do it", cause=_told(content)
            )
        return content

    def _foreign(self, cause: str) -> UnauthenticatedPeer:
        return UnauthenticatedPeer(
            f"what answers at {self._address} is not {self._who} of this version of hpdist",
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


def _told(content: object) -> str:
    """Put into words why something was refused: a text, or an exception as Pyro4 describes it."""
    parts = [content]
    if isinstance(content, dict):
        arguments = content.get("args")
        parts = [content.get("__class__"), *(arguments if isinstance(arguments, list) else ())]
    texts = [part if isinstance(part, str) else reprlib.repr(part) for part in parts[:3]]
    return ": ".join(texts)[:_LONGEST_CAUSE]
