"""Events and time from one object, so that simulated and real time never mix."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from typing import Protocol

from hpdist.events import Event

Stamped = tuple[float, Event]
"""(seconds on the inbox's clock at which the event arrived, event)."""


class Inbox(Protocol):
    """Where events wait for the loop, and the only clock the loop knows."""

    def post(self, events: Sequence[Event]) -> None:
        """Put events in, stamped with their time of arrival; from any thread."""
        ...

    def take(self, until: float | None) -> list[Stamped]:
        """Return all waiting events, waiting for one until the given time (None: for ever)."""
        ...

    def now(self) -> float:
        """Seconds on a clock that never goes back; decisions rest on it."""
        ...

    def wall(self) -> float:
        """Seconds since 1970, for the record only."""
        ...


class QueueInbox:
    """The real inbox: a queue, the monotonic clock and the wall clock."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[float, Sequence[Event]]] = queue.SimpleQueue()

    def post(self, events: Sequence[Event]) -> None:
        self._queue.put((time.monotonic(), events))

    def take(self, until: float | None) -> list[Stamped]:
        taken: list[Stamped] = []
        try:
            wait = None if until is None else max(0.0, until - time.monotonic())
            at, events = self._queue.get(timeout=wait) if wait != 0.0 else self._queue.get_nowait()
            while True:
                taken.extend((at, event) for event in events)
                at, events = self._queue.get_nowait()
        except queue.Empty:
            return taken

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()
