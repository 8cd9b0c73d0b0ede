"""What attackers bring: raw messages, rogue servers, recorders, bombs; no key, unless said."""

from __future__ import annotations

import pickle
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from Pyro4 import message as pyro_message

from hpdist.cluster.transport import pyro

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
LIMIT_S = 30.0
HEADER = struct.Struct("!4sHHHHiHHHH")
CONNECT, CONNECTOK, CONNECTFAIL, INVOKE, RESULT, PING = 1, 2, 3, 4, 5, 6
PICKLE = 4

Address = tuple[str, int]


def eventually(holds: Callable[[], Any], what: str = "it") -> Any:
    """Wait until ``holds()`` is true and return what it gave."""
    until = time.monotonic() + LIMIT_S
    while not (found := holds()):
        assert time.monotonic() < until, f"{what} did not happen within {LIMIT_S:g} s"
        time.sleep(0.01)
    return found


# ------------------------------------------------------------------ messages


def header(kind: int = CONNECT, size: int = 0, flags: int = 0, annotations: int = 0) -> bytes:
    total = kind + 48 + size + annotations + flags + 6 + 0x34E9
    return HEADER.pack(b"PYRO", 48, kind, flags, 0, size, 6, annotations, 0, total & 0xFFFF)


def message(
    kind: int,
    data: bytes,
    key: bytes | None = None,
    mark: bytes | None = None,
    *,
    number: int = 6,
    flags: int = 0,
    seq: int = 0,
) -> bytes:
    annotations = {} if mark is None else {pyro.SESSION: mark}
    made = pyro_message.Message(kind, data, number, flags, seq, annotations, key)
    return bytes(made.to_bytes())


def handshake(object_id: str = "hpdist", key: bytes | None = None) -> bytes:
    data = pyro.serializer().dumps({"handshake": "ab" * 16, "object": object_id})
    return message(CONNECT, data, key)


def call(
    object_id: str,
    method: str,
    arguments: tuple[Any, ...] = (),
    key: bytes | None = None,
    mark: bytes | None = None,
) -> bytes:
    data = pyro.serializer().dumpsCall(object_id, method, arguments, {})
    return message(INVOKE, data, key, mark)


def kind_of(whole: bytes) -> int:
    return int(pyro_message.Message.from_header(whole[:24]).type)


def retyped(whole: bytes, kind: int) -> bytes:
    """A message with another type, which no signature covers."""
    tag, version, _, flags, seq, size, number, annotations, more, _ = HEADER.unpack(whole[:24])
    total = kind + version + size + annotations + number + flags + seq + 0x34E9
    head = (tag, version, kind, flags, seq, size, number, annotations, more, total & 0xFFFF)
    return HEADER.pack(*head) + whole[24:]


# ------------------------------------------------------------------ sockets


def dial(address: Address) -> socket.socket:
    return socket.create_connection(address, LIMIT_S)


def answer_to(sock: socket.socket, *sent: bytes) -> bytes:
    """Everything that comes back, up to the end of the connection; it has to end."""
    sock.settimeout(LIMIT_S)
    got = b""
    with sock, suppress(ConnectionError):
        sock.sendall(b"".join(sent))
        while chunk := sock.recv(65_536):
            got += chunk
    return got


def one_message(sock: socket.socket) -> bytes:
    """The next message that comes in, whole."""
    sock.settimeout(LIMIT_S)
    head = _exactly(sock, 24)
    _, _, _, _, _, size, _, annotations, _, _ = HEADER.unpack(head)
    return head + _exactly(sock, annotations + size)


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        assert chunk, "the connection ended"
        data += chunk
    return data


class Rogue:
    """A server at a free port, or at ``port``, that answers each connection as told."""

    def __init__(self, answer: Callable[[socket.socket], None], port: int = 0) -> None:
        self._answer = answer
        self.visits = 0
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.address: Address = self._listener.getsockname()
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, name="rogue", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.visits += 1
            self._open.append(sock)
            with suppress(OSError):
                sock.settimeout(LIMIT_S)
                self._answer(sock)

    def close(self) -> None:
        for sock in self._open:
            sock.close()
        pyro.cut(self._listener)
        self._listener.close()
        self._thread.join()


class Recorder:
    """A relay in front of a server that keeps what passes, in both directions."""

    def __init__(self, target: Address) -> None:
        self.sent, self.got = bytearray(), bytearray()
        self._target = target
        self._targets: list[socket.socket] = []
        self._rogue = Rogue(self._relay)
        self.address = self._rogue.address
        self._threads: list[threading.Thread] = []

    def _relay(self, sock: socket.socket) -> None:
        there = dial(self._target)
        self._targets.append(there)
        for source, sink, kept in ((sock, there, self.sent), (there, sock, self.got)):
            thread = threading.Thread(target=self._copy, args=(source, sink, kept), daemon=True)
            self._threads.append(thread)
            thread.start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                kept.extend(data)
                sink.sendall(data)
        for sock in (source, sink):
            pyro.cut(sock)  # wakes the thread of the other direction

    def close(self) -> None:
        for thread in self._threads:
            thread.join(LIMIT_S)
        self._rogue.close()
        for there in self._targets:
            there.close()


def messages_in(recorded: bytes) -> list[bytes]:
    """The whole messages of one direction of a recording."""
    found = []
    while recorded:
        _, _, _, _, _, size, _, annotations, _, _ = HEADER.unpack(recorded[:24])
        end = 24 + annotations + size
        found.append(recorded[:end])
        recorded = recorded[end:]
    return found


class Idlers:
    """Holds ``count`` silent connections open, and opens others for those that are cut."""

    def __init__(self, address: Address, count: int) -> None:
        self.address, self.count, self.opened = address, count, 0
        self._stop = threading.Event()
        self._held: list[socket.socket] = []
        self._refill()
        self._thread = threading.Thread(target=self._keep, name="idlers", daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self._stop.wait(0.02):
            self._held = [sock for sock in self._held if not self._is_cut(sock)]
            self._refill()

    def _refill(self) -> None:
        with suppress(OSError):
            while len(self._held) < self.count:
                self._held.append(socket.create_connection(self.address, 5.0))
                self.opened += 1

    @staticmethod
    def _is_cut(sock: socket.socket) -> bool:
        sock.setblocking(False)
        try:
            if sock.recv(1024, socket.MSG_PEEK):
                return False
        except BlockingIOError:
            return False
        except OSError:
            pass
        sock.close()
        return True

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for sock in self._held:
            sock.close()


# ------------------------------------------------------------------ bombs


class Bomb:
    """Makes a file when it is unpickled, in whatever process."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self.mark, "w"))


def bomb(mark: object) -> bytes:
    return pickle.dumps(Bomb(str(mark)))


def echo(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"v": 1, "kind": "ok", "epoch": 1, "said": dict(said)}
