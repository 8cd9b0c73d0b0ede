"""A bad network: stands between workers and dispatcher, and harms single calls.

It knows where a message begins and ends and what it says, and does to it what the first plan wants
that has a word about it (`call_faults`); all others are passed on.

``python call_proxy.py LISTEN_HOST:PORT TARGET --drop 0.01 --double 0.01`` runs it as a process,
which prints its address. TARGET is the dispatcher's address, or a file that holds it, which is read
anew for each connection. ``--counts FILE`` is kept up to date with what it did.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import struct
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import call_faults
from call_faults import Fault, Plan, Rates, delay, name_of, replay
from call_frames import Frame, read_frame, signed_again, understood

from hpdist.cluster.transport.address import join_address, split_address

LIMIT_S = 60.0
_MEMORY = 200
_AS_RESET = struct.pack("ii", 1, 0)


class Way:
    """One direction of a connection."""

    def __init__(self, pair: Pair, sink: socket.socket, is_open: threading.Event) -> None:
        self.pair, self.sink = pair, sink
        self.swallows = False
        self.piece, self.pause_s = 0, 0.0
        self._is_open = is_open
        self._sending = threading.Lock()

    def pass_on(self, frame: Frame) -> bytes:
        """Let a message arrive; returns what was sent, which may have been signed again."""
        if frame.asked is None:
            return self.pair.call(frame)
        data = frame.data
        if self.pair.proxy.key:  # the worker counts its own calls only
            data = signed_again(data, self.pair.proxy.key, frame.asked.number)
        self.send(data)
        return data

    def send(self, data: bytes) -> None:
        """Send bytes, once this direction is not cut; if they arrive is told to nobody."""
        self._is_open.wait()
        step = self.piece or len(data)
        with self._sending, suppress(OSError):
            for at in range(0, len(data), step):
                if self.swallows or self.pair.broken.wait(self.pause_s if at else 0):
                    return
                self.sink.sendall(data[at : at + step])

    def end(self) -> None:
        """Let it be known that nothing more comes."""
        self._is_open.wait()
        if not self.swallows:
            with suppress(OSError):
                self.sink.shutdown(socket.SHUT_WR)


class Pair:
    """A worker's connection to the proxy, and the one from there to the dispatcher."""

    def __init__(self, proxy: CallProxy, number: int, near: socket.socket) -> None:
        self.proxy, self.number, self.near = proxy, number, near
        self.far = socket.socket()
        self.requests = Way(self, self.far, proxy.requests_pass)
        self.replies = Way(self, near, proxy.replies_pass)
        self.broken = threading.Event()
        self._calls = 0
        self._asked: deque[tuple[Frame, bool]] = deque()
        self.thread = threading.Thread(target=self._run, name=f"proxy-{number}", daemon=True)

    def call(self, frame: Frame, *, unheard: bool = False) -> bytes:
        """Let the dispatcher have a request; the worker is not told the reply if ``unheard``."""
        self._asked.append((frame, unheard))
        data = frame.data
        self._calls += frame.kind != "handshake"
        if self.proxy.key:
            data = signed_again(data, self.proxy.key, self._calls)
        self.requests.send(data)
        return data

    def expect_reply_to(self, frame: Frame) -> None:
        """Be told that the dispatcher will say one thing more."""
        self._asked.append((frame, False))

    def reset(self) -> None:
        """Break the connection off on both sides at once, with what is on its way."""
        self.requests.swallows = self.replies.swallows = True
        self.broken.set()
        for sock in (self.near, self.far):
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AS_RESET)
                sock.shutdown(socket.SHUT_RD)  # wakes who reads; the last one closes, as a reset

    def close(self) -> None:
        self.reset()
        for sock in (self.near, self.far):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(LIMIT_S)

    def _run(self) -> None:
        back = threading.Thread(
            target=self._carry, args=(self.far, self.replies), name=self.thread.name, daemon=True
        )
        try:
            for direction in (self.proxy.requests_pass, self.proxy.replies_pass):
                direction.wait()
            self._dial()
            back.start()
            self._carry(self.near, self.requests)
            back.join()
        except (OSError, ValueError):
            self.proxy.note("unreachable", "connection")  # there is no dispatcher at the moment
            self.reset()
        finally:
            self.near.close()
            self.far.close()
            self.proxy.forget(self)

    def _dial(self) -> None:
        self.far.settimeout(LIMIT_S)
        self.far.connect(self.proxy.target())
        self.far.settimeout(None)
        self.far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.broken.is_set():
            raise OSError("it was broken off before it stood")

    def _carry(self, source: socket.socket, way: Way) -> None:
        try:
            number = 0
            while data := read_frame(source):
                self._hand_on(way, number, data)
                number += 1
            way.end()
        except (ValueError, IndexError):
            self.proxy.note("foreign", "bytes")
            self.reset()

    def _hand_on(self, way: Way, number: int, data: bytes) -> None:
        asked, unheard = self._asked.popleft() if way is self.replies else (None, False)
        frame = understood(self.number, number, data, asked)
        if not unheard:
            self.proxy.treat(way, frame)


