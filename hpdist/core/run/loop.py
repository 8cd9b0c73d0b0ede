"""The one loop: events to machines, machines to journal, journal to orders.

*Write, then act*: no attempt starts and no result is acknowledged before its record is durable;
whatever arrives together is committed together. *Take everything before judging silence*: events
bear the time of their arrival, and leases are looked at when all that waits is handled, so a
busy loop gives up no healthy worker. *Ask late*: a configuration is chosen when there is room
for it, so that the optimizer knows all there is to know.
"""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace

from hpdist.core.dispatch.executor import Executor
from hpdist.core.dispatch.ports import JobSource, JournalPort
from hpdist.core.dispatch.state import DispatchState
from hpdist.core.dispatch.watermarks import QueueSizes
from hpdist.core.model.errors import ConfigurationError, HpdistError, JournalError, JournalFull
from hpdist.core.model.events import (
    AttemptStoppedEarly,
    Controlled,
    ControlRequested,
    Event,
    ExecutorFailed,
    Record,
    ReportReceived,
    RunEnded,
    WorkOffered,
)
from hpdist.core.model.orders import (
    Decision,
    Launch,
    Order,
)
from hpdist.core.model.values import JsonValue
from hpdist.core.run.inbox import Inbox

logger = logging.getLogger(__name__)

#: Seconds between two tries to write to a disk that was full.
FULL_DISK_RETRY_S = 1.0

#: Seconds in which workers may fetch their dismissal.
LINGER_S = 3.0

Observer = Callable[[Sequence[tuple[float, Record]]], None]
"""Called in the loop's thread with (wall time, record) pairs, once they are durable."""


