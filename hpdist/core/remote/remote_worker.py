"""The dispatcher's view of a remote worker: mailboxes of its two channels, and open calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from hpdist.core.model.errors import ProtocolMismatch
from hpdist.core.model.events import Assignment
from hpdist.core.model.orders import (
    Acknowledge,
    Cancel,
    Launch,
    Order,
    Recall,
    Registered,
    Reregister,
    ShutDown,
    StopEarly,
)
from hpdist.core.remote.messages import Heartbeat, Message, Poll, Register
from hpdist.core.remote.replies import (
    OK,
    UNREGISTERED,
    AssignedAttempt,
    Reply,
    SessionSettings,
    Shutdown,
)


class Call:
    """One message that awaits its reply; ``is_new`` if its number was not seen before."""

    def __init__(self, mailbox: _Mailbox, request: int) -> None:
        self.mailbox = mailbox
        self.request = request
        self.is_new = request > mailbox.request

    @property
    def is_newest(self) -> bool:
        """Whether no later request has arrived, so that the worker may still read the reply."""
        return self.request == self.mailbox.request


class _Mailbox:
    """Pending assignments and commands of one channel, protected by the lock of the worker.

    ``request`` is the newest request number, ``reply`` its reply, kept until the next request
    shows that it arrived. ``results`` are the attempts that the open call reports.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self.changed = threading.Condition(lock)
        self.request = -1
        self.reply: Reply | None = None
        self.registers = False  #: whether the open call is a registration
        self.results: tuple[Assignment, ...] = ()
        self.clear()

    def clear(self) -> None:
        self.assignments: dict[Assignment, AssignedAttempt] = {}
        self.acknowledged: list[Assignment] = []
        self.cancel: list[Assignment] = []
        self.recall: list[Assignment] = []
        self.stop_early: list[Assignment] = []
        self.registered = False
        self.unregistered = False
        self.shut_down = False

    def open(self, message: Message) -> None:
        """Make ``message`` the open call."""
        self.registers = isinstance(message, Register)
        if isinstance(message, Register):
            self._restore(message.in_flight)
        reported = message.results if isinstance(message, Register | Poll) else ()
        self.results = tuple(result.assignment for result in reported)
        self.request = message.request
        self.reply = None
        self.changed.notify_all()

    def can_reply(self) -> bool:
        """Whether there is a reason to reply to the open call before its wait is over."""
        if self.registers:
            return self.registered
        if self.unregistered:
            return True
        if self.results:
            return all(assignment in self.acknowledged for assignment in self.results)
        commands = self.cancel or self.recall or self.stop_early
        return bool(self.assignments or commands or self.shut_down)

    def take(self, epoch: int, settings: SessionSettings, shutdown: Shutdown | None) -> Reply:
        """Empty the mailbox, and return the reply with its contents."""
        if self.registers and not self.registered:
            return Reply(UNREGISTERED, epoch, shutdown=shutdown)
        reply = Reply(
            UNREGISTERED if self.unregistered else OK,
            epoch,
            tuple(self.assignments.values()),
            tuple(self.acknowledged),
            tuple(self.cancel),
            tuple(self.recall),
            tuple(self.stop_early),
            shutdown,
            settings if self.registered else None,
        )
        self.clear()
        return reply

    def _restore(self, in_flight: Sequence[Assignment]) -> None:
        """Put back the assignments of the last reply that did not arrive."""
        for assigned in self.reply.assignments if self.reply else ():
            if assigned.assignment not in in_flight:
                self.assignments[assigned.assignment] = assigned

    def forget(self) -> None:
        """Drop all contents, sent or not: the loop has given up these attempts."""
        self.clear()
        if self.reply:
            self.reply = replace(self.reply, assignments=())


