"""Messages on the private pipe between a worker and its child: a length, then that many bytes."""

from __future__ import annotations

import os
import struct

MAX_MESSAGE = 2 * 2**20
"""Maximum size of a message of a child; that of a result is half of it."""

_HEADER = struct.Struct(">I")


class FrameError(Exception):
    """The peer announced a message longer than is allowed."""


def frame(body: bytes) -> bytes:
    """Return ``body`` as it goes over the pipe."""
    return _HEADER.pack(len(body)) + body


class FrameReader:
    """Assembles messages from chunks of any size."""

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next chunk; return the messages it completes."""
        self._buffer += data
        messages = []
        while len(self._buffer) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._buffer)
            if length > self._limit:
                raise FrameError(f"a message of {length:,} bytes, more than {self._limit:,}")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                break
            messages.append(bytes(self._buffer[_HEADER.size : end]))
            del self._buffer[:end]
        return messages


def read_frame(fd: int) -> bytes | None:
    """Wait for one message on a blocking pipe; None when the other side has closed it."""
    header = _read(fd, _HEADER.size)
    return None if header is None else _read(fd, _HEADER.unpack(header)[0])


def write_frame(fd: int, body: bytes) -> None:
    """Write one message to a blocking pipe."""
    data = memoryview(frame(body))
    while data:
        data = data[os.write(fd, data) :]


def _read(fd: int, length: int) -> bytes | None:
    data = bytearray()
    while len(data) < length:
        chunk = os.read(fd, min(length - len(data), 2**20))
        if not chunk:
            return None
        data += chunk
    return bytes(data)
