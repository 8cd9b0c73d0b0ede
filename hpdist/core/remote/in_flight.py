"""The attempts in flight at a worker, shared by the thread that works and that of heartbeats."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from hpdist.core.attempt.stop_switch import GRACE_S, StopSwitch
from hpdist.core.model.events import Assignment, AttemptResult
from hpdist.core.model.payload import Payload
from hpdist.core.remote.messages import Heartbeat, Message, Poll, ReportedResult
from hpdist.core.remote.outbox import Outbox, as_many_as_fit, reported
from hpdist.core.remote.replies import OK, AssignedAttempt, Reply

#: How long an objective may take to end when its worker has to leave at once.
LEAVING_GRACE_S = 2.0

#: Intermediate losses kept for the next heartbeat; more would be thrown away by the reader.
MAX_PROGRESS = 500


@dataclass(frozen=True)
class Unreported:
    """What has to be reported: results, released attempts and the progress of running ones."""

    results: tuple[ReportedResult, ...] = ()
    released: tuple[tuple[int, int, str], ...] = ()
    progress: tuple[tuple[int, int, int, float], ...] = ()


class InFlight:
    """Attempts that wait, run, or ended without being acknowledged.

    One small lock guards it all; no foreign code is ever called under it. Results are kept in the
    ``outbox`` as well, where they outlive this process.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: dict[Assignment, Payload] = {}
        self._running: tuple[Assignment, StopSwitch] | None = None
        self._finished: dict[Assignment, ReportedResult] = {}
        self._recovered: list[ReportedResult] = []  #: of dead workers, of whatever run instance
        self._released: dict[Assignment, str] = {}
        self._progress: list[tuple[int, int, int, float]] = []
        self._seen: set[Assignment] = set()
        self._unwanted: set[Assignment] = set()  #: withdrawn before they arrived
        self._requests = {"work": itertools.count(), "heartbeat": itertools.count()}
        self.leaving: str | None = None  #: why no more work is wanted
        self.abandoned = False  #: leave at once, releasing everything

    # ------------------------------------------------------------------ what there is

    @property
    def busy(self) -> bool:
        """Whether an attempt runs."""
        return self._running is not None

    @property
    def has_work(self) -> bool:
        """Whether an attempt waits to be started."""
        return bool(self._waiting)

    @property
    def has_unsent(self) -> bool:
        """Whether a result or a released attempt has to be reported with the next call."""
        return bool(self._finished or self._recovered or self._released)

    def attempts(self) -> tuple[Assignment, ...]:
        """Return all attempts that have not been acknowledged or released."""
        with self._lock:
            running = [] if self._running is None else [self._running[0]]
            return (*running, *self._waiting, *self._finished)

    def next_request(self, channel: str) -> int:
        """Return the next request number of the channel for "work" or for the "heartbeat"."""
        with self._lock:
            return next(self._requests[channel])

    # ------------------------------------------------------------------ work

    def accept(self, assignments: Sequence[AssignedAttempt]) -> None:
        """Queue the assigned attempts; one that was here before is not started again."""
        with self._lock:
            for assignment in assignments:
                held = assignment.held
                if held in self._seen:
                    continue
                self._seen.add(held)
                if self.leaving or held in self._unwanted:
                    self._released[held] = "not wanted any more"
                else:
                    self._waiting[held] = assignment.payload
            self._changed.notify_all()

    def start_next(self) -> tuple[Assignment, Payload, StopSwitch] | None:
        """Mark the next attempt as running and return it; None when nothing waits."""
        with self._lock:
            if not self._waiting or self.abandoned:
                return None
            held = next(iter(self._waiting))
            payload = self._waiting.pop(held)
            switch = StopSwitch()
            self._running = (held, switch)
            return held, payload, switch

    def finish(self, held: Assignment, result: AttemptResult | None) -> None:
        """Keep the result of the running attempt; None if it was cancelled and is released."""
        report = None if result is None else reported(result)
        if report is not None:
            self._outbox.keep(report)
        with self._lock:
            self._running = None
            if report is None:
                self._released.setdefault(held, "cancelled")
            elif held not in self._released:
                self._finished[held] = report
            wanted = held in self._finished
            self._changed.notify_all()
        if not wanted:
            self._outbox.forget(held)

    def recover(self) -> tuple[ReportedResult, ...]:
        """Take over the results of dead workers; returns as many as one message can hold."""
        recovered = self._outbox.recover()
        with self._lock:
            self._recovered += recovered
            return as_many_as_fit(self._recovered)

    def report(self, held: Assignment, step: int, loss: float) -> None:
        """Keep an intermediate loss for the next heartbeat."""
        with self._lock:
            self._progress.append((*held, step, loss))
            del self._progress[:-MAX_PROGRESS]

    # ------------------------------------------------------------------ two threads

    def wait_to_call(self) -> None:
        """Wait until there is something to report, or no work left."""
        with self._lock:
            self._changed.wait_for(
                lambda: self.has_unsent or self.abandoned or not (self._running or self._waiting)
            )

    def wait_for_work(self) -> None:
        """Wait until an attempt waits to be started, or until `wake`."""
        with self._lock:
            if not self._waiting:
                self._changed.wait(1.0)

    def wake(self) -> None:
        """End the waiting of other threads."""
        with self._lock:
            self._changed.notify_all()

    # ------------------------------------------------------------------ reports

    def unreported(self) -> Unreported:
        """Return what has not been acknowledged: results, released attempts, and progress.

        A result goes together with the intermediate losses before it, so that the early-stopping
        rule knows all of them.
        """
        with self._lock:
            return Unreported(
                as_many_as_fit([*self._recovered, *self._finished.values()]),
                tuple((*held, why) for held, why in self._released.items()),
                tuple(self._progress),
            )

    def replied(self, message: Message, reply: Reply) -> None:
        """Forget what ``reply`` confirms of ``message``."""
        if reply.settings is not None:
            self._set_instance(reply.settings.instance)
        with self._lock:
            acknowledged = set(reply.acknowledged)
            for held in acknowledged:
                self._finished.pop(held, None)
            self._recovered = [each for each in self._recovered if each.held not in acknowledged]
            if reply.kind == OK and isinstance(message, Poll | Heartbeat):
                sent = set(message.progress)
                self._progress = [report for report in self._progress if report not in sent]
                for job_id, attempt, _ in message.released:
                    self._released.pop((job_id, attempt), None)
        for held in acknowledged:
            self._outbox.forget(held)

    def _set_instance(self, instance: str) -> None:
        """Drop recovered results of other instances of the run than the one served here."""
        self._outbox.set_instance(instance)
        with self._lock:
            self._recovered = [each for each in self._recovered if each.instance == instance]

    # ------------------------------------------------------------------ commands

    def obey(self, reply: Reply) -> None:
        """Carry out the commands in a reply."""
        for held in reply.cancel:
            self.release(held, "cancelled", hard=True)
        for held in reply.recall:
            self.release(held, "recalled", hard=False)
        for held in reply.stop_early:
            self._stop_early(held)
        if reply.shutdown is not None:
            self.leave(reply.shutdown.reason, at_once=not reply.shutdown.drain)

    def release(self, held: Assignment, why: str, *, hard: bool, grace_s: float = GRACE_S) -> None:
        """Release an attempt: a running one only if ``hard``, one not here yet when it comes."""
        with self._lock:
            running = self._running
            if held not in self._seen:
                self._unwanted.add(held)
            if held in self._waiting:
                del self._waiting[held]
                self._released[held] = why
        if hard and running is not None and running[0] == held:
            running[1].cancel(grace_s)

    def _stop_early(self, held: Assignment) -> None:
        """Ask the objective to return soon, if it is this attempt that runs."""
        running = self._running
        if running is not None and running[0] == held:
            running[1].request_stop()

    def leave(self, why: str, *, at_once: bool) -> None:
        """Want no more work: after the running attempt, or at once, releasing everything."""
        with self._lock:
            self.leaving = self.leaving or why or "shut down"
            self.abandoned = self.abandoned or at_once
            waiting = list(self._waiting)
            running = self._running
            if at_once and running is not None:
                self._released[running[0]] = self.leaving
            self._changed.notify_all()
        for held in waiting:
            self.release(held, self.leaving, hard=False)
        if at_once and running is not None:
            running[1].cancel(LEAVING_GRACE_S)
