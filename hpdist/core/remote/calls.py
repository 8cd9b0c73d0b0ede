"""The calls of a worker: its messages, and the state of the session that the replies set."""

from __future__ import annotations

import time
from typing import Any

from hpdist.core.model.limits_and_timing import Timing
from hpdist.core.model.values import WorkerInfo
from hpdist.core.remote.channel import Channel, exchange
from hpdist.core.remote.in_flight import InFlight
from hpdist.core.remote.messages import (
    Deregister,
    Heartbeat,
    Message,
    Poll,
    Register,
    ReportedResult,
    WorkerDescription,
)
from hpdist.core.remote.replies import Reply, SessionSettings

_DEFAULT = Timing()


class Calls:
    """Makes and exchanges the messages of one worker, for both its threads.

    Attributes
    ----------
    epoch
        The epoch of the newest dispatcher that replied.
    settings
        Settings of the session; the defaults before the worker is registered.
    last_contact
        Time of the last reply, on the monotonic clock.
    """

    def __init__(self, info: WorkerInfo, in_flight: InFlight) -> None:
        self._info = info
        self._in_flight = in_flight
        self.epoch = 0
        self.settings = SessionSettings(_DEFAULT.lease_s, _DEFAULT.heartbeat_s, _DEFAULT.poll_s)
        self.last_contact = time.monotonic()

    def exchange(self, channel: Channel, message: Message) -> Reply:
        """Send a message and process the reply: acknowledgements, assignments and commands."""
        # After a lost call there is time for another one within the lease.
        channel.timeout_s = min(10.0, self.settings.lease_s / 3)
        reply = exchange(channel, message)
        self.epoch = max(self.epoch, reply.epoch)
        self.last_contact = time.monotonic()
        self._in_flight.replied(message, reply)
        self._in_flight.accept(reply.assignments)
        self._in_flight.execute_commands(reply)
        return reply

    def register(self, results: tuple[ReportedResult, ...] = ()) -> Register:
        """Return the message that registers the worker, with ``results`` of dead workers."""
        sender = ("worker_id", "incarnation")
        info = {name: value for name, value in vars(self._info).items() if name not in sender}
        return Register(
            **self._header("work"),
            info=WorkerDescription(**info),
            in_flight=self._in_flight.attempts(),
            results=results,
        )

    def poll(self, wait: float) -> Poll:
        """Return the message that reports all results and waits ``wait`` seconds for work."""
        return Poll(**self._header("work"), wait=wait, **vars(self._in_flight.unreported()))

    def heartbeat(self) -> Heartbeat:
        """Return the message that lists the attempts in flight and waits for commands."""
        unreported = self._in_flight.unreported()
        return Heartbeat(
            **self._header("heartbeat"),
            wait=self.settings.heartbeat_s,
            in_flight=self._in_flight.attempts(),
            released=unreported.released,
            progress=unreported.progress,
        )

    def deregister(self) -> Deregister:
        """Return the message that ends the session and releases all attempts."""
        return Deregister(
            **self._header("work"),
            reason=self._in_flight.leaving or "",
            released=self._in_flight.unreported().released,
        )

    def _header(self, channel: str) -> dict[str, Any]:
        return {
            "worker": self._info.worker_id,
            "incarnation": self._info.incarnation,
            "request": self._in_flight.next_request(channel),
            "epoch": self.epoch,
            "instance": self.settings.instance,
            "draining": self._in_flight.leaving is not None,
        }
