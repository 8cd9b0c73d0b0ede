"""What a bad network can do to a message, and when: the plans of `call_proxy`."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from call_frames import Frame

from hpdist.cluster.transport.client import Connection
from hpdist.cluster.transport.pyro import OBJECT_ID
from hpdist.core.model.errors import HpdistError

if TYPE_CHECKING:
    from call_proxy import Way

Condition = Callable[[Frame], bool]
Fault = Callable[["Way", Frame], None]
Plan = Callable[[Frame], "Fault | None"]
"""Says what is to be done to a message; None if that is for others to say."""

LIMIT_S = 60.0


def drop(way: Way, frame: Frame) -> None:
    """Lose a request or a reply; the connection stands, and everybody waits."""


def double(way: Way, frame: Frame) -> None:
    """Let the same bytes arrive twice."""
    sent = way.pass_on(frame)
    if frame.asked is None:
        way.pair.expect_reply_to(frame)
    way.send(sent)


def repeat(way: Way, frame: Frame) -> None:
    """Have the dispatcher answer a call twice; the worker hears the first answer.

    Needs the key: the second one is signed as the next call of its connection.
    """
    way.pass_on(frame)
    if frame.asked is None:
        way.pair.call(frame, unheard=True)


def stray(way: Way, frame: Frame) -> None:
    """Let an older message, of any connection, arrive before this one."""
    older = way.pair.proxy.older(frame)
    if older is not None:
        if frame.asked is None:
            way.pair.expect_reply_to(frame)
        way.send(older.data)
    way.pass_on(frame)


def reset(way: Way, frame: Frame) -> None:
    """Break the connection off instead."""
    way.pair.reset()


def reset_after(way: Way, frame: Frame) -> None:
    """Let the message arrive, and break the connection off."""
    way.pass_on(frame)
    time.sleep(0.05)  # a reset overtakes what was not read yet
    way.pair.reset()


def swallow(way: Way, frame: Frame) -> None:
    """From now on nothing arrives any more, not even that the other end has gone."""
    way.pair.requests.swallows = way.pair.replies.swallows = True


def delay(seconds: float) -> Fault:
    """Let a message arrive later, and all that come after it."""

    def delayed(way: Way, frame: Frame) -> None:
        way.pair.broken.wait(seconds)
        way.pass_on(frame)

    return delayed


def drip(pause_s: float, size: int = 1) -> Fault:
    """Let a message arrive in pieces."""

    def dripped(way: Way, frame: Frame) -> None:
        way.piece, way.pause_s = size, pause_s
        way.pass_on(frame)
        way.piece = 0

    return dripped


def replay(after_s: float) -> Fault:
    """Deliver a call, and once more later on, as if it had been on its way on another connection.

    Needs the key. Its second answer is heard by nobody.
    """

    def replayed(way: Way, frame: Frame) -> None:
        way.pass_on(frame)
        proxy = way.pair.proxy
        if frame.asked is None and frame.content:
            again = threading.Timer(after_s, lambda: call_again(proxy.target(), proxy.key, frame))
            again.daemon = True
            again.start()

    return replayed


def call_again(address: tuple[str, int], key: bytes, frame: Frame) -> None:
    try:
        connection = Connection("the dispatcher", OBJECT_ID, *address, key, 5.0)
        try:
            connection.invoke("exchange", (frame.text,), LIMIT_S)
        finally:
            connection.close()
    except HpdistError:
        return  # the dispatcher has gone, or goes


class Gate:
    """Holds what comes to it until it is opened, or thrown away.

    What comes after a held message on the same connection and in the same direction waits, too.
    """

    def __init__(self) -> None:
        self.held: list[Frame] = []
        self._changed = threading.Condition()
        self._opened = threading.Event()
        self._lets_through = True

    def __call__(self, way: Way, frame: Frame) -> None:
        with self._changed:
            self.held.append(frame)
            self._changed.notify_all()
        while not self._opened.wait(0.02):
            if way.pair.broken.is_set():
                return
        if self._lets_through:
            way.pass_on(frame)

    def wait(self, number: int = 1, limit_s: float = LIMIT_S) -> Frame:
        """Wait until so many messages are held; returns the last of them."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.held) >= number, limit_s):
                raise AssertionError(f"{len(self.held)} of {number} messages came to the gate")
            return self.held[number - 1]

    def open(self) -> None:
        self._opened.set()

    def drop(self) -> None:
        """Lose what is held, and all that comes."""
        self._lets_through = False
        self._opened.set()


class Rule:
    """Does ``fault`` to the first ``times`` messages for which the condition holds."""

    def __init__(self, when: Condition, fault: Fault, times: float = 1) -> None:
        self._when, self._fault, self._left = when, fault, times

    def __call__(self, frame: Frame) -> Fault | None:
        if self._left < 1 or not self._when(frame):
            return None
        self._left -= 1
        return self._fault


class Rates:
    """Harms this share of all calls of workers, each in its request or in its reply.

    Which ones follows from the seed and from the numbers of connection and call.
    """

    def __init__(self, seed: int, rates: dict[Fault, float]) -> None:
        if sum(rates.values()) > 1:
            raise ValueError(f"the rates add up to {sum(rates.values())}, more than 1")
        self._seed, self._rates = seed, rates

    def __call__(self, frame: Frame) -> Fault | None:
        if frame.kind == "handshake":
            return None
        number = frame.number if frame.asked is None else frame.asked.number
        chance = random.Random(f"{self._seed}/{frame.connection}/{number}")
        in_reply, drawn = chance.random() < 0.5, chance.random()
        for fault, rate in self._rates.items():
            if drawn < rate:
                in_reply &= name_of(fault) not in ("repeat", "replayed")
                return fault if in_reply == frame.is_reply else None
            drawn -= rate
        return None


def name_of(fault: Fault | None) -> str:
    """What a fault is called in the counts."""
    return "pass" if fault is None else getattr(fault, "__name__", type(fault).__name__.lower())
