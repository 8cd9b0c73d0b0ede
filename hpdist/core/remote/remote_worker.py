"""A remote worker as its dispatcher sees it: mailboxes for its two channels, and open calls."""

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
    """One message being answered; ``is_new`` when its number was not seen before."""

    def __init__(self, mailbox: _Mailbox, request: int) -> None:
        self.mailbox = mailbox
        self.request = request
        self.is_new = request > mailbox.request

    @property
    def is_newest(self) -> bool:
        """Whether no later number has come, so that someone may still read the reply."""
        return self.request == self.mailbox.request


class _Mailbox:
    """What waits for one channel. All fields are guarded by the lock of the worker.

    ``request`` is the newest number, ``reply`` what was answered to it, kept until the next number
    shows that it arrived. ``results`` are the attempts whose receipt the open call asks for.
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
        """Take the next message as the open call."""
        self.registers = isinstance(message, Register)
        if isinstance(message, Register):
            self._restore(message.in_flight)
        reported = message.results if isinstance(message, Register | Poll) else ()
        self.results = tuple(result.held for result in reported)
        self.request = message.request
        self.reply = None
        self.changed.notify_all()

    def can_reply(self) -> bool:
        """Whether there is a reason to answer the open call before its wait is over."""
        if self.registers:
            return self.registered
        if self.unregistered:
            return True
        if self.results:
            return all(held in self.acknowledged for held in self.results)
        commands = self.cancel or self.recall or self.stop_early
        return bool(self.assignments or commands or self.shut_down)

    def take(self, epoch: int, settings: SessionSettings, shutdown: Shutdown | None) -> Reply:
        """Remove everything, and return the reply that carries it."""
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
        for assignment in self.reply.assignments if self.reply else ():
            if assignment.held not in in_flight:
                self.assignments[assignment.held] = assignment

    def forget(self) -> None:
        """Drop everything, sent or not: the loop has given up what it launched."""
        self.clear()
        if self.reply:
            self.reply = replace(self.reply, assignments=())


class RemoteWorker:
    """A worker process with its two channels, under one lock.

    Raises
    ------
    ProtocolMismatch
        If the process was replaced by ``former``, which has the same worker id, before.
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
        """Register a call; an older one that waits on this channel is answered with nothing.

        One with the same number goes on waiting: a message that was held up on its way may come
        after its own repetition, and which of the two is still listened to is not known here.
        """
        mailbox = self._heartbeats if isinstance(message, Heartbeat) else self._work
        with self._lock:
            call = Call(mailbox, message.request)
            if call.is_new:
                mailbox.open(message)
            return call

    def reply_to(self, call: Call, wait_s: float) -> Reply:
        """Wait for a reason to answer, at most ``wait_s`` seconds, and return the reply."""
        mailbox = call.mailbox
        with self._lock:
            self._wait(call, time.monotonic() + wait_s)
            if not call.is_newest:
                return Reply(OK, self._epoch)  # a newer call gets the reply; nobody reads this one
            if mailbox.reply is None:
                mailbox.reply = self._take(mailbox)
                mailbox.changed.notify_all()
            return mailbox.reply

    def put(self, orders: Sequence[Order]) -> list[Assignment]:
        """Take in orders; returns the attempts that were withdrawn before they were fetched."""
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
        """Answer all calls, now and later, with an empty reply of this kind."""
        with self._lock:
            self._ended = kind
            for mailbox in (self._work, self._heartbeats):
                mailbox.changed.notify_all()

    def _wait(self, call: Call, until: float) -> None:
        mailbox = call.mailbox
        while call.is_newest and mailbox.reply is None and not mailbox.can_reply():
            left = until - time.monotonic()
            if left <= 0 or self._ended is not None:
                return
            mailbox.changed.wait(left)

    def _take(self, mailbox: _Mailbox) -> Reply:
        if self._ended is not None:
            return Reply(self._ended, self._epoch)
        return mailbox.take(self._epoch, self._settings, self._shutdown)

    def _put(self, order: Order) -> list[Assignment]:
        if isinstance(order, Launch):
            assert order.payload is not None, "the loop fills the payload"
            assignment = AssignedAttempt(order.job_id, order.attempt, order.payload)
            self._work.assignments[assignment.held] = assignment
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
        held = order.job_id, order.attempt
        if self._work.assignments.pop(held, None) is not None:
            return [held]
        commands = self._heartbeats
        (commands.cancel if isinstance(order, Cancel) else commands.recall).append(held)
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
