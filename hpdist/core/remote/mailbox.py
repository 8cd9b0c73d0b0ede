"""The two mailboxes of one remote worker, and the calls that wait on them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from hpdist.core.model.errors import ProtocolMismatch
from hpdist.core.model.events import (
    Assignment,
)
from hpdist.core.model.orders import (
    Acknowledge,
    Cancel,
    Launch,
    Order,
    Recall,
    Registered,
    Reregister,
    ShutDown,
    StopEarly,
)
from hpdist.core.remote.messages import Message

Render = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Turn the kind and the content of a reply into the reply."""


class Call:
    """One message being answered; ``is_new`` when its number was not seen before."""

    def __init__(self, box: _Box, request: int) -> None:
        self.box, self.request = box, request
        self.is_new = request > box.request

    @property
    def is_newest(self) -> bool:
        """Whether no later number has come, so that someone may still read the answer."""
        return self.request == self.box.request


class _Box:
    """What waits for one channel. All fields are guarded by the lock of the peer.

    ``request`` is the newest number, ``reply`` what was answered to it, kept until the next number
    shows that it arrived.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self.changed = threading.Condition(lock)
        self.request = -1
        self.reply: dict[str, Any] | None = None
        self.kind = ""
        self.results: tuple[Assignment, ...] = ()
        self.empty()

    def empty(self) -> None:
        self.work: dict[Assignment, dict[str, Any]] = {}
        self.acks: list[Assignment] = []
        self.cancel: list[Assignment] = []
        self.recall: list[Assignment] = []
        self.curtail: list[Assignment] = []
        self.welcome = self.unknown = self.dismissed = False

    def is_enough(self) -> bool:
        """Whether there is something to say to the call that waits here."""
        if self.kind == "hello":
            return self.welcome
        if self.unknown:
            return True
        if self.results:
            return all(held in self.acks for held in self.results)
        told = self.work or self.cancel or self.recall or self.curtail
        return bool(told or self.dismissed)

    def take(self) -> tuple[str, dict[str, Any]]:
        """Remove everything; returns kind and content of the reply that carries it."""
        if self.kind == "hello" and not self.welcome:
            return "unknown", {}
        kind = "unknown" if self.unknown else "ok"
        content = {
            "work": list(self.work.values()),
            "acks": self.acks,
            "cancel": self.cancel,
            "recall": self.recall,
            "curtail": self.curtail,
            "welcome": self.welcome,
        }
        self.empty()
        return kind, content

    def restore(self, holds: Sequence[Assignment]) -> None:
        """Put back the work of the last reply that did not arrive: the worker does not hold it."""
        for item in self.reply["work"] if self.reply else ():
            held = item["job"], item["attempt"]
            if held not in holds:
                self.work[held] = item

    def forget(self) -> None:
        """Drop everything, said or not: the loop has given up what it launched."""
        self.empty()
        if self.reply:
            self.reply = self.reply | {"work": []}


class Peer:
    """A worker process as seen from the dispatcher: both its channels, under one lock.

    Raises
    ------
    ProtocolMismatch
        If the process was replaced by ``former``, which has the same worker id, before.
    """

    def __init__(self, incarnation: str, former: Peer | None = None) -> None:
        self.incarnation = incarnation
        self.used = time.monotonic()
        self._replaced: frozenset[str] = frozenset()
        if former is not None:
            self._replaced = former._replaced | {former.incarnation}
        if incarnation in self._replaced:
            raise ProtocolMismatch(
                "another process has taken over this worker id",
                do="give each worker a worker id of its own",
            )
        self._lock = threading.Lock()
        self._step, self._beat = _Box(self._lock), _Box(self._lock)
        self._dismiss: dict[str, Any] | None = None
        self._ended: str | None = None

    def begin(self, said: Message) -> Call:
        """Register a call; one with an older number that waits on this channel is sent home.

        One with the same number goes on waiting: a message that was held up on its way may come
        after its own repetition, and which of the two is still listened to is not known here.
        """
        box = self._beat if said.kind == "beat" else self._step
        with self._lock:
            call = Call(box, said.request)
            if call.is_new:
                if said.kind == "hello":
                    box.restore(said.holds)
                box.request, box.reply = said.request, None
                box.kind, box.results = said.kind, said.results
                box.changed.notify_all()
            return call

    def finish(self, call: Call, patience_s: float, render: Render) -> dict[str, Any]:
        """Wait until there is something to say, at most ``patience_s`` seconds, and say it."""
        box = call.box
        with self._lock:
            self._wait(call, time.monotonic() + patience_s)
            if not call.is_newest:
                return render("ok", {})  # a newer call gets the answer; nobody reads this one
            if box.reply is None:
                box.reply = self._say(box, render)
                box.changed.notify_all()
            return box.reply

    def put(self, orders: Sequence[Order]) -> list[Assignment]:
        """Take in orders; returns the attempts that were withdrawn before they were fetched."""
        withdrawn: list[Assignment] = []
        with self._lock:
            for order in orders:
                if order.incarnation == self.incarnation:
                    withdrawn += self._put(order)
            for box in (self._step, self._beat):
                if box.reply is None and box.is_enough():
                    box.changed.notify_all()
        return withdrawn

    def end(self, kind: str) -> None:
        """Answer all calls, now and later, with an empty reply of this kind."""
        with self._lock:
            self._ended = kind
            for box in (self._step, self._beat):
                box.changed.notify_all()

    def _wait(self, call: Call, until: float) -> None:
        box = call.box
        while call.is_newest and box.reply is None and not box.is_enough():
            left = until - time.monotonic()
            if left <= 0 or self._ended is not None:
                return
            box.changed.wait(left)

    def _say(self, box: _Box, render: Render) -> dict[str, Any]:
        if self._ended is not None:
            return render(self._ended, {})
        kind, content = box.take()
        return render(kind, content | {"dismiss": self._dismiss})

    def _put(self, order: Order) -> list[Assignment]:
        if isinstance(order, Launch):
            assert order.payload is not None, "the loop fills the payload"
            held = order.job_id, order.attempt
            self._step.work[held] = {
                "job": order.job_id,
                "attempt": order.attempt,
                "payload": order.payload.to_json(),
            }
        elif isinstance(order, Acknowledge):
            self._step.acks.append((order.job_id, order.attempt))
        elif isinstance(order, Cancel | Recall):
            return self._withdraw(order)
        elif isinstance(order, StopEarly):
            self._beat.curtail.append((order.job_id, order.attempt))
        else:
            self._address(order)
        return []

    def _withdraw(self, order: Cancel | Recall) -> list[Assignment]:
        held = order.job_id, order.attempt
        if self._step.work.pop(held, None) is not None:
            return [held]
        (self._beat.cancel if isinstance(order, Cancel) else self._beat.recall).append(held)
        return []

    def _address(self, order: Registered | Reregister | ShutDown) -> None:
        boxes = (self._step, self._beat)
        if isinstance(order, Registered):
            self._step.welcome = True
            for box in boxes:
                box.unknown = False
        elif isinstance(order, Reregister):
            self._dismiss = None
            for box in boxes:
                box.forget()
                box.unknown = True
        else:
            self._dismiss = {"drain": order.drain, "reason": order.reason}
            for box in boxes:
                box.dismissed = True
