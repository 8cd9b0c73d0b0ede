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
        """Start; from now on events may be posted."""
        ...

    def perform(self, orders: Sequence[Order]) -> None:
        """Carry out ``orders``; returns soon, and reports failures as events only."""
        ...

    def close(self, grace_s: float) -> None:
        """End everything within ``grace_s`` seconds; nothing is posted afterwards."""
        ...
