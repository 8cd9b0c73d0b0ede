"""The attempts in flight at a worker, shared by its work thread and its heartbeat thread."""

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

#: Seconds that an objective gets to end when its worker has to leave at once.
LEAVING_GRACE_S = 2.0

#: Intermediate losses kept for the next heartbeat; the dispatcher would drop more.
MAX_PROGRESS = 500


@dataclass(frozen=True)
class Unreported:
    """What the next call reports: results, released attempts and progress of running ones."""

    results: tuple[ReportedResult, ...] = ()
    released: tuple[tuple[int, int, str], ...] = ()
    progress: tuple[tuple[int, int, int, float], ...] = ()


class InFlight:
    """Attempts that wait, run, or have ended without being acknowledged.

    One lock protects all fields; no user code is called under it. Results are also written to the
    ``outbox``, where they outlive this process.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: dict[Assignment, Payload] = {}
        self._running: tuple[Assignment, StopSwitch] | None = None
        self._finished: dict[Assignment, ReportedResult] = {}
        self._recovered: list[ReportedResult] = []  #: results of dead workers, of any run instance
        self._released: dict[Assignment, str] = {}
        self._progress: list[tuple[int, int, int, float]] = []
        self._seen: set[Assignment] = set()
        self._unwanted: set[Assignment] = set()  #: withdrawn before they arrived here
        self._requests = {"work": itertools.count(), "heartbeat": itertools.count()}
        self.leaving: str | None = None  #: reason why no more work is accepted
        self.abandoned = False  #: leave at once, releasing everything

    # ------------------------------------------------------------------ state

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
        """Queue the assigned attempts; a repeated assignment is not started again."""
        with self._lock:
            for assigned in assignments:
                assignment = assigned.assignment
                if assignment in self._seen:
                    continue
                self._seen.add(assignment)
                if self.leaving or assignment in self._unwanted:
                    self._released[assignment] = "no longer wanted"
                else:
                    self._waiting[assignment] = assigned.payload
            self._changed.notify_all()

    def start_next(self) -> tuple[Assignment, Payload, StopSwitch] | None:
        """Mark the next attempt as running and return it; None if no attempt waits."""
        with self._lock:
            if not self._waiting or self.abandoned:
                return None
            assignment = next(iter(self._waiting))
            payload = self._waiting.pop(assignment)
            switch = StopSwitch()
            self._running = (assignment, switch)
            return assignment, payload, switch

    def finish(self, assignment: Assignment, result: AttemptResult | None) -> None:
        """Keep the result of the running attempt; None if it was cancelled and is released."""
        report = None if result is None else reported(result)
        if report is not None:
            self._outbox.keep(report)
        with self._lock:
            self._running = None
            if report is None:
                self._released.setdefault(assignment, "cancelled")
            elif assignment not in self._released:
                self._finished[assignment] = report
            wanted = assignment in self._finished
            self._changed.notify_all()
        if not wanted:
            self._outbox.forget(assignment)

    def recover(self) -> tuple[ReportedResult, ...]:
        """Take over the results of dead workers; return as many as fit into one message."""
        recovered = self._outbox.recover()
        with self._lock:
            self._recovered += recovered
            return as_many_as_fit(self._recovered)

    def report(self, assignment: Assignment, step: int, loss: float) -> None:
        """Keep an intermediate loss for the next heartbeat."""
        with self._lock:
            self._progress.append((*assignment, step, loss))
            del self._progress[:-MAX_PROGRESS]

    # ------------------------------------------------------------------ two threads

    def wait_to_call(self) -> None:
        """Wait until there is a result to report, or no work is left."""
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
        """Wake the threads that wait."""
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
                tuple((*assignment, why) for assignment, why in self._released.items()),
                tuple(self._progress),
            )

    def replied(self, message: Message, reply: Reply) -> None:
        """Remove the parts of ``message`` that ``reply`` acknowledges."""
        if reply.settings is not None:
            self._set_instance(reply.settings.instance)
        with self._lock:
            acknowledged = set(reply.acknowledged)
            for assignment in acknowledged:
                self._finished.pop(assignment, None)
            self._recovered = [
                each for each in self._recovered if each.assignment not in acknowledged
            ]
            if reply.kind == OK and isinstance(message, Poll | Heartbeat):
                sent = set(message.progress)
                self._progress = [report for report in self._progress if report not in sent]
                for job_id, attempt, _ in message.released:
                    self._released.pop((job_id, attempt), None)
        for assignment in acknowledged:
            self._outbox.forget(assignment)

    def _set_instance(self, instance: str) -> None:
        """Drop recovered results of other run instances."""
        self._outbox.set_instance(instance)
        with self._lock:
            self._recovered = [each for each in self._recovered if each.instance == instance]

    # ------------------------------------------------------------------ commands

    def execute_commands(self, reply: Reply) -> None:
        """Execute the commands of a reply."""
        for assignment in reply.cancel:
            self.release(assignment, "cancelled", hard=True)
        for assignment in reply.recall:
            self.release(assignment, "recalled", hard=False)
        for assignment in reply.stop_early:
            self._stop_early(assignment)
        if reply.shutdown is not None:
            self.leave(reply.shutdown.reason, at_once=not reply.shutdown.drain)

    def release(
        self, assignment: Assignment, why: str, *, hard: bool, grace_s: float = GRACE_S
    ) -> None:
        """Release an attempt: a running one only if ``hard``, a later one when it arrives."""
        with self._lock:
            running = self._running
            if assignment not in self._seen:
                self._unwanted.add(assignment)
            if assignment in self._waiting:
                del self._waiting[assignment]
                self._released[assignment] = why
        if hard and running is not None and running[0] == assignment:
            running[1].cancel(grace_s)

    def _stop_early(self, assignment: Assignment) -> None:
        """Ask the objective to return soon, if this attempt is running."""
        running = self._running
        if running is not None and running[0] == assignment:
            running[1].request_stop()

    def leave(self, why: str, *, at_once: bool) -> None:
        """Accept no more work; with ``at_once`` also release the running attempt."""
        with self._lock:
            self.leaving = self.leaving or why or "shut down"
            self.abandoned = self.abandoned or at_once
            waiting = list(self._waiting)
            running = self._running
            if at_once and running is not None:
                self._released[running[0]] = self.leaving
            self._changed.notify_all()
        for assignment in waiting:
            self.release(assignment, self.leaving, hard=False)
        if at_once and running is not None:
            running[1].cancel(LEAVING_GRACE_S)
