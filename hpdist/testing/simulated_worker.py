"""A worker of the simulated cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from hpdist.core.model.events import (
    Assignment,
    AttemptFinished,
    AttemptReleased,
    AttemptResult,
    Event,
    WorkerJoined,
    WorkerLeft,
    WorkerSeen,
)
from hpdist.core.model.orders import (
    Acknowledge,
    Cancel,
    Launch,
    Order,
    Recall,
    Reregister,
    ShutDown,
)
from hpdist.core.model.payload import Payload
from hpdist.core.model.values import Outcome, WorkerInfo
from hpdist.testing.simulated_objectives import Evaluate
from hpdist.testing.simulated_time import SimulatedInbox


class WorkerEnvironment(Protocol):
    """What a simulated worker needs of its cluster."""

    inbox: SimulatedInbox
    evaluate: Evaluate
    rng: np.random.Generator
    heartbeat_s: float
    freeze_s: float  #: mean seconds of a suspension
    started: list[Assignment]
    fault_counts: Counter[str]
    epoch: int

    def send_events(self, events: Sequence[Event]) -> None:
        """Send events to the loop."""
        ...


class SimulatedWorker:
    """A worker in simulated time, with the protocol of a real one.

    It reports a result until it is acknowledged, never starts an attempt twice, and loses its
    state when it dies.

    Parameters
    ----------
    cluster
        The cluster that the worker belongs to.
    worker_id
        Name of the worker; each process of that name has another incarnation.
    slots, prefetch
        Attempts that it runs at once, and further ones that it accepts ahead.
    """

    def __init__(
        self, cluster: WorkerEnvironment, worker_id: str, slots: int, prefetch: int
    ) -> None:
        self.cluster = cluster
        self.worker_id = worker_id
        self.slots = slots
        self.prefetch = prefetch
        self.life = 0  #: number of the process that has the worker's name
        self.epoch = 0  #: of the last master whose order was accepted
        self._reset()

    def _reset(self) -> None:
        """Replace the process by a new one without any state."""
        self.life += 1
        self.incarnation = f"{self.worker_id}.{self.life}"
        self.waiting: dict[Assignment, Payload] = {}
        self.seen: set[Assignment] = set()
        self.running: set[Assignment] = set()
        self.unacknowledged: dict[Assignment, AttemptResult] = {}
        self.delayed: list[Callable[[], None]] | None = None  #: while frozen, what to do on waking
        self.leaving = False

    @property
    def assigned(self) -> tuple[Assignment, ...]:
        """The attempts that run, wait, or whose results are not acknowledged."""
        return (*self.running, *self.waiting, *self.unacknowledged)

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Join the cluster, and send heartbeats from now on."""
        self._join()
        self._heartbeat(self.life)

    def die(self) -> None:
        """Kill the process; another one takes its name some seconds later."""
        self.cluster.fault_counts["worker killed"] += 1
        self.restart(float(self.cluster.rng.exponential(5.0)))

    def restart(self, after_s: float) -> None:
        """Replace the process by a new one, without its in-flight attempts, after some seconds."""
        self._reset()
        self.cluster.inbox.after(after_s, self.start)

    def freeze(self) -> None:
        """Suspend the process for a while; it then carries out all that was due."""
        if self.delayed is None:
            self.delayed, life = [], self.life
            self.cluster.fault_counts["worker frozen"] += 1
            length = float(self.cluster.rng.exponential(self.cluster.freeze_s))
            self.cluster.inbox.after(length, lambda: self._thaw(life))

    def _thaw(self, life: int) -> None:
        if life == self.life:
            late, self.delayed = self.delayed or [], None
            for action in late:
                action()

    def _later(self, delay: float, action: Callable[[], None]) -> None:
        """Schedule an action of this process; a suspended one carries it out on waking."""
        life = self.life

        def run() -> None:
            if life != self.life:
                return
            if self.delayed is not None:
                self.delayed.append(run)
            else:
                action()

        self.cluster.inbox.after(delay, run)

    def _heartbeat(self, life: int) -> None:
        if life == self.life and not (self.leaving and not self.assigned):
            self.cluster.send_events([WorkerSeen(self.worker_id, self.incarnation, self.assigned)])
            for result in list(self.unacknowledged.values()):
                self._report(result)
            self._later(self.cluster.heartbeat_s, lambda: self._heartbeat(life))

    def _join(self) -> None:
        # Orders of an earlier master are ignored once a later one is known.
        self.epoch = max(self.epoch, self.cluster.epoch)
        info = WorkerInfo(
            self.worker_id, self.incarnation, slots=self.slots, prefetch=self.prefetch
        )
        self.cluster.send_events([WorkerJoined(info, self.assigned)])

    # ------------------------------------------------------------------ work

    def receive(self, order: Order, epoch: int = 0) -> None:
        """Carry out an order, unless it is for an earlier process or of an earlier master."""
        if self.incarnation == order.incarnation and epoch >= self.epoch:
            self.epoch = epoch
            self._later(0.0, lambda: self._carry_out(order))

    def _carry_out(self, order: Order) -> None:
        if isinstance(order, Launch):
            assert order.payload is not None, "the loop fills the payload"
            self._accept((order.job_id, order.attempt), order.payload)
        elif isinstance(order, Acknowledge):
            self.unacknowledged.pop((order.job_id, order.attempt), None)
        elif isinstance(order, Cancel | Recall):
            self._release((order.job_id, order.attempt), cancel=isinstance(order, Cancel))
        elif isinstance(order, Reregister):
            self._join()
        elif isinstance(order, ShutDown):
            self.leaving = True
            if not self.assigned:
                self.cluster.send_events(
                    [WorkerLeft(self.worker_id, self.incarnation, order.reason)]
                )

    def _accept(self, attempt: Assignment, payload: Payload) -> None:
        if attempt not in self.seen:  # a repeated order does not start an attempt again
            self.seen.add(attempt)
            self.waiting[attempt] = payload
            self._start_waiting()

    def _start_waiting(self) -> None:
        while self.waiting and len(self.running) < self.slots:
            attempt = next(iter(self.waiting))
            payload = self.waiting.pop(attempt)
            self.running.add(attempt)
            self.cluster.started.append(attempt)
            outcome, seconds = self.cluster.evaluate(payload, self.cluster.rng)
            self._later(seconds, lambda a=attempt, o=outcome, s=seconds: self._finish(a, o, s))  # type: ignore[misc]

    def _finish(self, attempt: Assignment, outcome: Outcome, seconds: float) -> None:
        if attempt in self.running:
            self.running.discard(attempt)
            result = AttemptResult(*attempt, outcome, seconds)
            self.unacknowledged[attempt] = result
            self._report(result)
            self._start_waiting()

    def _report(self, result: AttemptResult) -> None:
        self.cluster.send_events([AttemptFinished(self.worker_id, self.incarnation, result)])

    def _release(self, attempt: Assignment, *, cancel: bool) -> None:
        if attempt in self.waiting or (cancel and attempt in self.running):
            self.waiting.pop(attempt, None)
            self.running.discard(attempt)
            self.cluster.send_events([AttemptReleased(self.worker_id, self.incarnation, *attempt)])
            self._start_waiting()
