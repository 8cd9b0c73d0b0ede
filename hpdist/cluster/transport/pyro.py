"""Shared by both ends of a Pyro4 connection: serializer, limits, and checked reading.

Pyro4 reads messages of any announced length without a time limit, and obeys flags that make it
decompress, call without reply, or unmarshal. `Reader` stands between Pyro4's parser and the
socket and refuses such messages before their content is read.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
import time
from typing import Any

from Pyro4 import config, constants, errors, util

from hpdist.cluster.transport.address import is_loopback
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.json_codec import MAX_TEXT

SERIALIZER = "msgpack"
"""Serializes the one string of a call without escapes; json would escape all its quotes again.

In benchmarks/serializers.py no difference in speed between the two can be measured.
"""

OBJECT_ID = "hpdist"
"""The name of the dispatcher's object within its daemon."""

NAMESERVER_ID: str = constants.NAMESERVER_NAME
"""The name of the nameserver's object within its daemon; Pyro4's own clients look for this one."""

PYRO_VERSION: str = constants.VERSION

SESSION = "HPDS"
"""The annotation that ties a call and its reply to their connection: nonce, running number."""

NONCE_BYTES = 16
"""Bytes that each end adds to the nonce of a connection, so that recordings cannot be replayed."""

HANDSHAKE_S = 2.0
MESSAGE_S = 20.0
MAX_BYTES = MAX_TEXT + 65_536
MAX_SHORT_BYTES = 65_536
"""Maximum size of short messages: handshakes, and all calls of a nameserver."""

KEY_BYTES_BEYOND_LOOPBACK = 32

_CHUNK = 16_384
_HEADER = struct.Struct("!4sHHHHiHHHH")
_UNSAFE_SERIALIZERS = (3, 4, 5, 7)  # marshal, pickle, dill, cloudpickle
_REQUIRED_SETTINGS = {
    "COMPRESSION": False,
    "DETAILED_TRACEBACK": False,
    "LOGWIRE": False,
    "NS_AUTOCLEAN": 0.0,
    "REQUIRE_EXPOSE": True,
    "SERVERTYPE": "thread",
    "SSL": False,
}


class Reader:
    """Reads one connection for Pyro's `Message.recv`.

    Parameters
    ----------
    flags
        The message flags that are allowed; any other flag ends the connection.
    """

    def __init__(self, sock: socket.socket, flags: int = 0) -> None:
        self._sock = sock
        self._flags = flags
        self._arrived = bytearray()
        self._deadline: float | None = None
        self._header_is_next = True
        self._max_bytes = MAX_BYTES

    def expect(self, within_s: float | None = None, max_bytes: int = MAX_BYTES) -> None:
        """Set the limits of the next message: complete in ``within_s`` seconds, in ``max_bytes``.

        With None the message may start at any time, and has `MESSAGE_S` seconds from its start.
        """
        self._max_bytes = max_bytes
        self._deadline = None if within_s is None else time.monotonic() + within_s
        self._header_is_next = True

    def recv(self, size: int) -> bytes:
        """Read ``size`` bytes; raise an error of Pyro4 if they do not arrive."""
        if not 0 <= size <= self._max_bytes:
            raise errors.ProtocolError(f"a message of {size} bytes was announced")
        data = self._read(size)
        if self._header_is_next:
            self._header_is_next = False
            flags = _HEADER.unpack(data)[3]
            if flags & ~self._flags:
                raise errors.ProtocolError(f"message flags {flags:#x} are not allowed")
        return data

    def close(self) -> None:
        """Close the connection in both directions at once, also for a thread that reads."""
        cut(self._sock)
        self._sock.close()

    def _read(self, size: int) -> bytes:
        """Return ``size`` bytes; each read, which is costly, takes all bytes that have arrived."""
        try:
            while len(self._arrived) < size:
                self._sock.settimeout(self._remaining_s())
                chunk = self._sock.recv(max(_CHUNK, size - len(self._arrived)))
                if not chunk:
                    raise errors.ConnectionClosedError("the connection was closed")
                self._start_deadline()
                self._arrived += chunk
        except TimeoutError:
            raise errors.TimeoutError("no complete message in time") from None
        except OSError as error:
            raise errors.ConnectionClosedError(f"the connection was lost: {error}") from None
        self._start_deadline()
        data = bytes(self._arrived[:size])
        del self._arrived[:size]
        return data

    def _start_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = time.monotonic() + MESSAGE_S

    def _remaining_s(self) -> float | None:
        if self._deadline is None:
            return None
        return max(self._deadline - time.monotonic(), 0.001)


def keep_alive(sock: socket.socket) -> None:
    """Send without delay, and detect within ten seconds that the other machine is gone."""
    options = {
        "TCP_NODELAY": 1,
        "TCP_KEEPIDLE": 3,
        "TCP_KEEPINTVL": 2,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 10_000,
    }
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def cut(sock: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    """End a connection, waking the thread that reads from it."""
    try:
        # Also for a TLS socket: its own `shutdown` would leave the other direction unencrypted.
        socket.socket.shutdown(sock, how)
    except OSError:
        return  # it was closed already


def serializer() -> Any:
    """Return the serializer of hpdist."""
    return util.get_serializer(SERIALIZER)


def make_nonce() -> bytes:
    """Return random bytes that no earlier connection has used."""
    return secrets.token_bytes(NONCE_BYTES)


def session_mark(nonce: bytes, count: int, *, reply: bool = False) -> bytes:
    """Return the value of the annotation `SESSION` of call number ``count``, or of its reply.

    The two differ, so that a call that is sent back to its sender cannot pass for the reply.
    """
    return nonce + (count | reply << 63).to_bytes(8, "big")


def check_key(key: bytes, host: str) -> None:
    """Require a key that is long enough to listen at ``host``.

    Raises
    ------
    ConfigurationError
        If it is empty, or too short for the network; the message names the remedy.
    """
    if not key:
        raise ConfigurationError("a server needs a key")
    if len(key) < KEY_BYTES_BEYOND_LOOPBACK and not is_loopback(host):
        raise ConfigurationError(
            f"the key has {len(key)} bytes, too few to listen at {host} for other machines",
            cause=f"beyond loopback a key has at least {KEY_BYTES_BEYOND_LOOPBACK} bytes",
            do='make one: python -c "import secrets; print(secrets.token_hex(32))"',
        )


def check_environment() -> None:
    """Require the settings of Pyro4 that are safe.

    Raises
    ------
    ConfigurationError
        If a setting is unsafe; the message names it.
    """
    for name, value in _REQUIRED_SETTINGS.items():
        found = getattr(config, name)
        if found != value:
            raise ConfigurationError(
                f"Pyro4 is configured with {name}={found!r}, which is not safe here",
                cause=f"PYRO_{name} is set" if f"PYRO_{name}" in os.environ else "",
                do=f"unset PYRO_{name}",
            )


def harden_process() -> None:
    """Make this process unable to unpickle messages of Pyro4.

    Called by programs of hpdist at their start, never by library code: it affects the process.
    """
    check_environment()
    for number in _UNSAFE_SERIALIZERS:
        util._serializers_by_id.pop(number, None)
    config.MAX_MESSAGE_SIZE = MAX_BYTES
