"""A socket whose other end is a function, and Pyro4's messages with the right key."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

import msgpack
from Pyro4 import message, socketutil

from hpdist.cluster.transport.pyro import NONCE_BYTES, session_mark

KEY = b"k" * 32
HEAD = 6
"""Bytes of a description that say which message is meant; its payload follows."""

_HEADER = struct.Struct("!4sHHHHiHHHH")


class FakeSocket(socket.socket):
    """Gives out what the peer said, in pieces, and then the end of the connection.

    Parameters
    ----------
    said
        What the peer says at once.
    answer
        What it says to what is sent to it.
    deaf
        Whether it has gone away, so that nothing can be sent to it.
    """

    def __init__(
        self,
        said: bytes = b"",
        answer: Callable[[bytes], bytes] | None = None,
        *,
        piece: int = 65_536,
        deaf: bool = False,
    ) -> None:
        super().__init__()
        super().close()  # what is not overridden here does nothing
        self.sent = b""
        self.patience: list[float | None] = []  #: the time limit of each reading
        self._said, self._answer, self._piece, self._deaf = said, answer, piece, deaf
        self._timeout: float | None = None

    def recv(self, size: int) -> bytes:
        self.patience.append(self._timeout)
        size = min(size, self._piece)
        piece, self._said = self._said[:size], self._said[size:]
        return piece

    def sendall(self, data: bytes) -> None:
        if self._deaf:
            raise BrokenPipeError(32, "Broken pipe")
        self.sent += data
        if self._answer is not None:
            self._said += self._answer(bytes(data))

    def send(self, data: bytes) -> int:
        self.sendall(data)
        return len(data)

    def settimeout(self, seconds: float | None) -> None:
        self._timeout = seconds

    def gettimeout(self) -> float | None:
        return self._timeout

    def getpeername(self) -> tuple[str, int]:
        return "127.0.0.1", 1

    def setsockopt(self, *_: Any) -> None: ...

    def shutdown(self, _: int) -> None: ...

    def close(self) -> None: ...


def describe(
    kind: int, payload: bytes, *, flags: int = 0, serializer: int = 6, tricks: int = 0
) -> bytes:
    """Describe a message, for `signed` to make it."""
    return bytes([kind, flags, 0, 0, serializer, tricks]) + payload


def signed(description: bytes, seq: int = 0, mark: bytes = b"") -> bytes:
    """Make the message that was described, by somebody who has the key.

    The third and fourth byte are added to the right sequence number; the last of the head leaves
    out the mark of the session, or adds other annotations.
    """
    kind, flags, high, low, serializer, tricks = description[:HEAD].ljust(HEAD, b"\0")
    annotations = {} if tricks & 1 or not mark else {"HPDS": mark}
    if tricks & 2:
        annotations["CORR"] = description[:7]
    if tricks & 4:
        annotations["HPDS"] = b""
    number = (seq + 256 * high + low) & 0xFFFF
    made = message.Message(
        kind,
        description[HEAD:],
        serializer,
        flags,
        number,
        annotations,
        None if tricks & 8 else KEY,
    )
    data: bytes = made.to_bytes()
    return data


def arrived(daemon: Any, sock: FakeSocket) -> Any:
    """Return the connection of somebody who has just arrived at a daemon."""
    conn = socketutil.SocketConnection(sock)
    daemon._connections.add(conn, "127.0.0.1")
    return conn


class Answering:
    """Answers a client: greets as it should, then says what is described, tied to the call."""

    def __init__(self, description: bytes) -> None:
        self._description, self._nonce, self._count = description, b"", 0

    def __call__(self, request: bytes) -> bytes:
        kind, seq = header_of(request)
        if kind != message.MSG_CONNECT:
            self._count += 1
            mark = session_mark(self._nonce, self._count, reply=True)
            return signed(self._description, seq, mark)
        fields = _HEADER.unpack(request[: _HEADER.size])
        said = msgpack.unpackb(request[_HEADER.size + fields[7] :])
        self._nonce, self._count = bytes.fromhex(said["handshake"]) + bytes(NONCE_BYTES), 0
        return signed(describe(message.MSG_CONNECTOK, msgpack.packb(self._nonce.hex())), seq)


def header_of(data: bytes) -> tuple[int, int]:
    """Return kind and sequence number of a message."""
    _, _, kind, _, seq, *_ = _HEADER.unpack(data[: _HEADER.size])
    return kind, seq
