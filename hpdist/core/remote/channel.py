"""The channel of a worker to its dispatcher, and how long a worker waits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from hpdist.core.remote.messages import Message, write_message
from hpdist.core.remote.replies import Reply, read_reply


class Channel(Protocol):
    """One connection, used by one thread; it waits ``timeout_s`` seconds for a reply."""

    timeout_s: float

    def call(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message and return the reply, both as JSON objects.

        Raises
        ------
        TransportError
            If no reply came. A refusal is a `ProtocolMismatch`.
        """
        ...

    def close(self) -> None:
        """Close the connection, from any thread."""
        ...


def exchange(channel: Channel, message: Message) -> Reply:
    """Send a message and return the reply, which is read field by field.

    Raises
    ------
    TransportError
        As `Channel.call`; a malformed reply is a `ProtocolMismatch`.
    """
    return read_reply(channel.call(write_message(message)))


@dataclass(frozen=True)
class Timeouts:
    """Seconds a worker waits: idle, for its dispatcher to come back, and between tries."""

    idle_s: float = math.inf
    reconnect_s: float = 900.0
    first_pause_s: float = 0.1
    longest_pause_s: float = 5.0
