"""Workers that dial in: mailboxes between the loop and any number of transport threads.

No transport is known here. Whoever receives a worker's message hands it to `exchange` as a dict
and sends back the dict that it returns; so loss, repetition and delay are tested without a network.

A worker has two channels, each with requests numbered upwards and one call at a time: *step*
(hello, step, bye) brings work and acknowledgements, *beat* brings commands. Asking again with the
same number gets the same answer, so a reply that was lost on the way costs nothing.
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
from hpdist.core.model.fields import Fields
from hpdist.core.model.orders import (
    Order,
)
from hpdist.core.model.values import Timing
from hpdist.core.remote.mailbox import Peer
from hpdist.core.remote.messages import Message, check_address, make_reply, read_message

Reply = dict[str, Any]

_WELCOME_WITHIN_S = 5.0
_FORGET_AFTER_LEASES = 20


class RemoteExecutor:
    """Gives work to workers that ask for it.

    Parameters
    ----------
    timing
        Told to the workers when they introduce themselves; ``poll_s`` also bounds how long a call
        is kept waiting.
    epoch
        Number of this dispatcher among those of the run, which rises with each restart.
    run_id
        Messages for another run are refused.
    book
        Tells apart runs of one name, whose job numbers mean different jobs; it stays the same
        when a run is resumed.
    """

    keeps_running = True

    def __init__(self, timing: Timing, epoch: int, run_id: str, book: str = "") -> None:
        self._timing, self._epoch, self._run_id, self._book = timing, epoch, run_id, book
        self._terms = {
            "lease_s": timing.lease_s,
            "heartbeat_s": timing.heartbeat_s,
            "poll_s": timing.poll_s,
            "book": book,
        }
        self._longest_s = max(timing.poll_s, timing.heartbeat_s)
        self._idle = threading.Condition()
        self._active = 0
        self._peers: dict[str, Peer] = {}
        self._post: Post | None = None

    def start(self, post: Post) -> None:
        """Begin to post events; before this, and after `close`, workers are told "unknown"."""
        with self._idle:
            self._post = post

    def exchange(self, message: Fields) -> Reply:
        """Answer one message of a worker, after waiting for something to say; from any thread.

        Never raises: what cannot be understood is answered with a reply of kind ``refused``.
        """
        try:
            check_address(message, self._run_id, self._epoch, self._book)
            said = read_message(message, self._book)
        except ProtocolMismatch as error:
            return make_reply("refused", self._epoch, message=str(error))
        post = self._enter()
        if post is None:
            return make_reply("unknown", self._epoch)
        try:
            return self._answer(said, post)
        finally:
            self._leave()

    def connection_closed(self, worker_id: str, incarnation: str) -> None:
        """Tell the loop that a connection of this worker was closed; from any thread."""
        peer = self._peers.get(worker_id)
        if peer is None or peer.incarnation != incarnation:
            return
        post = self._enter()
        if post is None:
            return
        try:
            post([ConnectionLost(worker_id, incarnation)])
        finally:
            self._leave()

    def perform(self, orders: Sequence[Order]) -> None:
        """Put ``orders`` into the mailboxes, waking each once.

        Orders for a worker or incarnation that is not here any more are dropped: the loop learns of
        that by events. A job withdrawn before its worker fetched it is handed back at once.
        """
        by_worker: dict[str, list[Order]] = {}
        for order in orders:
            by_worker.setdefault(order.worker_id, []).append(order)
        withdrawn: list[Event] = []
        for worker_id, theirs in by_worker.items():
            peer = self._peers.get(worker_id)
            if peer is not None:
                withdrawn += [
                    AttemptReleased(worker_id, peer.incarnation, *held, "withdrawn before it began")
                    for held in peer.put(theirs)
                ]
        if withdrawn and self._post is not None:
            self._post(withdrawn)

    def close(self, grace_s: float) -> None:
        """Answer whoever waits, so that workers look for a dispatcher again; post nothing more."""
        with self._idle:
            self._post = None
            peers = list(self._peers.values())
        for peer in peers:
            peer.end("unknown")
        with self._idle:
            self._idle.wait_for(lambda: self._active == 0, grace_s)

    def _enter(self) -> Post | None:
        with self._idle:
            if self._post is not None:
                self._active += 1
            return self._post

    def _leave(self) -> None:
        with self._idle:
            self._active -= 1
            if self._active == 0:
                self._idle.notify_all()

    def _answer(self, said: Message, post: Post) -> Reply:
        if said.kind == "bye":
            self._part(said)
            post(said.events)
            return make_reply("ok", self._epoch)
        try:
            peer = self._peer(said)
        except ProtocolMismatch as error:
            return make_reply("refused", self._epoch, message=str(error))
        if peer is None:
            return make_reply("unknown", self._epoch)
        call = peer.begin(said)
        # An answered or overtaken call was told to the loop before: it is a sign of life only.
        post(said.events if call.is_new else [WorkerSeen(said.worker_id, said.incarnation)])
        return peer.finish(call, self._patience(said), self._render)

    def _patience(self, said: Message) -> float:
        return _WELCOME_WITHIN_S if said.kind == "hello" else min(said.wait, self._longest_s)

    def _render(self, kind: str, content: dict[str, Any]) -> Reply:
        if content.pop("welcome", False):
            content["terms"] = self._terms
        return make_reply(kind, self._epoch, **content)

    def _peer(self, said: Message) -> Peer | None:
        """Return the mailboxes of the sender, made anew when it is another process than before."""
        with self._idle:
            former = self._peers.get(said.worker_id)
            if former is not None and former.incarnation == said.incarnation:
                former.used = time.monotonic()
                return former
            if former is not None and said.kind != "hello":
                return None
            self._forget_silent()
            peer = Peer(said.incarnation, former)
            self._peers[said.worker_id] = peer
        if former is not None:
            former.end("unknown")
        return peer

    def _part(self, said: Message) -> None:
        with self._idle:
            peer = self._peers.get(said.worker_id)
            if peer is None or peer.incarnation != said.incarnation:
                return
            del self._peers[said.worker_id]
        peer.end("ok")

    def _forget_silent(self) -> None:
        oldest = time.monotonic() - _FORGET_AFTER_LEASES * self._timing.lease_s
        for worker_id in [name for name, peer in self._peers.items() if peer.used < oldest]:
            del self._peers[worker_id]
