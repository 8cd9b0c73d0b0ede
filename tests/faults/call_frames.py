"""What is said on a connection of hpdist, message by message, as a third party hears it."""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

import msgpack
from Pyro4 import message

from hpdist.cluster.transport.pyro import OBJECT_ID, SESSION, serializer, session_mark

_HEADER = struct.Struct("!4sHHHHiHHHH")
_TYPE, _DATA_SIZE, _ANNOTATIONS_SIZE = 2, 5, 7
_BEGINNINGS = (message.MSG_CONNECT, message.MSG_CONNECTOK, message.MSG_CONNECTFAIL)


@dataclass(frozen=True)
class Frame:
    """One message: its bytes, and what they mean.

    Parameters
    ----------
    connection, number
        Which connection it is on, and which message in its direction, both counted from 0.
    kind
        "handshake", a worker's "register", "poll", "heartbeat" or "deregister", or the method that
        is called; a reply is of the kind of its request.
    text, content
        The JSON that it carries; empty for handshakes and the nameserver's calls.
    asked
        The request that a reply answers; None in a request.
    """

    connection: int
    number: int
    data: bytes
    kind: str = ""
    text: str = ""
    content: dict[str, Any] = field(default_factory=dict)
    asked: Frame | None = None

    @property
    def is_reply(self) -> bool:
        return self.asked is not None

    def carries(self, name: str) -> bool:
        """Whether it has something under this name: "results", "assignments", "acknowledged"."""
        return bool(self.content.get(name))


def read_frame(sock: socket.socket) -> bytes:
    """Read one message; empty when the connection ends, be it in the middle of one.

    Raises
    ------
    ValueError
        If it is none of Pyro4.
    """
    header = _read(sock, _HEADER.size)
    if not header:
        return b""
    if header[:4] != b"PYRO":
        raise ValueError(f"this is no message of Pyro4: {header!r}")
    fields = _HEADER.unpack(header)
    size = fields[_ANNOTATIONS_SIZE] + fields[_DATA_SIZE]
    rest = _read(sock, size)
    return header + rest if len(rest) == size else b""


def _read(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        try:
            chunk = sock.recv(size - len(data))
        except OSError:
            return b""
        if not chunk:
            return b""
        data += chunk
    return bytes(data)


def understood(connection: int, number: int, data: bytes, asked: Frame | None) -> Frame:
    """Decode a message as far as it can be."""
    body = _body(data)
    if _HEADER.unpack(data[: _HEADER.size])[_TYPE] in _BEGINNINGS:
        return Frame(connection, number, data, "handshake", asked=asked)
    if asked is not None:
        text, kind = body, asked.kind
    else:
        _, method, arguments, _ = body
        text, kind = arguments[0] if arguments else "", method
    content = _object(text)
    if asked is None:
        kind = str(content.get("kind", kind))
    return Frame(connection, number, data, kind, text if content else "", content, asked)


def signed_again(data: bytes, key: bytes, count: int) -> bytes:
    """The same call or reply, as number ``count`` of its connection; a handshake has no number."""
    fields = _HEADER.unpack(data[: _HEADER.size])
    _, _, kind, flags, seq, _, serializer_id, size, _, _ = fields
    annotations, payload = data[_HEADER.size :][:size], data[_HEADER.size + size :]
    mark = _annotations(annotations).get(SESSION)
    if mark is None:
        return data
    # The highest bit is not part of the number.
    number = int.from_bytes(mark[-8:], "big") & 1 << 63 | count
    told = {SESSION: mark[:-8] + number.to_bytes(8, "big")}
    return bytes(message.Message(kind, payload, serializer_id, flags, seq, told, key).to_bytes())


def _annotations(data: bytes) -> dict[str, bytes]:
    found = {}
    while data:
        size = int.from_bytes(data[4:6], "big")
        found[data[:4].decode()], data = data[6 : 6 + size], data[6 + size :]
    return found


def call_bytes(text: str, key: bytes, nonce: bytes, count: int) -> bytes:
    """Call number ``count`` of a worker on the connection with this nonce."""
    data = msgpack.packb((OBJECT_ID, "exchange", (text,), {}))
    mark = {SESSION: session_mark(nonce, count)}
    number = serializer().serializer_id
    told = message.Message(message.MSG_INVOKE, data, number, 0, count & 0xFFFF, mark, key)
    return bytes(told.to_bytes())


def _body(data: bytes) -> Any:
    annotations = _HEADER.unpack(data[: _HEADER.size])[_ANNOTATIONS_SIZE]
    return msgpack.unpackb(data[_HEADER.size + annotations :], raw=False)


def _object(text: Any) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