class Loop:
    """Drives a source's jobs through an executor, and writes it all down.

    The thread that calls `run` owns the source, the book and the journal.

    Parameters
    ----------
    time_limit_s, grace_s
        After ``time_limit_s`` nothing new starts; what runs has ``grace_s`` seconds more, then it
        is cancelled and stays resumable.
    stay
        Go on serving workers when the source is done, until told to stop.
    waiting
        Start nothing until a command extends the search.
    dismiss
        Whether workers are sent home at the end.
    on_start
        Called when the executor has begun.
    """

    def __init__(
        self,
        source: JobSource,
        dispatch: DispatchState,
        journal: JournalPort,
        executor: Executor,
        inbox: Inbox,
        *,
        observers: Sequence[Observer] = (),
        queue_sizes: QueueSizes | None = None,
        time_limit_s: float = math.inf,
        grace_s: float = 10.0,
        stay: bool = False,
        waiting: bool = False,
        dismiss: bool = True,
        on_start: Callable[[], None] = lambda: None,
    ) -> None:
        self.source, self.dispatch, self.journal = source, dispatch, journal
        self.executor, self.inbox, self.observers = executor, inbox, list(observers)
        self.queue_sizes = queue_sizes or QueueSizes()
        self.grace_s, self.stay, self.dismiss = grace_s, stay, dismiss
        self.ended: RunEnded | None = RunEnded("waiting") if waiting else None
        self._time_limit_s, self._on_start = time_limit_s, on_start
        self._closing: RunEnded | None = None  #: why nothing new starts any more
        self._close_by = math.inf  #: when what still runs is cancelled
        self._orders: list[Order] = []
        self._fresh: list[tuple[float, Record]] = []  #: records observers have not seen
        self._retry_at = -math.inf  #: the disk was full: no commit before this time
        self._refilling = True  #: look again at once; so at first
        self._began = self._left = False  #: whether it got going, and has told all of its end
        self._hands_over = False  #: what runs stays with its workers, for the next process

    # ------------------------------------------------------------------ the loop

    def run(self) -> RunEnded:
        """Run to the end, and return how it ended.

        Raises
        ------
        HpdistError
            If the journal or the executor fails; whatever the source raises. The journal is
            consistent, and the run can be resumed.
        """
        self._deadline = self.inbox.now() + self._time_limit_s
        try:
            self.executor.start(self.inbox.post)
            self._on_start()
            self._began = True
            keeps = self.executor.keeps_running
            self._take(self.dispatch.reconcile_workers(self.inbox.now(), may_return=keeps))
            while self.ended is None or not self._left or self._unwritten:
                self.turn()
            if self.dismiss and keeps:
                self._linger(self.ended.reason)
            return self.ended
        except BaseException as error:
            if self._began:  # else there may be another who serves this run
                self._give_up(error)
            raise
        finally:
            self.executor.close(self.grace_s)

    def _linger(self, reason: str) -> None:
        """Answer until the workers that were sent home have heard of it, if they are awake."""
        until = self.inbox.now() + LINGER_S
        while self.dispatch.workers and self.inbox.now() < until:
            for at, event in self.inbox.take(until):
                self._handle(event, at)
            for name in [name for name, w in self.dispatch.workers.items() if w.available]:
                self._take(
                    self.dispatch.shut_down_workers(drain=True, reason=reason, worker_id=name)
                )
            self._flush(self.inbox.now())

    def turn(self) -> None:
        """Handle what has arrived, decide, write, act."""
        for at, event in self.inbox.take(until=self._next_look()):
            self._handle(event, at)
        now = self.inbox.now()
        self.dispatch.extend_leases(now, self.dispatch.timing.lease_s / 2)
        self._take(self.dispatch.tick(now))
        self._mind_the_time(now)
        if self.ended is None and self._closing is None and now >= self._retry_at:
            self._fill(now)
        else:
            self._refilling = False
        self._end_if_over()
        self._flush(now)

    @property
    def _unwritten(self) -> bool:
        return bool(self._orders or self._fresh)

    def _next_look(self) -> float | None:
        if self._refilling:
            return self.inbox.now()
        retry_at = self._retry_at if self._retry_at > -math.inf else math.inf
        soonest = min(self.dispatch.next_deadline(), self._deadline, self._close_by, retry_at)
        return None if soonest == math.inf else soonest

    # ------------------------------------------------------------------ events

    def _handle(self, event: Event, at: float) -> None:
        if isinstance(event, ControlRequested):
            self._obey(event)
        elif isinstance(event, ExecutorFailed):
            raise HpdistError(f"the executor failed: {event.message}", cause=event.traceback)
        elif isinstance(event, WorkOffered):
            self._refilling = True
        else:
            self._take(self.dispatch.handle(event, at))

    def _obey(self, event: ControlRequested) -> None:
        try:
            self._control(event.command, event.arguments)
        except ConfigurationError as error:  # an operator's slip must not end the search
            logger.error("the command %r was refused: %s", event.command, error)

    def _control(self, command: str, arguments: dict[str, JsonValue]) -> None:
        reason = arguments.get("reason", "")
        if command in ("stop", "drain"):
            self.dismiss = arguments.get("dismiss", self.dismiss)
            self.close(RunEnded("stopped", reason), drain=command == "drain")
        elif command == "time_limit":
            self._deadline = self.inbox.now() + arguments["seconds"]
        elif command == "dismiss":
            worker_id = arguments.get("worker")
            self._take(
                self.dispatch.shut_down_workers(drain=True, reason=reason, worker_id=worker_id)
            )
        elif command == "cancel":
            self._cancel(set(arguments["jobs"]), reason or "cancelled by command")
        elif command == "retry":
            jobs = self.source.retryable(arguments.get("jobs"))
            self._change(Controlled("retry", {"jobs": jobs}))
        elif command in ("pause", "resume", "extend", "iteration_kwargs"):
            self._change(Controlled(command, arguments))
        else:
            logger.warning("unknown command %r", command)

    def _cancel(self, job_ids: set[int], reason: str) -> None:
        created = self.dispatch.jobs.keys() & job_ids
        for job_id in sorted(created):
            self._take(self.dispatch.cancel(job_id, reason))
        self.source.withdraw(job_ids - created, reason, self.inbox.wall())

    def _change(self, record: Controlled) -> None:
        self.record(record)
        self.dispatch.apply(record)
        if record.command in ("retry", "extend") and not self._left:
            self.ended = None

    def close(self, why: RunEnded, *, drain: bool) -> None:
        """Start nothing new; end when nothing runs, or after the grace period, or now."""
        self._closing = self._closing or why
        by = self.inbox.now() + (self.grace_s if why.reason == "time_limit" else math.inf)
        self._close_by = min(self._close_by, by) if drain else self.inbox.now()
        if drain:
            self._take(self.dispatch.recall(everything=True))

    def _mind_the_time(self, now: float) -> None:
        if now >= self._deadline:
            self._deadline = math.inf
            self.close(RunEnded("time_limit"), drain=True)
        if now >= self._close_by:
            self._close_by = math.inf
            stopped = self._closing is not None and self._closing.reason == "stopped"
            self._hands_over = stopped and self.executor.keeps_running and not self.dismiss
            if not self._hands_over:
                self._take(self.dispatch.withdraw())

    # ------------------------------------------------------------------ work

    def _fill(self, now: float) -> None:
        """Give every free place a job; choose ahead of demand one at a time, between events."""
        self._take(self.dispatch.assign(now))
        places = self.dispatch.capacity
        low, high = self.queue_sizes.bounds(places)
        taken = self.dispatch.occupied(now)
        if self.dispatch.paused or not (places and (self._refilling or taken <= low)):
            self._refilling = False
            return
        while taken < min(places, high) and self._propose():
            taken += 1
        self._take(self.dispatch.assign(now))
        if taken < places:
            self._take(self.dispatch.recall())
        self._refilling = places <= taken < high and self._propose() and taken + 1 < high

    def _propose(self) -> bool:
        record = self.source.propose()
        if record is None:
            return False
        self.record(record)
        self.dispatch.apply(record)
        return True

    def _take(self, decision: Decision) -> None:
        for record in decision.records:
            self.record(record)
            if isinstance(record, ReportReceived):
                self._judge(record)
        self._orders += decision.orders

    def _judge(self, report: ReportReceived) -> None:
        """End an evaluation early that does not promise."""
        entry = self.dispatch.jobs[report.job_id]
        if not entry.stopped_early and self.source.stops_early(report.job_id):
            stopped_early = AttemptStoppedEarly(report.job_id, report.attempt, report.step)
            self.record(stopped_early)
            self.dispatch.apply(stopped_early)
        if entry.stopped_early:
            self._orders += self.dispatch.stop_early(report.job_id).orders

    def record(self, record: Record) -> None:
        """Put a record before the source and in the journal; durable at the next commit."""
        at = self.inbox.wall()
        # The source comes first: what it refuses would be refused at each resume as well.
        self.source.apply(record)
        self.journal.append(record, at)
        self._fresh.append((at, record))

    def _flush(self, now: float) -> None:
        if now < self._retry_at:
            return
        try:
            self.journal.commit()
        except JournalFull as error:
            logger.error("%s\n  nothing is lost; trying again every second", error)
            self._retry_at = now + FULL_DISK_RETRY_S
            return
        self._retry_at = -math.inf
        fresh, self._fresh = self._fresh, []
        if fresh:
            self._observe(fresh)
        # Last, because a serial executor takes as long as the objective does.
        orders, self._orders = self._orders, []
        if orders:
            self.executor.perform([self._complete(order) for order in orders])

    def _complete(self, order: Order) -> Order:
        if isinstance(order, Launch):
            return replace(order, payload=self.source.payload(order.job_id))
        return order

    def _observe(self, fresh: Sequence[tuple[float, Record]]) -> None:
        for observer in self.observers:
            try:
                observer(fresh)
            except Exception:  # a caller's view must not end his search
                logger.exception("%r failed; the search goes on", observer)

    # ------------------------------------------------------------------ the end

    def _end_if_over(self) -> None:
        if self.ended is None:
            if self._closing is not None and (self._hands_over or not self.dispatch.running):
                self._end(self._closing)
            elif self._closing is None and self.source.done:
                self._end(RunEnded("finished"))
        if self.ended is not None and not self._left and (self._closing or not self.stay):
            self._left = True
            if self.dismiss:
                self._take(self.dispatch.shut_down_workers(drain=True, reason=self.ended.reason))

    def _end(self, why: RunEnded) -> None:
        self.record(why)
        self.ended = why

    def _give_up(self, error: BaseException) -> None:
        """Say in the journal why the run broke off, unless it was the journal that failed."""
        if isinstance(error, JournalError):
            return
        text = "".join(traceback.format_exception_only(type(error), error)).strip()
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
        try:
            if interrupted and not self.executor.keeps_running:
                self._take(self.dispatch.withdraw(cancel=False))  # it ends with this process
            self.record(RunEnded("stopped" if interrupted else "failed", text))
            self.journal.commit()
        except (HpdistError, OSError, ValueError):
            logger.exception("could not record the end of the run")
