"""Simulated time, which jumps to the next scheduled action, and inboxes that use it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence

from hpdist.core.model.errors import StateError
from hpdist.core.model.events import Event
from hpdist.core.run.inbox import Stamped

#: Calls of `SimulatedInbox.take` in a row that may return nothing at the same time.
MAX_EMPTY_TAKES = 1000


class SimulatedClock:
    """A schedule of actions, and the time of the last one.

    Attributes
    ----------
    now
        Simulated seconds since the start.
    wall_offset
        Difference of the wall clock; it may be set to any value, to simulate changes of the clock.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.wall_offset = 1_700_000_000.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """Schedule ``action`` in ``delay`` seconds."""
        heapq.heappush(self._heap, (self.now + delay, next(self._order), action))

    def step(self, until: float | None) -> bool:
        """Run the next action; return False if none is due by ``until`` (None: at any time)."""
        if not self._heap or (until is not None and self._heap[0][0] > until):
            return False
        self.now, _, action = heapq.heappop(self._heap)
        action()
        return True

    def advance(self, seconds: float) -> None:
        """Run all actions of the next seconds."""
        until = self.now + seconds
        while self.step(until):
            pass
        self.now = until

    def clear(self) -> None:
        """Cancel all actions."""
        self._heap.clear()


class SimulatedInbox:
    """An inbox whose clock jumps to the next action; several inboxes may share a clock."""

    def __init__(self, clock: SimulatedClock | None = None) -> None:
        self.clock = clock or SimulatedClock()
        self._waiting: list[Stamped] = []
        self._empty_takes = 0

    def post(self, events: Sequence[Event]) -> None:
        self._waiting += [(self.clock.now, event) for event in events]

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """Schedule ``action`` in ``delay`` simulated seconds."""
        self.clock.after(delay, action)

    def take(self, until: float | None) -> list[Stamped]:
        while not self._waiting:
            if not self.clock.step(until):
                self._wait(until)
                break
        taken, self._waiting = self._waiting, []
        return taken

    def _wait(self, until: float | None) -> None:
        if until is None:
            raise StateError("no action is scheduled: the run cannot continue")
        self._empty_takes = self._empty_takes + 1 if until <= self.clock.now else 0
        if self._empty_takes > MAX_EMPTY_TAKES:
            raise StateError("time stands still: the loop spins")
        self.clock.now = max(self.clock.now, until)

    def now(self) -> float:
        return self.clock.now

    def wall(self) -> float:
        return self.clock.wall_offset + self.clock.now

    def forget(self) -> None:
        """Drop the events that were not taken, as a killed master does."""
        self._waiting = []
