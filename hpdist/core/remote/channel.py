"""A worker's line to its dispatcher, and how long a worker insists."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol


class Channel(Protocol):
    """One connection, used by one thread; an answer is waited for so many seconds."""

    timeout_s: float

    def call(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message and return the reply, or raise TransportError."""
        ...

    def close(self) -> None:
        """Break off, from any thread."""
        ...


@dataclass(frozen=True)
class Patience:
    """Seconds a worker waits: idle, for its dispatcher to come back, and between tries."""

    idle_s: float = math.inf
    reconnect_s: float = 900.0
    first_pause_s: float = 0.1
    longest_pause_s: float = 5.0
