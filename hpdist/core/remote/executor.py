"""The dispatcher's end of the worker protocol: an executor whose workers connect to it.

It is independent of the transport, which passes a worker's message to `exchange` as a JSON object
and sends back the reply that it returns; so loss, repetition and delay are tested without a
network.

A worker has two channels, each with rising request numbers and one call at a time: the work channel
(register, poll, deregister) returns assignments and acknowledgements, the heartbeat channel
returns commands. A repeated number gets the same reply, so that a lost reply has no effect.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from hpdist.core.dispatch.executor import Post
from hpdist.core.model.errors import ProtocolMismatch
from hpdist.core.model.events import (
    AttemptReleased,
    ConnectionLost,
    Event,
    WorkerSeen,
)
from hpdist.core.model.field_codec import Fields
from hpdist.core.model.limits_and_timing import Timing
from hpdist.core.model.orders import (
    Order,
)
from hpdist.core.remote.messages import (
    Deregister,
    Message,
    Register,
    check_recipient,
    read_message,
)
from hpdist.core.remote.remote_worker import RemoteWorker
from hpdist.core.remote.replies import (
    OK,
    REFUSED,
    UNREGISTERED,
    Reply,
    SessionSettings,
    write_reply,
)

_REGISTER_WITHIN_S = 5.0
_FORGET_AFTER_LEASES = 20


class RemoteExecutor:
    """Assigns attempts to workers that poll for work.

    Parameters
    ----------
    timing
        Sent to the workers when they register; ``poll_s`` also limits how long a call waits for
        its reply.
    epoch
        Number of this dispatcher within the run; it rises with each restart.
    run_id
        Messages for another run are refused.
    instance
        Id of the run instance: distinguishes runs of one name, whose job ids stand for different
        jobs. It stays the same when a run is resumed.
    """

    keeps_running = True

    def __init__(self, timing: Timing, epoch: int, run_id: str, instance: str = "") -> None:
        self._timing = timing
        self._epoch = epoch
        self._run_id = run_id
        self._instance = instance
        self._settings = SessionSettings(
            timing.lease_s, timing.heartbeat_s, timing.poll_s, instance
        )
        self._max_wait_s = max(timing.poll_s, timing.heartbeat_s)
        self._idle = threading.Condition()
        self._active = 0
        self._workers: dict[str, RemoteWorker] = {}
        self._post: Post | None = None

    def start(self, post: Post) -> None:
        """Start posting events; before this and after `close` every worker is unregistered."""
        with self._idle:
            self._post = post

    def exchange(self, data: Fields) -> dict[str, Any]:
        """Return the reply to a message of a worker, after waiting for events; from any thread.

        It never raises: a message that is malformed or for another run gets a reply of kind
        ``refused``.
        """
        try:
            check_recipient(data, self._run_id, self._epoch, self._instance)
            message = read_message(data)
        except ProtocolMismatch as error:
            return write_reply(self._refusal(error))
        post = self._enter()
        if post is None:
            return write_reply(Reply(UNREGISTERED, self._epoch))
        try:
            return write_reply(self._reply(message, post))
        finally:
            self._exit()

    def connection_closed(self, worker_id: str, incarnation: str) -> None:
        """Post the event that a connection of this worker was closed; from any thread."""
        worker = self._workers.get(worker_id)
        if worker is None or worker.incarnation != incarnation:
            return
        post = self._enter()
        if post is None:
            return
        try:
            post([ConnectionLost(worker_id, incarnation)])
        finally:
            self._exit()

    def perform(self, orders: Sequence[Order]) -> None:
        """Put ``orders`` into the workers' mailboxes, and wake each worker once.

        Orders for a worker or incarnation that has left are dropped: events inform the loop of
        that. A job that is withdrawn before its worker fetched it is released at once.
        """
        by_worker: dict[str, list[Order]] = {}
        for order in orders:
            by_worker.setdefault(order.worker_id, []).append(order)
        withdrawn: list[Event] = []
        for worker_id, worker_orders in by_worker.items():
            worker = self._workers.get(worker_id)
            if worker is not None:
                withdrawn += [
                    AttemptReleased(
                        worker_id, worker.incarnation, *assignment, "withdrawn before it started"
                    )
                    for assignment in worker.put(worker_orders)
                ]
        if withdrawn and self._post is not None:
            self._post(withdrawn)

    def close(self, grace_s: float) -> None:
        """Stop posting events, and reply to all open calls: workers look for a dispatcher then."""
        with self._idle:
            self._post = None
            workers = list(self._workers.values())
        for worker in workers:
            worker.end(UNREGISTERED)
        with self._idle:
            self._idle.wait_for(lambda: self._active == 0, grace_s)

    def _enter(self) -> Post | None:
        with self._idle:
            if self._post is not None:
                self._active += 1
            return self._post

    def _exit(self) -> None:
        with self._idle:
            self._active -= 1
            if self._active == 0:
                self._idle.notify_all()

    def _refusal(self, error: ProtocolMismatch) -> Reply:
        return Reply(REFUSED, self._epoch, message=str(error))

    def _reply(self, message: Message, post: Post) -> Reply:
        if isinstance(message, Deregister):
            self._remove(message)
            post(message.events())
            return Reply(OK, self._epoch)
        try:
            worker = self._worker(message)
        except ProtocolMismatch as error:
            return self._refusal(error)
        if worker is None:
            return Reply(UNREGISTERED, self._epoch)
        call = worker.open_call(message)
        # A repeated or outdated message was posted before: it only shows that the worker is alive.
        post(message.events(self._instance) if call.is_new else [WorkerSeen(*message.sender)])
        return worker.reply_to(call, self._wait_s(message))

    def _wait_s(self, message: Message) -> float:
        registers = isinstance(message, Register)
        return _REGISTER_WITHIN_S if registers else min(message.wait, self._max_wait_s)

    def _worker(self, message: Message) -> RemoteWorker | None:
        """Return the sender; a new process under a known worker id replaces the former one."""
        with self._idle:
            former = self._workers.get(message.worker)
            if former is not None and former.incarnation == message.incarnation:
                former.last_used = time.monotonic()
                return former
            if former is not None and not isinstance(message, Register):
                return None
            self._forget_silent()
            worker = RemoteWorker(message.incarnation, self._epoch, self._settings, former)
            self._workers[message.worker] = worker
        if former is not None:
            former.end(UNREGISTERED)
        return worker

    def _remove(self, message: Deregister) -> None:
        with self._idle:
            worker = self._workers.get(message.worker)
            if worker is None or worker.incarnation != message.incarnation:
                return
            del self._workers[message.worker]
        worker.end(OK)

    def _forget_silent(self) -> None:
        limit = time.monotonic() - _FORGET_AFTER_LEASES * self._timing.lease_s
        for worker_id in [name for name, each in self._workers.items() if each.last_used < limit]:
            del self._workers[worker_id]
