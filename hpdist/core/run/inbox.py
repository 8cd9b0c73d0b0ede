"""Events and time from one object, so that simulated and real time never mix."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from typing import Protocol

from hpdist.core.model.events import Event

#: Seconds after which a wait is started again.
SLICE_S = 1.0

Stamped = tuple[float, Event]
"""(seconds on the inbox's clock at which the event arrived, event)."""


class Inbox(Protocol):
    """The queue of events for the loop, and its only clock."""

    def post(self, events: Sequence[Event]) -> None:
        """Put events in, stamped with their time of arrival; from any thread."""
        ...

    def take(self, until: float | None) -> list[Stamped]:
        """Return all waiting events, waiting for one until the given time (None: without limit)."""
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
            at, events = self._first(until)
            while True:
                for event in events:
                    taken.append((at, event))
                at, events = self._queue.get_nowait()
        except queue.Empty:
            return taken

    def _first(self, until: float | None) -> tuple[float, Sequence[Event]]:
        """Wait in slices: a signal that another thread caught does not end a wait."""
        while True:
            left = SLICE_S if until is None else until - time.monotonic()
            if left <= 0:
                return self._queue.get_nowait()
            try:
                return self._queue.get(timeout=min(left, SLICE_S))
            except queue.Empty:
                continue

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()
