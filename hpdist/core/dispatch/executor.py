"""The port of an executor, which runs attempts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from hpdist.core.model.events import Event
from hpdist.core.model.orders import Order

Post = Callable[[Sequence[Event]], None]
"""Post events to the loop, from any thread; those of one call are handled together."""


class Executor(Protocol):
    """Runs attempts. Capacity is announced by events (`WorkerJoined`), never asked for.

    Attributes
    ----------
    keeps_running
        Whether attempts outlive this process, so that their results may be reported to the next.
    """

    keeps_running: bool

    def start(self, post: Post) -> None:
        """Start the executor; from now on it may post events."""
        ...

    def perform(self, orders: Sequence[Order]) -> None:
        """Execute ``orders``; return soon, and report failures as events only."""
        ...

    def close(self, grace_s: float) -> None:
        """End all attempts within ``grace_s`` seconds; no event is posted afterwards."""
        ...
