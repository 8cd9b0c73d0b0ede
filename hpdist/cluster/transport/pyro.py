"""What both ends of a Pyro4 connection share: serializer, limits, and reading with care.

Pyro4 reads whatever length a peer announces, for as long as it likes, and heeds flags that make
it decompress, call without reply, or unmarshal. `Reader` stands between its parser and the
socket and refuses all this before any of it is waited for.
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
"""Carries the one string of a call, and as it is: json would escape all its quotes again.

As far as benchmarks/serializers.py can tell the two apart they are equally fast.
"""

OBJECT_ID = "hpdist"
"""The name of the dispatcher's object within its daemon."""

NAMESERVER_ID: str = constants.NAMESERVER_NAME
"""The name of the nameserver's object within its daemon; Pyro4's own clients look for this one."""

PYRO_VERSION: str = constants.VERSION

SESSION = "HPDS"
"""The annotation that ties a call and its answer to their connection: nonce, running number."""

NONCE_BYTES = 16
"""What each end adds to the nonce of a connection, so that neither can be shown a recording."""

HANDSHAKE_S = 2.0
MESSAGE_S = 20.0
MAX_BYTES = MAX_TEXT + 65_536
MAX_SHORT_BYTES = 65_536
"""Of messages that need no more: introductions, and all that a nameserver is told."""

KEY_BYTES_BEYOND_LOOPBACK = 32

_CHUNK = 16_384
_HEADER = struct.Struct("!4sHHHHiHHHH")
_UNSAFE_SERIALIZERS = (3, 4, 5, 7)  # marshal, pickle, dill, cloudpickle
_MUST_BE = {
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
        The message flags that are allowed; any other one ends the connection.
    """

    def __init__(self, sock: socket.socket, flags: int = 0) -> None:
        self._sock, self._flags = sock, flags
        self._arrived = bytearray()
        self._deadline: float | None = None
        self._header_is_next, self._longest = True, MAX_BYTES

    def expect(self, within_s: float | None = None, longest: int = MAX_BYTES) -> None:
        """Get ready for a message of ``longest`` bytes, to be complete in ``within_s`` seconds.

        With None it may begin whenever it likes and has `MESSAGE_S` seconds from then on.
        """
        self._longest = longest
        self._deadline = None if within_s is None else time.monotonic() + within_s
        self._header_is_next = True

    def recv(self, size: int) -> bytes:
        """Read ``size`` bytes; raises an error of Pyro4 if they are not to be had."""
        if not 0 <= size <= self._longest:
            raise errors.ProtocolError(f"a message of {size} bytes was announced")
        data = self._read(size)
        if self._header_is_next:
            self._header_is_next = False
            flags = _HEADER.unpack(data)[3]
            if flags & ~self._flags:
                raise errors.ProtocolError(f"message flags {flags:#x} are not allowed")
        return data

    def close(self) -> None:
        """Close the connection; both directions end at once, also for another thread."""
        cut(self._sock)
        self._sock.close()

    def _read(self, size: int) -> bytes:
        """Take ``size`` bytes, reading whatever has arrived at once: each read costs a switch."""
        try:
            while len(self._arrived) < size:
                self._sock.settimeout(self._left())
                chunk = self._sock.recv(max(_CHUNK, size - len(self._arrived)))
                if not chunk:
                    raise errors.ConnectionClosedError("the connection was closed")
                self._begin()
                self._arrived += chunk
        except TimeoutError:
            raise errors.TimeoutError("no complete message in time") from None
        except OSError as error:
            raise errors.ConnectionClosedError(f"the connection was lost: {error}") from None
        self._begin()
        data = bytes(self._arrived[:size])
        del self._arrived[:size]
        return data

    def _begin(self) -> None:
        if self._deadline is None:
            self._deadline = time.monotonic() + MESSAGE_S

    def _left(self) -> float | None:
        if self._deadline is None:
            return None
        return max(self._deadline - time.monotonic(), 0.001)


def keep_alive(sock: socket.socket) -> None:
    """Send at once, and notice within ten seconds that the other machine is gone."""
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
    """End a connection, waking whoever reads from it."""
    try:
        # Of a TLS socket as well: its own `shutdown` would go on in clear text in the other
        # direction.
        socket.socket.shutdown(sock, how)
    except OSError:
        return  # it was closed already


def serializer() -> Any:
    """Return the one serializer that is used."""
    return util.get_serializer(SERIALIZER)


def make_nonce() -> bytes:
    """Return what no earlier connection can have used."""
    return secrets.token_bytes(NONCE_BYTES)


def session_mark(nonce: bytes, count: int, *, answer: bool = False) -> bytes:
    """Return the value of the annotation `SESSION` of call number ``count``, or of its answer.

    They differ, since a call that is sent back to its sender must not pass for the answer.
    """
    return nonce + (count | answer << 63).to_bytes(8, "big")


def check_key(key: bytes, host: str) -> None:
    """Refuse to listen at ``host`` with no key, or with one too short for the network.

    Raises
    ------
    ConfigurationError
        Naming the remedy.
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
    """Refuse to run where Pyro4 is configured so that it would leak or accept too much.

    Raises
    ------
    ConfigurationError
        Naming the setting.
    """
    for name, value in _MUST_BE.items():
        found = getattr(config, name)
        if found != value:
            raise ConfigurationError(
                f"Pyro4 is configured with {name}={found!r}, which is not safe here",
                cause=f"PYRO_{name} is set" if f"PYRO_{name}" in os.environ else "",
                do=f"unset PYRO_{name}",
            )


def harden_process() -> None:
    """Make this process unable to unpickle for Pyro4, whoever asks.

    Called by programs of hpdist at their start, never by library code: it is for the process.
    """
    check_environment()
    for number in _UNSAFE_SERIALIZERS:
        util._serializers_by_id.pop(number, None)
    config.MAX_MESSAGE_SIZE = MAX_BYTES
