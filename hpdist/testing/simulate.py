"""A cluster in simulated time, for the production `Study`, `DispatchState` and `Loop`.

Thousands of simulated seconds take one real second. Messages are delayed, reordered, repeated and
lost; workers crash, freeze and come back; all of it is drawn from one seed. ``docs/testing.rst``
has an example.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hpdist.core.dispatch.executor import Post
from hpdist.core.model.events import Assignment, Event
from hpdist.core.model.orders import Order
from hpdist.testing.simulated_objectives import Evaluate, crashing, quadratic
from hpdist.testing.simulated_time import SimulatedClock, SimulatedInbox
from hpdist.testing.simulated_worker import SimulatedWorker

__all__ = [
    "Evaluate",
    "Faults",
    "SimulatedClock",
    "SimulatedCluster",
    "SimulatedInbox",
    "crashing",
    "quadratic",
]

RESEND_S = 12.0
"""Seconds after which a lost message is sent again, as by the time-out of a real connection."""


@dataclass(frozen=True)
class Faults:
    """The faults of a simulated cluster; by default messages are delayed a little, no more.

    Attributes
    ----------
    delay_s
        Mean seconds that a message travels.
    lost
        Share of messages that arrive only when they are sent again.
    doubled
        Share of messages that arrive twice.
    kill_every_s
        Mean seconds until a worker dies, and another process takes its name.
    freeze_every_s, freeze_s
        Mean seconds until a worker is suspended, and mean seconds until it continues.
    """

    delay_s: float = 0.05
    lost: float = 0.0
    doubled: float = 0.0
    kill_every_s: float = float("inf")
    freeze_every_s: float = float("inf")
    freeze_s: float = 40.0


class SimulatedCluster:
    """An executor whose workers exist in simulated time only.

    Parameters
    ----------
    inbox
        The inbox of the loop, with the simulated clock.
    evaluate
        Returns outcome and duration of an attempt, such as `quadratic`.
    workers, slots, prefetch
        Number of workers, attempts that each of them runs at once, and further ones that it
        accepts ahead.
    faults, seed
        The faults, and the seed from which they, delays and durations are drawn.
    heartbeat_s
        Seconds between the heartbeats of a worker.

    Attributes
    ----------
    started
        Every attempt that was started, in order.
    fault_counts
        How often each kind of fault happened, by its name.
    """

    keeps_running = True

    def __init__(
        self,
        inbox: SimulatedInbox,
        evaluate: Evaluate,
        *,
        workers: int = 4,
        slots: int = 1,
        prefetch: int = 0,
        faults: Faults | None = None,
        seed: int = 0,
        heartbeat_s: float = 5.0,
    ) -> None:
        self.inbox = inbox
        self.evaluate = evaluate
        self.heartbeat_s = heartbeat_s
        self.faults = faults or Faults()
        self.freeze_s = self.faults.freeze_s
        self.rng = np.random.default_rng(seed)
        self.started: list[Assignment] = []
        self.fault_counts: Counter[str] = Counter()
        self.post: Post | None = None
        self.epoch = 0  #: that of the current master
        self.workers = {
            f"w{number}": SimulatedWorker(self, f"w{number}", slots, prefetch)
            for number in range(workers)
        }
        self._running = True
        for worker in self.workers.values():
            inbox.after(float(self.rng.random()), worker.start)
        self._every(self.faults.kill_every_s, lambda: self._random_worker().die())
        self._every(self.faults.freeze_every_s, lambda: self._random_worker().freeze())

    def start(self, post: Post) -> None:
        self.post = post

    def perform(self, orders: Sequence[Order], epoch: int = 0) -> None:
        """Send the orders of the master of ``epoch``; workers ignore those of earlier masters."""
        for order in orders:
            worker = self.workers[order.worker_id]
            if worker.incarnation == order.incarnation:
                self.deliver(lambda worker=worker, order=order: worker.receive(order, epoch))  # type: ignore[misc]

    def close(self, grace_s: float) -> None:
        self.post = None

    def stop(self) -> None:
        """Cancel all that is scheduled, so that simulated time can run out."""
        self._running = False
        self.inbox.clock.clear()

    def send_events(self, events: Sequence[Event]) -> None:
        """Send events to the loop.

        Messages in flight to a master that ends do not reach the next one.
        """
        post = self.post
        if post is not None:
            self.deliver(lambda: post(events))

    def deliver(self, arrive: Callable[[], None]) -> None:
        """Schedule the arrival of a message, and its faults."""
        late = RESEND_S if self.rng.random() < self.faults.lost else 0.0
        copies = 2 if self.rng.random() < self.faults.doubled else 1
        self.fault_counts["message lost"] += late > 0
        self.fault_counts["message doubled"] += copies - 1
        for _ in range(copies):
            self.inbox.after(late + float(self.rng.exponential(self.faults.delay_s)), arrive)

    def _random_worker(self) -> SimulatedWorker:
        return self.workers[f"w{self.rng.integers(len(self.workers))}"]

    def _every(self, mean_s: float, action: Callable[[], None]) -> None:
        if mean_s == float("inf"):
            return

        def again() -> None:
            if self._running:
                action()
                self.inbox.after(float(self.rng.exponential(mean_s)), again)

        self.inbox.after(float(self.rng.exponential(mean_s)), again)
