"""What a worker has in its hands, shared by the thread that works and the thread that beats."""

from __future__ import annotations

import itertools
import threading
from typing import Any

from hpdist.core.attempt.stop_switch import GRACE_S, StopSwitch
from hpdist.core.model.events import Assignment, AttemptResult
from hpdist.core.model.payload import Payload, read_payload
from hpdist.core.remote.outbox import Spool, Told, as_many_as_fit, attempt_of, tell

#: How long an objective may take to end when its worker has to leave at once.
LEAVING_GRACE_S = 2.0

#: Reports kept for the next heartbeat; more would only be thrown away by the reader.
MAX_REPORTS = 500


class Hands:
    """Attempts that wait, run, or ended without being acknowledged.

    One small lock guards it all; nothing foreign is ever called under it. What ended is kept in
    the ``spool`` as well, where it outlives this process.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: dict[Assignment, Payload] = {}
        self._running: tuple[Assignment, StopSwitch] | None = None
        self._finished: dict[Assignment, Told] = {}
        self._inherited: list[Told] = []  #: what dead workers left, of whatever book
        self._released: dict[Assignment, str] = {}
        self._reports: list[tuple[int, int, int, float]] = []
        self._seen: set[Assignment] = set()
        self._unwanted: set[Assignment] = set()  #: taken back before they arrived
        self._numbers = {"step": itertools.count(), "beat": itertools.count()}
        self.leaving: str | None = None  #: why no more work is wanted
        self.abandoned = False  #: leave at once, handing everything back

    # ------------------------------------------------------------------ what there is

    @property
    def busy(self) -> bool:
        """Whether an attempt runs."""
        return self._running is not None

    @property
    def has_work(self) -> bool:
        return bool(self._waiting)

    @property
    def owes(self) -> bool:
        """Whether something has to be told at the next opportunity."""
        return bool(self._finished or self._inherited or self._released)

    def holds(self) -> list[Assignment]:
        """All that has not been acknowledged or handed back."""
        with self._lock:
            running = [] if self._running is None else [self._running[0]]
            return [*running, *self._waiting, *self._finished]

    def number(self, channel: str) -> int:
        """Return the next request number of a channel."""
        with self._lock:
            return next(self._numbers[channel])

    # ------------------------------------------------------------------ work

    def accept(self, work: list[dict[str, Any]]) -> None:
        """Put work in line; what was here before is not begun again."""
        with self._lock:
            for item in work:
                held = (item["job"], item["attempt"])
                if held in self._seen:
                    continue
                self._seen.add(held)
                if self.leaving or held in self._unwanted:
                    self._released[held] = "not wanted any more"
                else:
                    self._waiting[held] = read_payload(item["payload"])
            self._changed.notify_all()

    def begin(self) -> tuple[Assignment, Payload, StopSwitch] | None:
        """Take the next attempt in hand; None when nothing waits."""
        with self._lock:
            if not self._waiting or self.abandoned:
                return None
            held = next(iter(self._waiting))
            payload, switch = self._waiting.pop(held), StopSwitch()
            self._running = (held, switch)
            return held, payload, switch

    def finish(self, held: Assignment, result: AttemptResult | None) -> None:
        """Note what an attempt came to; None if it was cancelled and is handed back."""
        told = None if result is None else tell(result)
        if told is not None:
            self._spool.keep(told)
        with self._lock:
            self._running = None
            if told is None:
                self._released.setdefault(held, "cancelled")
            elif held not in self._released:
                self._finished[held] = told
            wanted = held in self._finished
            self._changed.notify_all()
        if not wanted:
            self._spool.forget(held)

    def inherit(self) -> list[Told]:
        """Take over what dead workers have left; returns what of it an introduction can tell."""
        left = self._spool.inherit()
        with self._lock:
            self._inherited += left
            return as_many_as_fit(self._inherited)

    def _open_book(self, book: str) -> None:
        """Learn which run of this name is served: what was left of others is of no use."""
        self._spool.open_book(book)
        with self._lock:
            self._inherited = [told for told in self._inherited if told.get("book") == book]

    def report(self, held: Assignment, step: int, loss: float) -> None:
        """Keep an intermediate loss for the next heartbeat."""
        with self._lock:
            self._reports.append((*held, step, loss))
            del self._reports[:-MAX_REPORTS]

    # ------------------------------------------------------------------ two threads

    def wait_to_talk(self) -> None:
        """Wait until there is something to tell, or nothing to do but to ask for work."""
        with self._lock:
            self._changed.wait_for(
                lambda: self.owes or self.abandoned or not (self._running or self._waiting)
            )

    def wait_for_work(self) -> None:
        """Wait until something waits to be begun, or until `wake`."""
        with self._lock:
            if not self._waiting:
                self._changed.wait(1.0)

    def wake(self) -> None:
        """End the waiting of others."""
        with self._lock:
            self._changed.notify_all()

    # ------------------------------------------------------------------ what is told

    def to_tell(self) -> dict[str, Any]:
        """What has not been acknowledged: results and returns, and the reports on the way there.

        With a result go the reports before it, so that whoever judges them knows all of them.
        """
        with self._lock:
            return {
                "done": as_many_as_fit([*self._inherited, *self._finished.values()]),
                "released": [[*held, why] for held, why in self._released.items()],
                "reports": [list(report) for report in self._reports],
            }

    def told(self, message: dict[str, Any], reply: dict[str, Any]) -> None:
        """Forget what ``reply`` confirms of ``message``."""
        if "terms" in reply:
            self._open_book(reply["terms"].get("book", ""))
        with self._lock:
            acks = {(job_id, attempt) for job_id, attempt in reply.get("acks", ())}
            for held in acks:
                self._finished.pop(held, None)
            self._inherited = [t for t in self._inherited if attempt_of(t) not in acks]
            if reply["kind"] == "ok":
                told = {tuple(report) for report in message.get("reports", ())}
                self._reports = [report for report in self._reports if report not in told]
                for job_id, attempt, _ in message.get("released", ()):
                    self._released.pop((job_id, attempt), None)
        for held in acks:
            self._spool.forget(held)

    # ------------------------------------------------------------------ commands

    def obey(self, reply: dict[str, Any]) -> None:
        """Carry out the commands in a reply."""
        for job_id, attempt in reply.get("cancel", ()):
            self.give_back((job_id, attempt), "cancelled", hard=True)
        for job_id, attempt in reply.get("recall", ()):
            self.give_back((job_id, attempt), "recalled", hard=False)
        for job_id, attempt in reply.get("curtail", ()):
            self._curtail((job_id, attempt))
        dismissed = reply.get("dismiss")
        if dismissed:
            self.leave(dismissed.get("reason", ""), at_once=not dismissed["drain"])

    def give_back(
        self, held: Assignment, why: str, *, hard: bool, grace_s: float = GRACE_S
    ) -> None:
        """Hand an attempt back: a running one only if ``hard``, one not here yet when it comes."""
        with self._lock:
            running = self._running
            if held not in self._seen:
                self._unwanted.add(held)
            if held in self._waiting:
                del self._waiting[held]
                self._released[held] = why
        if hard and running is not None and running[0] == held:
            running[1].cancel(grace_s)

    def _curtail(self, held: Assignment) -> None:
        """Ask the objective to end early, if it is this attempt that runs."""
        running = self._running
        if running is not None and running[0] == held:
            running[1].request_stop()

    def leave(self, why: str, *, at_once: bool) -> None:
        """Want no more work: after the attempt in hand, or at once, handing everything back."""
        with self._lock:
            self.leaving = self.leaving or why or "told to leave"
            self.abandoned = self.abandoned or at_once
            waiting = list(self._waiting)
            running = self._running
            if at_once and running is not None:
                self._released[running[0]] = self.leaving
            self._changed.notify_all()
        for held in waiting:
            self.give_back(held, self.leaving, hard=False)
        if at_once and running is not None:
            running[1].cancel(LEAVING_GRACE_S)