class CallProxy:
    """Listens for workers and calls the dispatcher on behalf of each.

    Parameters
    ----------
    target
        Finds out where the dispatcher is, for each connection anew.
    plans
        Asked in turn about each message; more may be added at any time.
    key
        Of the run; needed only by faults that sign calls.
    """

    def __init__(
        self,
        target: Callable[[], tuple[str, int]],
        *plans: Plan,
        key: bytes = b"",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.target, self.plans, self.key = target, list(plans), key
        self.requests_pass, self.replies_pass = threading.Event(), threading.Event()
        self.heal()
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._pairs: set[Pair] = set()
        self._memory: deque[Frame] = deque(maxlen=_MEMORY)
        self._number = 0
        self._listener = socket.create_server((host, port), backlog=512)
        self.address = join_address(*self._listener.getsockname()[:2])
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> CallProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ for tests

    def add(self, *plans: Plan) -> None:
        """Let these have a word before all others."""
        self.plans = [*plans, *self.plans]

    def partition(self, *, requests: bool = True, replies: bool = True) -> None:
        """Cut all connections in these directions, those to come as well, until `heal`.

        What is sent meanwhile arrives then.
        """
        if requests:
            self.requests_pass.clear()
        if replies:
            self.replies_pass.clear()

    def heal(self) -> None:
        self.requests_pass.set()
        self.replies_pass.set()

    def reset(self) -> None:
        """Break off all connections."""
        for pair in self.pairs():
            pair.reset()

    def swallow(self) -> None:
        """Make all connections of now half open: nothing arrives on them any more."""
        for pair in self.pairs():
            pair.requests.swallows = pair.replies.swallows = True

    def pairs(self) -> list[Pair]:
        with self._lock:
            return list(self._pairs)

    def count(self, beginning: str) -> int:
        """How often this was done, such as "drop" or "drop request poll"."""
        with self._lock:
            return sum(n for what, n in self.counts.items() if f"{what} ".startswith(beginning))

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(LIMIT_S)
        self._listener.close()
        pairs = self.pairs()
        for pair in pairs:
            pair.reset()
        self.heal()
        for pair in pairs:
            pair.close()

    # ------------------------------------------------------------------ for connections

    def treat(self, way: Way, frame: Frame) -> None:
        """Do to a message what the first plan wants that has a word about it."""
        with self._lock:
            faults = (plan(frame) for plan in self.plans)
            fault = next((found for found in faults if found is not None), None)
        self.note(name_of(fault), f"{'reply' if frame.is_reply else 'request'} {frame.kind}")
        if fault is None:
            way.pass_on(frame)
        else:
            fault(way, frame)
        with self._lock:
            self._memory.append(frame)

    def older(self, frame: Frame) -> Frame | None:
        """A message that went in the same direction before, of another connection if any."""
        with self._lock:
            same = [f for f in self._memory if f.is_reply == frame.is_reply and f.content]
        return min(same, key=lambda f: f.connection == frame.connection, default=None)

    def note(self, what: str, which: str) -> None:
        with self._lock:
            self.counts[f"{what} {which}"] += 1

    def forget(self, pair: Pair) -> None:
        with self._lock:
            self._pairs.discard(pair)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # closed
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                pair = Pair(self, self._number, near)
                self._number += 1
                self._pairs.add(pair)
            pair.thread.start()


def address_in(place: str) -> Callable[[], tuple[str, int]]:
    """Return what finds the dispatcher at an address, or at the one that a file holds by now."""

    def target() -> tuple[str, int]:
        try:
            return split_address(Path(place).read_text().strip())
        except FileNotFoundError:
            return split_address(place)

    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("listen", help="HOST:PORT")
    parser.add_argument("target", help="HOST:PORT, or a file that holds it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--key-file", type=Path, help="needed by --repeat and --replay")
    parser.add_argument("--counts", type=Path, help="a file for what was done, as JSON")
    parser.add_argument("--delay-s", type=float, default=0.5, help="of --delay and --replay")
    for name in ("drop", "double", "repeat", "stray", "reset", "swallow", "delay", "replay"):
        parser.add_argument(f"--{name}", type=float, default=0.0, help="share of all calls")
    asked = parser.parse_args()
    faults: dict[str, Fault] = {"delay": delay(asked.delay_s), "replay": replay(asked.delay_s)}
    rates = {
        faults.get(name, getattr(call_faults, name)): vars(asked)[name]
        for name in ("drop", "double", "repeat", "stray", "reset", "swallow", "delay", "replay")
    }
    key = bytes.fromhex(asked.key_file.read_text().strip()) if asked.key_file else b""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    plan = Rates(asked.seed, rates)
    host, _, port = asked.listen.rpartition(":")
    target = address_in(asked.target)
    with CallProxy(target, plan, key=key, host=host, port=int(port)) as proxy:
        sys.stdout.write(f"{proxy.address}\n")
        sys.stdout.flush()
        while True:
            time.sleep(1.0)
            if asked.counts:
                fresh = asked.counts.with_suffix(".new")
                fresh.write_text(json.dumps(proxy.counts, indent=1, sort_keys=True))
                fresh.replace(asked.counts)


if __name__ == "__main__":
    sys.exit(main())