class RemoteWorker:
    """A worker process with its two channels, under one lock.

    Raises
    ------
    ProtocolMismatch
        If the process was replaced before by another one with the same worker id.
    """

    def __init__(
        self,
        incarnation: str,
        epoch: int,
        settings: SessionSettings,
        former: RemoteWorker | None = None,
    ) -> None:
        self.incarnation = incarnation
        self.last_used = time.monotonic()
        self._epoch = epoch
        self._settings = settings
        self._replaced: frozenset[str] = frozenset()
        if former is not None:
            self._replaced = former._replaced | {former.incarnation}
        if incarnation in self._replaced:
            raise ProtocolMismatch(
                "another process has taken over this worker id",
                do="give each worker a worker id of its own",
            )
        self._lock = threading.Lock()
        self._work = _Mailbox(self._lock)
        self._heartbeats = _Mailbox(self._lock)
        self._shutdown: Shutdown | None = None
        self._ended: str | None = None  #: the kind of all replies, once the session has ended

    def open_call(self, message: Message) -> Call:
        """Register a call; an older call that waits on this channel gets an empty reply.

        A call with the same number keeps waiting: a delayed message may arrive after its own
        repetition, and it is unknown which of the two replies the worker still reads.
        """
        mailbox = self._heartbeats if isinstance(message, Heartbeat) else self._work
        with self._lock:
            call = Call(mailbox, message.request)
            if call.is_new:
                mailbox.open(message)
            return call

    def reply_to(self, call: Call, wait_s: float) -> Reply:
        """Wait up to ``wait_s`` seconds for a reason to reply, and return the reply."""
        mailbox = call.mailbox
        with self._lock:
            self._wait(call, time.monotonic() + wait_s)
            if not call.is_newest:
                return Reply(
                    OK, self._epoch
                )  # the newer call gets the contents; this reply is not read
            if mailbox.reply is None:
                mailbox.reply = self._take(mailbox)
                mailbox.changed.notify_all()
            return mailbox.reply

    def put(self, orders: Sequence[Order]) -> list[Assignment]:
        """Add orders; return the attempts that were withdrawn before they were fetched."""
        withdrawn: list[Assignment] = []
        with self._lock:
            for order in orders:
                if order.incarnation == self.incarnation:
                    withdrawn += self._put(order)
            for mailbox in (self._work, self._heartbeats):
                if mailbox.reply is None and mailbox.can_reply():
                    mailbox.changed.notify_all()
        return withdrawn

    def end(self, kind: str) -> None:
        """Reply to all calls, now and later, with an empty reply of this kind."""
        with self._lock:
            self._ended = kind
            for mailbox in (self._work, self._heartbeats):
                mailbox.changed.notify_all()

    def _wait(self, call: Call, until: float) -> None:
        mailbox = call.mailbox
        while call.is_newest and mailbox.reply is None and not mailbox.can_reply():
            remaining_s = until - time.monotonic()
            if remaining_s <= 0 or self._ended is not None:
                return
            mailbox.changed.wait(remaining_s)

    def _take(self, mailbox: _Mailbox) -> Reply:
        if self._ended is not None:
            return Reply(self._ended, self._epoch)
        return mailbox.take(self._epoch, self._settings, self._shutdown)

    def _put(self, order: Order) -> list[Assignment]:
        if isinstance(order, Launch):
            assert order.payload is not None, "the loop fills the payload"
            assigned = AssignedAttempt(order.job_id, order.attempt, order.payload)
            self._work.assignments[assigned.assignment] = assigned
        elif isinstance(order, Acknowledge):
            self._work.acknowledged.append((order.job_id, order.attempt))
        elif isinstance(order, Cancel | Recall):
            return self._withdraw(order)
        elif isinstance(order, StopEarly):
            self._heartbeats.stop_early.append((order.job_id, order.attempt))
        else:
            self._change_session(order)
        return []

    def _withdraw(self, order: Cancel | Recall) -> list[Assignment]:
        assignment = order.job_id, order.attempt
        if self._work.assignments.pop(assignment, None) is not None:
            return [assignment]
        commands = self._heartbeats
        (commands.cancel if isinstance(order, Cancel) else commands.recall).append(assignment)
        return []

    def _change_session(self, order: Registered | Reregister | ShutDown) -> None:
        mailboxes = (self._work, self._heartbeats)
        if isinstance(order, Registered):
            self._work.registered = True
            for mailbox in mailboxes:
                mailbox.unregistered = False
        elif isinstance(order, Reregister):
            self._shutdown = None
            for mailbox in mailboxes:
                mailbox.forget()
                mailbox.unregistered = True
        else:
            self._shutdown = Shutdown(order.drain, order.reason)
            for mailbox in mailboxes:
                mailbox.shut_down = True
