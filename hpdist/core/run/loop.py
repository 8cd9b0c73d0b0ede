"""The one loop: events to machines, machines to journal, journal to orders.

*Write, then act*: no attempt starts and no result is acknowledged before its record is durable;
records of events that arrive together are committed together. *Read everything before checking
leases*: events have the time of their arrival, and leases are checked when all waiting events are
handled, so a busy loop gives up no healthy worker. *Ask late*: a configuration is chosen when a
slot is free for it, so that the optimizer knows all results so far.
"""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hpdist.core.dispatch.executor import Executor
from hpdist.core.dispatch.ports import JobSource, JournalPort
from hpdist.core.dispatch.state import DispatchState
from hpdist.core.dispatch.watermarks import QueueSizes
from hpdist.core.model.errors import HpdistError, JournalError, JournalFull
from hpdist.core.model.events import (
    AttemptStoppedEarly,
    Controlled,
    ControlRequested,
    Event,
    ExecutorFailed,
    JobCreated,
    Record,
    ReportReceived,
    RunEnded,
    WorkOffered,
)
from hpdist.core.model.orders import Decision, Launch, Order
from hpdist.core.model.states import EndReason
from hpdist.core.run.commands import Commands
from hpdist.core.run.ending import Ending
from hpdist.core.run.inbox import Inbox

logger = logging.getLogger(__name__)

#: Seconds between two tries to write to a disk that was full.
FULL_DISK_RETRY_S = 1.0

#: Seconds for which the loop waits until workers have received the order to shut down.
SHUT_DOWN_S = 3.0

Observer = Callable[[Sequence[tuple[float, Record]]], None]
"""Called in the loop's thread with (wall time, record) pairs, once they are durable."""


