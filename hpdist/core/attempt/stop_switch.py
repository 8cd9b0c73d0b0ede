"""How an attempt is ended from another thread."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

GRACE_S = 5.0
"""Seconds that an objective may take to end after SIGTERM."""


class StopSwitch:
    """Asks an attempt to stop early, or cancels it; a new one for each attempt."""

    def __init__(self) -> None:
        self.stop_requested = False
        self.deadline = math.inf  #: when to use force, on the monotonic clock
        self._lock = threading.Lock()
        self._wake: Callable[[], None] | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the attempt's result is no longer wanted."""
        return self.deadline < math.inf

    def request_stop(self) -> None:
        """Ask the objective to return soon: ``ctx.should_stop()`` becomes true."""
        self.stop_requested = True
        self._changed()

    def cancel(self, grace_s: float = GRACE_S) -> None:
        """End the attempt, by force after ``grace_s`` seconds; a second call may shorten this."""
        self.stop_requested = True
        self.deadline = min(self.deadline, time.monotonic() + grace_s)
        self._changed()

    def listen(self, wake: Callable[[], None] | None) -> None:
        """Have ``wake`` called after each change from now on; it must not block.

        Once ``listen(None)`` has returned, the former one is not called any more.
        """
        with self._lock:
            self._wake = wake

    def _changed(self) -> None:
        with self._lock:
            if self._wake is not None:
                self._wake()
