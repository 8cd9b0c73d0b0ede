"""Time that jumps to whatever happens next, and inboxes that live in it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence

from hpdist.core.model.errors import StateError
from hpdist.core.model.events import Event
from hpdist.core.run.inbox import Stamped

#: How often one may look for events at the same moment and find none.
MOST_LOOKS_IN_VAIN = 1000


class SimulatedClock:
    """What will happen, in order of time.

    Attributes
    ----------
    now
        Seconds since the beginning.
    wall_offset
        What the wall clock shows beyond that; it may be set to anything, as wall clocks are.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.wall_offset = 1_700_000_000.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """Let ``action`` happen ``delay`` seconds from now."""
        heapq.heappush(self._heap, (self.now + delay, next(self._order), action))

    def step(self, until: float | None) -> bool:
        """Let the next thing happen; False if nothing does until the given time (None: ever)."""
        if not self._heap or (until is not None and self._heap[0][0] > until):
            return False
        self.now, _, action = heapq.heappop(self._heap)
        action()
        return True

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self.step(until):
            pass
        self.now = until

    def clear(self) -> None:
        """Let nothing more happen."""
        self._heap.clear()


class SimulatedInbox:
    """An inbox whose clock jumps to whatever happens next; several may share one clock."""

    def __init__(self, clock: SimulatedClock | None = None) -> None:
        self.clock = clock or SimulatedClock()
        self._waiting: list[Stamped] = []
        self._in_vain = 0

    def post(self, events: Sequence[Event]) -> None:
        self._waiting += [(self.clock.now, event) for event in events]

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """Let ``action`` happen ``delay`` simulated seconds from now."""
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
            raise StateError("nothing will ever happen again: the run is stuck")
        self._in_vain = self._in_vain + 1 if until <= self.clock.now else 0
        if self._in_vain > MOST_LOOKS_IN_VAIN:
            raise StateError("time stands still: the loop spins")
        self.clock.now = max(self.clock.now, until)

    def now(self) -> float:
        return self.clock.now

    def wall(self) -> float:
        return self.clock.wall_offset + self.clock.now

    def forget(self) -> None:
        """Lose what has arrived and was not taken, as a killed master does."""
        self._waiting = []