class Loop:
    """Runs the jobs of a source on an executor, and records all changes in the journal.

    The thread that calls `run` owns the source, the dispatch state and the journal.

    Parameters
    ----------
    on_start
        Called when the executor has started.
    ending
        When the loop ends, see `hpdist.core.run.ending.Ending`.
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
        on_start: Callable[[], None] = lambda: None,
        **ending: Any,
    ) -> None:
        self.source = source
        self.dispatch = dispatch
        self.journal = journal
        self.executor = executor
        self.inbox = inbox
        self.observers = list(observers)
        self.queue_sizes = queue_sizes or QueueSizes()
        self.ending = Ending(**ending)
        self._on_start = on_start
        self._commands = Commands(source, dispatch, self.ending, inbox, self._take, self._change)
        self._orders: list[Order] = []
        self._fresh: list[tuple[float, Record]] = []  #: records observers have not seen
        self._retry_at = -math.inf  #: the disk was full: no commit before this time
        self._refilling = True  #: fill again in the next turn without waiting for events
        self._started = False

    # ------------------------------------------------------------------ the loop

    def run(self) -> RunEnded:
        """Run to the end, and return how it ended.

        Raises
        ------
        HpdistError
            If the journal or the executor fails; exceptions of the source are passed on. The
            journal is consistent, and the run can be resumed.
        """
        ending = self.ending
        ending.start(self.inbox.now())
        try:
            self.executor.start(self.inbox.post)
            self._on_start()
            self._started = True
            may_return = self.executor.keeps_running
            self._take(self.dispatch.reconcile_workers(self.inbox.now(), may_return=may_return))
            while ending.ended is None or not ending.is_final or self._orders or self._fresh:
                self.turn()
            if ending.shut_down_workers and self.executor.keeps_running:
                self._wait_for_shut_down(ending.ended.reason)
            return ending.ended
        except BaseException as error:
            if self._started:  # else another process may serve this run
                self._record_failure(error)
            raise
        finally:
            self.executor.close(ending.grace_s)

    def turn(self) -> None:
        """Handle the events that have arrived, decide, write, act."""
        for at, event in self.inbox.take(until=self._next_turn_at()):
            self._handle(event, at)
        now = self.inbox.now()
        if now >= self.dispatch.next_deadline():
            self.dispatch.extend_leases(now, self.dispatch.timing.lease_s / 2)
            self._take(self.dispatch.tick(now))
        if now >= self.ending.next_deadline:
            self._check_deadlines(now)
        if self.ending.is_open and now >= self._retry_at:
            self._fill(now)
        else:
            self._refilling = False
        self._end_if_over()
        self._flush(now)

    def _next_turn_at(self) -> float | None:
        if self._refilling:
            return self.inbox.now()
        retry_at = self._retry_at if self._retry_at > -math.inf else math.inf
        soonest = min(self.dispatch.next_deadline(), self.ending.next_deadline, retry_at)
        return None if soonest == math.inf else soonest

    # ------------------------------------------------------------------ events

    def _handle(self, event: Event, at: float) -> None:
        if isinstance(event, ControlRequested):
            self._commands.execute(event)
        elif isinstance(event, ExecutorFailed):
            raise HpdistError(f"the executor failed: {event.message}", cause=event.traceback)
        elif isinstance(event, WorkOffered):
            self._refilling = True
        else:
            self._take(self.dispatch.handle(event, at))

    def _check_deadlines(self, now: float) -> None:
        ending = self.ending
        if ending.is_time_up(now):
            ending.close(RunEnded(EndReason.TIME_LIMIT), now, drain=True)
            self._take(self.dispatch.recall(everything=True))
        if ending.is_grace_over(now):
            stopped = ending.closing is not None and ending.closing.reason == EndReason.STOPPED
            workers_stay = self.executor.keeps_running and not ending.shut_down_workers
            ending.keeps_attempts = stopped and workers_stay
            if not ending.keeps_attempts:
                self._take(self.dispatch.withdraw())

    # ------------------------------------------------------------------ jobs

    def _fill(self, now: float) -> None:
        """Assign a job to every free slot, then queue jobs up to the high watermark.

        Only one queued job a turn is proposed: a slow optimizer must not keep events waiting.
        """
        if self.dispatch.jobs.queue:
            # Queued jobs first: only the remaining capacity needs new jobs.
            self._take(self.dispatch.assign(now))
        capacity = self.dispatch.workers.capacity
        low, high = self.queue_sizes.bounds(capacity)
        occupied = self.dispatch.occupied(now)
        if self.dispatch.paused or not (capacity and (self._refilling or occupied <= low)):
            self._refilling = False
            return
        while occupied < min(capacity, high) and self._propose():
            occupied += 1
        self._take(self.dispatch.assign(now))
        if occupied < capacity:
            # Slots stay free, and there is nothing to propose: prefetched attempts of busy
            # workers can start there.
            self._take(self.dispatch.recall())
        # From the low watermark up to the high one: one job in this turn, and one in the next.
        self._refilling = capacity <= occupied < high and self._propose() and occupied + 1 < high

    def _propose(self) -> bool:
        """Create the next job, if there is one."""
        record = self.source.propose()
        if record is None:
            return False
        self._change(record)
        return True

    def _change(self, record: JobCreated | Controlled | AttemptStoppedEarly) -> None:
        """Record a change that does not come from the dispatch state, and apply it there."""
        self._record(record)
        self.dispatch.apply(record)

    def _take(self, decision: Decision) -> None:
        """Record a decision, and keep its orders until the records are durable."""
        for record in decision.records:
            self._record(record)
            if isinstance(record, ReportReceived):
                self._check_report(record)
        self._orders += decision.orders

    def _check_report(self, report: ReportReceived) -> None:
        """Stop an attempt early if the source's rule says so."""
        entry = self.dispatch.jobs[report.job_id]
        if not entry.stopped_early and self.source.stops_early(report.job_id):
            self._change(AttemptStoppedEarly(report.job_id, report.attempt, report.step))
        if entry.stopped_early:
            self._orders += self.dispatch.stop_early(report.job_id).orders

    # ------------------------------------------------------------------ write, then act

    def _record(self, record: Record) -> None:
        """Apply a record to the source and append it to the journal; durable at the next commit."""
        at = self.inbox.wall()
        # The source comes first: a record that it refuses would be refused at each resume, too.
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
        if self._fresh:
            fresh, self._fresh = self._fresh, []
            self._observe(fresh)
        if self._orders:
            # Last, because a serial executor takes as long as the objective does.
            self._perform()

    def _perform(self) -> None:
        orders, self._orders = self._orders, []
        for index, order in enumerate(orders):
            if isinstance(order, Launch):
                orders[index] = replace(order, payload=self.source.payload(order.job_id))
        self.executor.perform(orders)

    def _observe(self, fresh: Sequence[tuple[float, Record]]) -> None:
        for observer in self.observers:
            try:
                observer(fresh)
            except Exception:  # a failing observer must not stop the search
                logger.exception("%r failed; the search goes on", observer)

    # ------------------------------------------------------------------ the end

    def _end_if_over(self) -> None:
        ending = self.ending
        if ending.ended is None:
            done = ending.closing is None and self.source.done
            found = ending.find_end(self.dispatch.workers.running, source_done=done)
            if found is not None:
                self._record(found)
                ending.ended = found
        if ending.ended is not None and ending.become_final() and ending.shut_down_workers:
            reason = ending.ended.reason
            self._take(self.dispatch.shut_down_workers(drain=True, reason=reason))

    def _wait_for_shut_down(self, reason: str) -> None:
        """Handle events until the connected workers have received the order to shut down."""
        until = self.inbox.now() + SHUT_DOWN_S
        while self.dispatch.workers and self.inbox.now() < until:
            for at, event in self.inbox.take(until):
                self._handle(event, at)
            # Workers that have joined meanwhile.
            for name in [name for name, each in self.dispatch.workers.items() if each.available]:
                self._take(
                    self.dispatch.shut_down_workers(drain=True, reason=reason, worker_id=name)
                )
            self._flush(self.inbox.now())

    def _record_failure(self, error: BaseException) -> None:
        """Record why the run ended by an error, unless the journal itself failed."""
        if isinstance(error, JournalError):
            return
        text = "".join(traceback.format_exception_only(type(error), error)).strip()
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
        try:
            if interrupted and not self.executor.keeps_running:
                # The attempts end with this process.
                self._take(self.dispatch.withdraw(cancel=False))
            self._record(RunEnded(EndReason.STOPPED if interrupted else EndReason.FAILED, text))
            self.journal.commit()
        except (HpdistError, OSError, ValueError):
            logger.exception("could not record the end of the run")
