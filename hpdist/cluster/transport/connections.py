"""The connections of a daemon: unauthenticated at first, then authenticated by the key."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable

from Pyro4 import errors

MAX_UNAUTHENTICATED = 256
"""Maximum number of open connections whose client has not proved yet that it has the key."""


class ConnectionTable:
    """Counts connections, and chooses which of them is closed when there are too many.

    A new connection is always accepted. When `MAX_UNAUTHENTICATED` is reached, an unauthenticated
    connection is closed for it: the oldest one of the address that has the highest number of
    them. A client that has the key proves it within milliseconds, so it is rarely affected.

    Parameters
    ----------
    max_peers
        Maximum number of authenticated connections.
    """

    def __init__(self, max_peers: int) -> None:
        self.max_peers = max_peers
        self._lock = threading.Lock()
        self._unauthenticated: dict[Hashable, str] = {}  #: addresses, by connection, oldest first
        self._authenticated: set[Hashable] = set()

    @property
    def full(self) -> bool:
        """Whether no further connection may be authenticated."""
        return len(self._authenticated) >= self.max_peers

    def is_authenticated(self, connection: Hashable) -> bool:
        """Whether the client of this connection has proved that it has the key."""
        return connection in self._authenticated

    def add(self, connection: Hashable, address: str) -> Hashable | None:
        """Add a new connection; return the connection to close for it, if any."""
        with self._lock:
            closed = self._oldest() if len(self._unauthenticated) >= MAX_UNAUTHENTICATED else None
            self._unauthenticated.pop(closed, None)
            self._unauthenticated[connection] = address
            return closed

    def authenticate(self, connection: Hashable) -> None:
        """Note that the client of this connection has proved that it has the key.

        Raises
        ------
        PyroError
            If too many connections are authenticated, or this one was closed for a newer one.
        """
        with self._lock:
            if connection in self._authenticated:
                return
            if connection not in self._unauthenticated:
                raise errors.ConnectionClosedError("the connection was closed for a newer one")
            if self.full:
                raise self.too_many()
            del self._unauthenticated[connection]
            self._authenticated.add(connection)

    def remove(self, connection: Hashable) -> None:
        """Remove a connection that has ended."""
        with self._lock:
            self._unauthenticated.pop(connection, None)
            self._authenticated.discard(connection)

    def too_many(self) -> errors.PyroError:
        """Return the error for a client when too many connections are authenticated."""
        return errors.DaemonError(f"all {self.max_peers} connections are in use")

    def _oldest(self) -> Hashable:
        counts = Counter(self._unauthenticated.values())
        highest = max(counts.values())
        return next(
            each for each, address in self._unauthenticated.items() if counts[address] == highest
        )
